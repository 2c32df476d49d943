// The studio: one page of several parts, and what is common to them.
import '@preact/signals';
import type { ComponentType } from 'preact';
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Home } from './home/page.tsx';
import {
  adapter,
  addressOf,
  attempt,
  findAdapter,
  message,
  type PageName,
  refreshRuns,
  route,
  store,
  visit,
} from './state.ts';
import { Train } from './train/page.tsx';
import { take } from './train/prepare.tsx';
import { started, state } from './train/session.ts';
import { type Brought, droppedFiles } from './work/brought.ts';

const LINKS: readonly (readonly [PageName, string])[] = [
  ['train', 'Train'],
  ['play', 'Play'],
  ['runs', 'Runs'],
  ['compress', 'Compress'],
  ['measure', 'Measure'],
];

/** A page that is loaded when it is first visited. */
function later(load: () => Promise<ComponentType>): ComponentType {
  let loaded: ComponentType | undefined;
  return function Later() {
    const [, show] = useState(loaded);
    useEffect(() => {
      if (!loaded) {
        void attempt(async () => {
          loaded = await load();
          show(() => loaded);
        });
      }
    }, []);
    const Loaded = loaded;
    return Loaded ? <Loaded /> : <p class="loading">Loading …</p>;
  };
}

const pages: Readonly<Record<PageName, ComponentType>> = {
  home: Home,
  train: Train,
  play: later(async () => (await import('./play/page.tsx')).Play),
  runs: later(async () => (await import('./runs/page.tsx')).Runs),
  compress: later(async () => (await import('./compress/page.tsx')).Compress),
  measure: later(async () => (await import('./measure/page.tsx')).Measure),
};

function Header() {
  const { page } = route.value;
  const now = adapter.value;
  const going = state.value !== 'none' && page !== 'train';
  return (
    <header class="top">
      <a class="brand" href={addressOf('home')} aria-current={page === 'home' ? 'page' : undefined}>
        <img src="./icon.svg" alt="" width="22" height="22" />
        Glia
      </a>
      <nav aria-label="Studio">
        {LINKS.map(([name, label]) => (
          <a key={name} href={addressOf(name)} aria-current={page === name ? 'page' : undefined}>
            {label}
            {name === 'train' && going && (
              <span class="dot" title={`${started.value?.name ?? 'A run'} is ${state.value}`} />
            )}
          </a>
        ))}
      </nav>
      <p class="adapter" id="adapter" title="The adapter that computes">
        {now.state === 'looking' ? 'Looking for a GPU …' : now.state === 'there' ? now.name : 'no WebGPU'}
      </p>
    </header>
  );
}

/** Kept in place above the page: an error is read out, and stays until something else is done. */
function Message() {
  const now = message.value;
  return (
    <div aria-live="assertive" class="messages">
      {now && (
        <p class={`notice ${now.kind}`} id={now.kind} role={now.kind === 'error' ? 'alert' : 'status'}>
          <span>
            {now.line} {now.quota && <a href={addressOf('runs')}>Choose what to delete</a>}
          </span>
          <button
            type="button"
            class="plain"
            aria-label="Dismiss"
            onClick={() => {
              message.value = undefined;
            }}
          >
            ×
          </button>
        </p>
      )}
    </div>
  );
}

function App() {
  const { page } = route.value;
  const Page = pages[page];
  const [drops, setDrops] = useState(false);
  useEffect(() => {
    const over = (event: DragEvent) => {
      event.preventDefault();
      setDrops(event.dataTransfer?.types.includes('Files') === true);
    };
    const leave = (event: DragEvent) => {
      if (!event.relatedTarget) setDrops(false);
    };
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setDrops(false);
      const { dataTransfer } = event;
      if (!dataTransfer?.types.includes('Files')) return;
      // Asked for at once: the drop is empty after the first wait.
      const files = droppedFiles(dataTransfer);
      void attempt(async () => receive(await files));
    };
    addEventListener('dragover', over);
    addEventListener('dragleave', leave);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', over);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', drop);
    };
  }, []);
  useEffect(() => {
    document.title = page === 'home' ? 'Glia studio' : `${LINKS.find(([name]) => name === page)![1]} · Glia studio`;
    scrollTo(0, 0);
  }, [page]);
  return (
    <>
      <Header />
      <Message />
      <main id="main">
        <Page />
      </main>
      {drops && <div class="drop">Drop images, a model, a checkpoint, a run or an archive</div>}
    </>
  );
}

/** Takes files wherever they are dropped: runs into the store, models to play with, the rest to train on. */
async function receive(all: readonly Brought[]): Promise<void> {
  const run = all.find(({ path }) => path.endsWith('.zip'));
  if (run) {
    const added = await (await store).import(new Uint8Array(await run.file.arrayBuffer()), run.path);
    await refreshRuns();
    visit('runs');
    message.value = { line: `${added.name} is among your runs now.`, kind: 'note' };
    return;
  }
  if (route.value.page === 'compress' || all.some(({ path }) => path.endsWith('.glia'))) {
    const { takeFiles } = await import('./compress/page.tsx');
    visit('compress');
    return takeFiles(all);
  }
  const isModel = all.length === 1 && all[0]!.path.endsWith('.safetensors');
  if (route.value.page === 'play' || (isModel && route.value.page !== 'train')) {
    const { takeFiles } = await import('./play/model.ts');
    if (route.value.page !== 'play') visit('play');
    return takeFiles(all);
  }
  if (state.value !== 'none') {
    message.value = { line: 'A run is in progress: close it before you bring other files.', kind: 'error' };
    return;
  }
  if (route.value.page !== 'train') visit('train');
  await take(all);
}

render(<App />, document.getElementById('studio')!);
void findAdapter();

// Once visited, the built site works without a network.
if (import.meta.env.PROD) void navigator.serviceWorker?.register('./service_worker.js').catch(() => {});

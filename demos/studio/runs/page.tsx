// All runs that this browser keeps: to compare, rename, delete, take along and bring.

import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { describeTerm } from '../../../src/train/events.ts';
import { download } from '../../../src/view/download.ts';
import { sizeText, timeText } from '../parts/ui.tsx';
import { addressOf, attempt, message, refreshRuns, runs, store, trained, visit } from '../state.ts';
import { bytesOfRun, type RunRecord } from '../store/record.ts';
import { goOn, started, state } from '../train/session.ts';
import { wordsOf } from '../train/words.ts';
import { Curves } from './compare.tsx';

/** Ids of those that are compared; undefined until somebody chose: the newest then. */
const chosen = signal<readonly string[] | undefined>(undefined);
const MOST = 8;

const list = () => runs.value ?? [];
const compared = () => {
  const ids =
    chosen.value ??
    list()
      .slice(0, 2)
      .map(({ id }) => id);
  return list().filter(({ id }) => ids.includes(id));
};

function stateOf({ id, state, failure }: RunRecord): string {
  if (trained.value.has(id)) return started.value?.id === id ? 'open here' : 'open in another tab';
  return state === 'training' ? 'interrupted' : state === 'failed' ? `failed: ${failure}` : state;
}

function lossOf(numbers: RunRecord['latest'], name = 'loss'): string {
  const value = numbers?.[name];
  return value === undefined ? '–' : describeTerm(name, Number(value)).text;
}

const fileName = (name: string) => `${name.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '') || 'run'}.glia.zip`;

async function open(id: string): Promise<void> {
  visit('train');
  if (started.value?.id === id && state.value !== 'failed') return;
  await goOn(id);
}

async function bring(files: FileList): Promise<void> {
  for (const file of files) {
    const added = await (await store).import(new Uint8Array(await file.arrayBuffer()), file.name);
    message.value = { line: `${added.name} is among your runs now.`, kind: 'note' };
  }
  await refreshRuns();
}

function Row({ run }: { run: RunRecord }) {
  const { id, name, options, step, totalSteps, latest, test, seconds, created, parent } = run;
  const [draft, setDraft] = useState<string | undefined>(undefined);
  const [asks, setAsks] = useState(false);
  const isCompared = compared().some((each) => each.id === id);
  const isHeld = trained.value.has(id);
  const rename = () => {
    const wanted = draft;
    setDraft(undefined);
    if (wanted !== undefined && wanted !== name)
      void attempt(async () => (await store).rename(id, wanted)).then(refreshRuns);
  };
  return (
    <li class="card run" data-run={id}>
      <div class="run-name">
        <input
          type="checkbox"
          aria-label={`Compare ${name}`}
          checked={isCompared}
          disabled={!isCompared && compared().length >= MOST}
          onChange={(event) => {
            const ids = compared().map((each) => each.id);
            chosen.value = event.currentTarget.checked ? [...ids, id] : ids.filter((each) => each !== id);
          }}
        />
        {draft === undefined ? (
          <h2>{name}</h2>
        ) : (
          <input
            class="name"
            aria-label="New name"
            value={draft}
            maxLength={200}
            ref={(field) => {
              if (field && document.activeElement !== field) field.focus();
            }}
            onInput={(event) => setDraft(event.currentTarget.value)}
            onBlur={rename}
            onKeyDown={(event) => {
              if (event.key === 'Enter') rename();
              if (event.key === 'Escape') setDraft(undefined);
            }}
          />
        )}
        <span class="tag">{stateOf(run)}</span>
      </div>
      <p class="facts">
        {options.model} · step {step.toLocaleString('en')} of {totalSteps.toLocaleString('en')} · loss {lossOf(latest)}{' '}
        · test {lossOf(test)}
        {test?.accuracy !== undefined && ` (${lossOf(test, 'accuracy')} right)`} · {timeText(seconds)} ·{' '}
        {sizeText(bytesOfRun(run))} · {new Date(created).toLocaleDateString()}
        {parent && ` · from ${parent.name} at step ${parent.step}`}
      </p>
      <div class="row">
        <a class="button" href={addressOf('play', id)}>
          Play
        </a>
        <button
          type="button"
          data-do="open"
          disabled={run.state === 'done' || (isHeld && started.value?.id !== id)}
          onClick={() => attempt(() => open(id))}
        >
          {started.value?.id === id ? 'Show' : 'Go on'}
        </button>
        <button type="button" data-do="rename" onClick={() => setDraft(name)}>
          Rename
        </button>
        <button
          type="button"
          data-do="export"
          onClick={() =>
            attempt(async () => download(fileName(name), await (await store).export(id), 'application/zip'))
          }
        >
          Export
        </button>
        {asks ? (
          <span class="row">
            <button
              type="button"
              class="danger"
              data-do="really"
              aria-label={`Delete ${name} for good`}
              ref={(button) => button?.focus()}
              onClick={() => attempt(async () => (await store).delete(id)).then(refreshRuns)}
            >
              Delete for good
            </button>
            <button type="button" onClick={() => setAsks(false)}>
              Keep
            </button>
          </span>
        ) : (
          <button type="button" data-do="delete" disabled={isHeld} onClick={() => setAsks(true)}>
            Delete
          </button>
        )}
      </div>
    </li>
  );
}

/** Options side by side: only those in which they differ. */
function Differences({ of }: { of: readonly RunRecord[] }) {
  const names = [...new Set(of.flatMap(({ options }) => Object.keys(options)))];
  const rows: (readonly [string, readonly string[]])[] = [
    ['data', of.map(({ data }) => data.name)],
    ...names.map((name) => [wordsOf(name), of.map(({ options }) => String(options[name] ?? '–'))] as const),
  ];
  const differing = rows.filter(([, values]) => new Set(values).size > 1);
  if (of.length < 2)
    return <p class="hint">Choose two or more to see them over each other, and in which options they differ.</p>;
  if (differing.length === 0) return <p class="hint">All have the same options.</p>;
  return (
    <section class="scroll" aria-label="Options that differ">
      <table id="differences">
        <thead>
          <tr>
            <th scope="col">option</th>
            {of.map(({ id, name }) => (
              <th key={id} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {differing.map(([name, values]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {values.map((value, i) => (
                <td key={of[i]!.id}>{value}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function Runs() {
  const [usage, setUsage] = useState<{ used: number; quota: number | undefined } | undefined>(undefined);
  const all = runs.value;
  useEffect(() => {
    void refreshRuns();
  }, []);
  useEffect(() => {
    void store.then((ready) => ready.usage()).then(setUsage, () => {});
  }, [all]);
  const of = compared();
  return (
    <>
      <div class="head">
        <h1>Runs</h1>
        <p class="hint" id="usage">
          {usage &&
            `${sizeText(usage.used)} used${usage.quota ? ` of ${sizeText(usage.quota)} that this browser gives` : ''}. They stay in this browser until you delete them.`}
        </p>
        <label class="button">
          Import
          <input
            type="file"
            id="import"
            accept=".zip"
            multiple
            onChange={(event) => {
              const { files } = event.currentTarget;
              void attempt(() => bring(files!)).then(() => {
                event.currentTarget.value = '';
              });
            }}
          />
        </label>
      </div>
      {all?.length === 0 && (
        <section class="card">
          <h2>No runs yet</h2>
          <p>
            <a href={addressOf('train')}>Train one</a>, or import one that somebody exported: drop its{' '}
            <code>.glia.zip</code> anywhere on the page.
          </p>
        </section>
      )}
      {all && all.length > 0 && (
        <div class="runs-page">
          <ul class="runs" aria-label="Runs">
            {all.map((run) => (
              <Row key={run.id} run={run} />
            ))}
          </ul>
          <section class="card compare">
            <h2>Side by side</h2>
            {of.length > 0 && <Curves runs={of} />}
            <Differences of={of} />
          </section>
        </div>
      )}
    </>
  );
}

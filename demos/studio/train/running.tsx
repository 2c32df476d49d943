// A run under way: its buttons, numbers, curve and pictures.

import { signal } from '@preact/signals';
import { describeTerm } from '../../../src/train/events.ts';
import { examplesOf } from '../../../src/train/registry/registry.ts';
import { download } from '../../../src/view/download.ts';
import { PictureCard } from '../parts/pictures.tsx';
import { TextCard } from '../parts/text_card.tsx';
import { timeText } from '../parts/ui.tsx';
import { addressOf, attempt, trainer } from '../state.ts';
import type { Progress } from '../work/session.ts';
import { LossPlot } from './plot.tsx';
import {
  between,
  fork,
  goOn,
  pause,
  pictures,
  progress,
  recovery,
  stage,
  started,
  state,
  stop,
  texts,
  trouble,
} from './session.ts';
import { wordsOf } from './words.ts';

const NONE = '–';
const rate = signal('');

/** In epochs, unless the run was to end before. */
function lengthOf({ epochs = 0, totalSteps = 0 }: Partial<Progress> = {}): string {
  const wanted = started.value?.options.steps;
  const [count, what] = wanted !== undefined && totalSteps >= wanted ? [totalSteps, 'step'] : [epochs, 'epoch'];
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function status(): string {
  const now = progress.value;
  switch (state.value) {
    case 'preparing':
      return stage.value;
    case 'training': {
      const left = now?.secondsLeft;
      const streamed = now?.streamedThrough
        ? `, images streamed through ${Math.ceil(now.streamedThrough / 1e6)} MB on the GPU`
        : '';
      return `Training${streamed}${left === undefined ? ' …' : `: ${timeText(left)} left`}`;
    }
    case 'pausing':
      return 'Pausing …';
    case 'paused':
      return 'Paused. It is kept in this browser: you may close the page.';
    case 'done':
      return `Done after ${lengthOf(now)}, in ${timeText(now?.seconds ?? 0)}.`;
    case 'failed':
      return 'Stopped. What it had learned is kept.';
    case 'none':
      return '';
  }
}

function Buttons() {
  const { id = '' } = started.value ?? {};
  const now = state.value;
  const isStill = now === 'paused' || now === 'failed' || now === 'done';
  return (
    <section class="card actions">
      <div>
        <h2 id="run-name">{started.value?.name ?? 'A new run'}</h2>
        <p id="status" role="status" aria-live="polite">
          {status()}
        </p>
      </div>
      <div class="row">
        {now === 'training' || now === 'preparing' || now === 'pausing' ? (
          <button type="button" class="primary" id="pause" disabled={now !== 'training'} onClick={() => attempt(pause)}>
            Pause
          </button>
        ) : (
          now !== 'done' && (
            <button type="button" class="primary" id="go-on" onClick={() => attempt(() => goOn(id))}>
              Go on
            </button>
          )
        )}
        <button type="button" id="fork" disabled={now !== 'training' && now !== 'paused'} onClick={() => attempt(fork)}>
          Fork from here
        </button>
        <button type="button" id="stop" disabled={now !== 'training' && !isStill} onClick={() => attempt(stop)}>
          {isStill ? 'Close' : 'Stop'}
        </button>
        <a class={`button ${id ? '' : 'off'}`} id="play-run" href={addressOf('play', id)}>
          Play with it
        </a>
      </div>
    </section>
  );
}

function Numbers() {
  const now = progress.value;
  const { latest, test, terms = ['loss'], step = 0, totalSteps, epoch, epochs, batch = 0 } = now ?? {};
  const what = started.value ? examplesOf(started.value.options.model) : 'examples';
  const entries: readonly (readonly [label: string, value: string, rest?: string])[] = [
    ['step', now ? `${step}` : NONE, totalSteps ? ` / ${totalSteps}` : ''],
    ['epoch', now ? `${epoch}` : NONE, epochs ? ` / ${epochs}` : ''],
    ...terms.map((name) => {
      const { label, text } = describeTerm(name, Number(latest?.[name]));
      return [label, latest ? text : NONE] as const;
    }),
    ...terms
      .filter((name) => name === 'loss' || name === 'accuracy')
      .map((name) => [`test ${name}`, test ? describeTerm(name, test[name]!).text : NONE] as const),
    ['ms a step', latest ? latest.msPerStep.toFixed(latest.msPerStep < 10 ? 2 : 0) : NONE],
    [`${what} a second`, latest ? Math.round((1000 * batch) / latest.msPerStep).toLocaleString('en') : NONE],
    ['saved at step', now ? `${now.savedStep}` : NONE],
  ];
  return (
    <dl class="card numbers" id="numbers">
      {entries.map(([label, value, rest = '']) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>
            {value}
            <small>{rest}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** What happened to the device, and what that means for the run: nothing. */
function Recovery() {
  const now = recovery.value;
  if (!now) return null;
  const { reason, from, step, adapter, count } = now;
  const again = step > from ? ` The ${step - from} steps since its copy at step ${from} were made once more.` : '';
  return (
    <p class="notice note" role="status" id="recovery">
      <span>
        {reason[0]!.toUpperCase()}
        {reason.slice(1)}. Training went on with {adapter ?? 'another'}.{again}{' '}
        {adapter ? 'Another GPU may round differently.' : 'The result is the same to the bit.'}
        {count > 1 && ` It was lost ${count} times by now.`}
      </span>
    </p>
  );
}

function TakeAlong() {
  const can = state.value !== 'preparing' && state.value !== 'pausing' && state.value !== 'none';
  const save = (file: string, encode: () => Promise<Uint8Array>) =>
    attempt(async () => download(file, await between(encode)));
  return (
    <section class="card">
      <h2>Take it along</h2>
      <div class="row">
        <button
          type="button"
          id="save-model"
          disabled={!can}
          onClick={() => save('model.safetensors', () => trainer().weights())}
        >
          model.safetensors
        </button>
        <button
          type="button"
          id="save-checkpoint"
          disabled={!can}
          onClick={() => save('checkpoint.safetensors', () => trainer().checkpoint())}
        >
          checkpoint.safetensors
        </button>
      </div>
      <p class="hint">
        The model has PyTorch's names and layouts. The checkpoint goes on in <code>npm run train</code> with{' '}
        <code>--resume</code>, or dropped on this page.
      </p>
    </section>
  );
}

function Made() {
  const { options, data } = started.value!;
  const set = Object.entries(options).filter(([, value]) => value !== undefined);
  return (
    <details class="card">
      <summary>
        Options <small>{data.name}</small>
      </summary>
      <dl class="pairs">
        {set.map(([name, value]) => (
          <div key={name}>
            <dt>{wordsOf(name)}</dt>
            <dd>{String(value)}</dd>
          </div>
        ))}
      </dl>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          const lr = Number(rate.value);
          void attempt(() => trainer().setLearningRate(lr));
        }}
      >
        <label class="field">
          <span>Learning rate from here</span>
          <input
            name="rate"
            type="number"
            step="any"
            min="0"
            required
            placeholder={String(options.lr)}
            value={rate.value}
            onInput={(event) => {
              rate.value = event.currentTarget.value;
            }}
          />
        </label>
        <button type="submit" disabled={state.value !== 'training' && state.value !== 'paused'}>
          Set
        </button>
      </form>
    </details>
  );
}

export function Running() {
  return (
    <div class="running">
      <Buttons />
      {trouble.value && (
        <p class="notice" role="alert" id="trouble">
          {trouble.value.line}. Training goes on; it is saved again when there is room.{' '}
          {trouble.value.quota && <a href={addressOf('runs')}>Choose what to delete</a>}
        </p>
      )}
      <Recovery />
      <Numbers />
      <section class="card">
        <h2>Loss</h2>
        <LossPlot />
      </section>
      <div class="pictures" id="pictures">
        {pictures.value.map((picture) => (
          <PictureCard key={picture.name} picture={picture} />
        ))}
        {texts.value.map((shown) => (
          <TextCard key={shown.name} shown={shown} />
        ))}
      </div>
      {started.value && (
        <div class="pair">
          <TakeAlong />
          <Made />
        </div>
      )}
    </div>
  );
}

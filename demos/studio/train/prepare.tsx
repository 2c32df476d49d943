// Before a run: presets, data and options.
import { signal } from '@preact/signals';
import { decodeCheckpoint, namedOptions } from '../../../src/train/checkpoint.ts';
import { completeOptions } from '../../../src/train/options.ts';
import { adapter, attempt, runs, trained } from '../state.ts';
import type { Brought } from '../work/brought.ts';
import { Data, keeps, modelFor, readAgain, readFiles, reading, usesOwn } from './data.tsx';
import { givenOf, OptionFields, type Values, valuesOf } from './fields.tsx';
import { PRESETS } from './presets.ts';
import { begin, goOn } from './session.ts';

const values = signal<Values>(valuesOf(PRESETS[0]!.options));
/** The preset that was chosen last. */
const preset = signal<string | undefined>(PRESETS[0]!.title);
const checkpoint = signal<{ readonly name: string; readonly bytes: Uint8Array; readonly step: number } | undefined>(
  undefined,
);

const modelOf = (now: Values) => now.model ?? 'vae';

function choose(next: Values): void {
  if (modelOf(next) !== modelOf(values.value)) preset.value = undefined;
  values.value = next;
}

/** Takes what a person chose or dropped: images or text, and a checkpoint to go on from. */
export async function take(all: readonly Brought[]): Promise<void> {
  const saved = all.find(({ path }) => path.endsWith('.safetensors'));
  if (saved) {
    const bytes = new Uint8Array(await saved.file.arrayBuffer());
    const { progress, name, step } = decodeCheckpoint(bytes, saved.path);
    values.value = valuesOf({ ...namedOptions(progress.options, name), steps: undefined });
    preset.value = undefined;
    checkpoint.value = { name, bytes, step };
  }
  const others = all.filter((file) => file !== saved);
  if (others.length === 0) return readAgain(values.value);
  // Text is for a model of text: one is chosen where the chosen one is not.
  const model = checkpoint.value ? modelOf(values.value) : modelFor(others, modelOf(values.value));
  if (model !== modelOf(values.value)) choose({ model });
  await readFiles(others, { ...values.value, model });
}

/** A name that no run has yet. */
function nameFor(base: string): string {
  const names = new Set((runs.value ?? []).map(({ name }) => name));
  let name = base;
  for (let i = 2; names.has(name); i++) name = `${base} ${i}`;
  return name;
}

function start(): Promise<void> {
  const options = completeOptions(givenOf(values.value));
  const from = checkpoint.value;
  const base = from ? from.name.replace(/\.safetensors$/, '') : (preset.value ?? options.model);
  checkpoint.value = undefined;
  return begin({ name: nameFor(base), options, own: usesOwn(options.model), keep: keeps.value, checkpoint: from });
}

function Presets() {
  return (
    <fieldset class="presets">
      <legend class="title">Begin with</legend>
      {PRESETS.map(({ title, text, options }) => (
        <label key={title} class={`preset ${preset.value === title ? 'chosen' : ''}`}>
          <input
            type="radio"
            name="preset"
            checked={preset.value === title}
            disabled={checkpoint.value !== undefined}
            onChange={() => {
              preset.value = title;
              values.value = valuesOf(options);
            }}
          />
          <b>{title}</b>
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** Runs that were under way when their tab was closed, reloaded or crashed, and the newest that was paused. */
function Interrupted() {
  const free = (runs.value ?? []).filter(({ id, snapshot }) => snapshot && !trained.value.has(id));
  const paused = free.filter(({ state }) => state === 'paused' || state === 'failed').slice(0, 1);
  const left = [...free.filter(({ state }) => state === 'training'), ...paused];
  if (left.length === 0) return null;
  return (
    <section class="card resume" aria-label="Unfinished runs">
      <h2>Go on where you were</h2>
      {left.map(({ id, name, state, step, totalSteps }) => (
        <p key={id} class="row between">
          <span>
            <b>{name}</b>, {state === 'training' ? 'interrupted' : state}, saved at step {step.toLocaleString('en')} of{' '}
            {totalSteps.toLocaleString('en')}
          </span>
          <button
            type="button"
            class="primary"
            data-go-on={id}
            disabled={adapter.value.state !== 'there'}
            onClick={() => attempt(() => goOn(id))}
          >
            Go on
          </button>
        </p>
      ))}
    </section>
  );
}

export function Prepare() {
  const from = checkpoint.value;
  return (
    <form
      class="prepare"
      id="prepare"
      onSubmit={(event) => {
        event.preventDefault();
        void attempt(start);
      }}
      onChange={({ target }) => {
        const { name } = target as HTMLInputElement;
        void attempt(() => readAgain(values.value, name));
      }}
    >
      <div class="column">
        <Interrupted />
        {from ? (
          <section class="card resume">
            <h2>From a checkpoint</h2>
            <p class="row between">
              <span id="checkpoint-name">
                {from.name}: goes on after step {from.step.toLocaleString('en')}
              </span>
              <button
                type="button"
                onClick={() => {
                  checkpoint.value = undefined;
                }}
              >
                Begin anew instead
              </button>
            </p>
          </section>
        ) : (
          <Presets />
        )}
      </div>
      <div class="column">
        <div class="start">
          <button
            type="submit"
            class="primary large"
            id="start"
            disabled={adapter.value.state !== 'there' || reading.value !== ''}
          >
            Start training
          </button>
        </div>
        <Data model={modelOf(values.value)} take={take} />
        <section class="card">
          <h2>Options</h2>
          <OptionFields values={values.value} disabled={from !== undefined} onChange={choose} />
        </section>
      </div>
    </form>
  );
}

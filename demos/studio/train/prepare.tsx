// Before a run: presets, data and options.
import { signal } from '@preact/signals';
import { proxy } from 'comlink';
import { useEffect } from 'preact/hooks';
import { ACCEPTED } from '../../../src/data/formats.ts';
import { OptionError } from '../../../src/errors.ts';
import { decodeCheckpoint, namedOptions } from '../../../src/train/checkpoint.ts';
import { completeOptions } from '../../../src/train/options.ts';
import { Bitmap } from '../parts/pictures.tsx';
import { FileButton, sizeText } from '../parts/ui.tsx';
import { adapter, attempt, runs, trained, trainer } from '../state.ts';
import type { Brought } from '../work/brought.ts';
import type { Preview } from '../work/trainer.worker.ts';
import { givenOf, OptionFields, type Values, valuesOf } from './fields.tsx';
import { PRESETS } from './presets.ts';
import { begin, goOn } from './session.ts';

const values = signal<Values>(valuesOf(PRESETS[0]!.options));
/** The preset that was chosen last. */
const preset = signal<string | undefined>(PRESETS[0]!.title);
const preview = signal<Preview | undefined>(undefined);
const reading = signal('');
const keeps = signal(false);
const checkpoint = signal<{ readonly name: string; readonly bytes: Uint8Array; readonly step: number } | undefined>(
  undefined,
);

const isOwn = () => preview.value?.info.kind === 'images';

/** At first; images may have been dropped meanwhile. */
async function showSomething(): Promise<void> {
  const digits = await trainer().digits();
  if (!reading.value) preview.value ??= digits;
}

async function showDigits(): Promise<void> {
  await trainer().forget();
  preview.value = await trainer().digits();
}

const look = () => {
  const { size, colors } = completeOptions(givenOf(values.value));
  return { size, colors };
};

async function read(work: (told: (done: number, total: number) => void) => Promise<Preview>): Promise<void> {
  if (reading.value) throw new OptionError('other files are being read: wait for them');
  reading.value = 'Reading …';
  try {
    preview.value = await work(
      proxy((done: number, total: number) => {
        reading.value = `Reading images: ${done.toLocaleString('en')} of ${total.toLocaleString('en')} …`;
      }),
    );
  } finally {
    reading.value = '';
  }
}

/** Takes what a person chose or dropped: images, and a checkpoint to go on from. */
export async function take(all: readonly Brought[]): Promise<void> {
  const saved = all.find(({ path }) => path.endsWith('.safetensors'));
  if (saved) {
    const bytes = new Uint8Array(await saved.file.arrayBuffer());
    const { progress, name, step } = decodeCheckpoint(bytes, saved.path);
    values.value = valuesOf({ ...namedOptions(progress.options, name), steps: undefined });
    preset.value = undefined;
    checkpoint.value = { name, bytes, step };
  }
  const images = all.filter((file) => file !== saved);
  if (images.length > 0) await read((told) => trainer().read(images, look(), told));
  else if (isOwn()) await read((told) => trainer().readAgain(look(), told));
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
  return begin({ name: nameFor(base), options, ownImages: isOwn(), keep: keeps.value, checkpoint: from });
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

function Data() {
  useEffect(() => {
    if (!preview.value) void attempt(showSomething);
  }, []);
  const shown = preview.value;
  const info = shown?.info;
  const own = isOwn();
  const bytes = info ? (info.train + info.test) * (info.height * info.width * info.channels + 1) : 0;
  const kind =
    info && `${info.channels > 1 ? ', in colour' : ''}${info.classes > 0 ? `, of ${info.classes} classes` : ''}`;
  return (
    <section class="card">
      <h2>Data</h2>
      <p id="data-name">
        {reading.value ||
          (own
            ? `${info!.name}: ${info!.train.toLocaleString('en')} training and ${info!.test.toLocaleString('en')} test images of ${info!.width}×${info!.height}${kind}`
            : 'Built-in digits: drawn stroke by stroke with random hands, the same for the same seed.')}
      </p>
      <div class="preview">
        {shown && <Bitmap id="preview" bitmap={shown.picture.bitmap} label="Some of the images" />}
      </div>
      <div class="row">
        <FileButton id="files" label="Choose files" several disabled={reading.value !== ''} take={take} />
        <FileButton id="folder" label="Choose a folder" several folder disabled={reading.value !== ''} take={take} />
        {own && (
          <button type="button" id="built-in" onClick={() => attempt(showDigits)}>
            Built-in digits
          </button>
        )}
      </div>
      {own && (
        <label class="check">
          <input
            type="checkbox"
            name="keep"
            checked={keeps.value}
            onChange={(event) => {
              keeps.value = event.currentTarget.checked;
            }}
          />
          <span>
            Keep a copy of these images in this browser ({sizeText(bytes)}), so that the run can go on after a reload
            without asking for them
          </span>
        </label>
      )}
      <p class="hint">Or drop them on the page: {ACCEPTED}. Nothing leaves your computer.</p>
    </section>
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
        if (['size', 'colors'].includes(name) && isOwn())
          void attempt(() => read((told) => trainer().readAgain(look(), told)));
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
        <Data />
        <section class="card">
          <h2>Options</h2>
          <OptionFields
            values={values.value}
            disabled={from !== undefined}
            onChange={(next) => {
              if (next.model !== values.value.model) preset.value = undefined;
              values.value = next;
            }}
          />
        </section>
      </div>
    </form>
  );
}

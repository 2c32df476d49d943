// What is trained on: the studio's own data or a person's, of the kind that the chosen model learns from.
import { signal } from '@preact/signals';
import { proxy } from 'comlink';
import { useEffect } from 'preact/hooks';
import { ACCEPTED } from '../../../src/data/formats.ts';
import { isTextFile, TEXT_ACCEPTED } from '../../../src/data/text.ts';
import { OptionError } from '../../../src/errors.ts';
import { isOfText } from '../../../src/train/built_in.ts';
import { completeOptions, type TrainOptions } from '../../../src/train/options.ts';
import { MODELS } from '../../../src/train/registry/registry.ts';
import { Bitmap } from '../parts/pictures.tsx';
import { Check, FileButton, sizeText } from '../parts/ui.tsx';
import { attempt, trainer } from '../state.ts';
import { isOwn } from '../store/record.ts';
import type { Brought } from '../work/brought.ts';
import type { Preview } from '../work/data.ts';
import { givenOf, type Values } from './fields.tsx';

type Kind = 'images' | 'text';
export const kindOf = (model: string): Kind => (isOfText({ model }) ? 'text' : 'images');

/** What there is of each kind. */
const previews = signal<Partial<Record<Kind, Preview>>>({});
export const reading = signal('');
export const keeps = signal(false);

/** Whether a model would learn from what a person brought. */
export function usesOwn(model: string): boolean {
  const preview = previews.value[kindOf(model)];
  return preview !== undefined && isOwn(preview.info);
}

const put = (kind: Kind, preview: Preview) => {
  previews.value = { ...previews.value, [kind]: preview };
};

/** At first; something may have been dropped meanwhile. */
async function showSomething(model: string): Promise<void> {
  const kind = kindOf(model);
  const preview = await trainer().builtIn(completeOptions({ model }));
  if (!reading.value && !previews.value[kind]) put(kind, preview);
}

async function showBuiltIn(model: string): Promise<void> {
  const options = completeOptions({ model });
  await trainer().forget(options);
  put(kindOf(model), await trainer().builtIn(options));
}

/** Options that reading depends on. */
const READ_BY = ['size', 'colors', 'vocabulary'];

/** Without the others, which may be half typed. */
function optionsToRead(values: Values): TrainOptions {
  const given = Object.entries(values).filter(([name]) => name === 'model' || READ_BY.includes(name));
  return completeOptions(givenOf(Object.fromEntries(given)));
}

async function read(
  model: string,
  work: (told: (done: number, total: number) => void) => Promise<Preview>,
): Promise<void> {
  if (reading.value) throw new OptionError('other files are being read: wait for them');
  reading.value = 'Reading …';
  try {
    const preview = await work(
      proxy((done: number, total: number) => {
        reading.value = `Reading: ${done.toLocaleString('en')} of ${total.toLocaleString('en')} …`;
      }),
    );
    put(kindOf(model), preview);
  } finally {
    reading.value = '';
  }
}

/** A model that learns from such files: the chosen one, if it does. */
export function modelFor(files: readonly Brought[], model: string): string {
  const kind: Kind = files.every(({ path }) => isTextFile(path)) ? 'text' : 'images';
  return kindOf(model) === kind ? model : [...MODELS.keys()].find((name) => kindOf(name) === kind)!;
}

export const readFiles = (files: readonly Brought[], values: Values) =>
  read(values.model!, (told) => trainer().read(files, optionsToRead(values), told));

/** Reads the same files with other options, where these matter. */
export async function readAgain(values: Values, changed?: string): Promise<void> {
  if (!usesOwn(values.model!) || (changed !== undefined && !READ_BY.includes(changed))) return;
  await read(values.model!, (told) => trainer().readAgain(optionsToRead(values), told));
}

const count = (n: number) => n.toLocaleString('en');

function described(kind: Kind, preview: Preview | undefined): string {
  if (!preview || !isOwn(preview.info)) {
    return kind === 'text'
      ? 'Built-in sentences of a small grammar: the same for the same seed.'
      : 'Built-in digits: drawn stroke by stroke with random hands, the same for the same seed.';
  }
  const { name, train, test, vocabulary, width, height, channels, classes } = preview.info;
  if (kind === 'text')
    return `${name}: ${count(train)} tokens to learn from and ${count(test)} to judge by, of ${vocabulary} kinds`;
  const more = `${channels > 1 ? ', in colour' : ''}${classes > 0 ? `, of ${classes} classes` : ''}`;
  return `${name}: ${count(train)} training and ${count(test)} test images of ${width}×${height}${more}`;
}

function bytesOf({ info }: Preview): number {
  const { train, test, vocabulary, height, width, channels } = info;
  const each = vocabulary === undefined ? height * width * channels + 1 : vocabulary > 256 ? 4 : 1;
  return (train + test) * each;
}

/** @param take gets what was chosen */
export function Data({ model, take }: { model: string; take: (files: readonly Brought[]) => Promise<void> }) {
  const kind = kindOf(model);
  useEffect(() => {
    if (!previews.value[kind]) void attempt(() => showSomething(model));
  }, [kind]);
  const shown = previews.value[kind];
  const own = usesOwn(model);
  const busy = reading.value !== '';
  return (
    <section class="card">
      <h2>Data</h2>
      <p id="data-name">{reading.value || described(kind, shown)}</p>
      <div class={`preview ${kind}`}>
        {shown?.picture && <Bitmap id="preview" bitmap={shown.picture.bitmap} label="Some of the images" />}
        {shown?.text !== undefined && (
          <pre id="preview-text" class="sample">
            {shown.text}
          </pre>
        )}
      </div>
      <div class="row">
        <FileButton id="files" label="Choose files" several disabled={busy} take={take} />
        <FileButton id="folder" label="Choose a folder" several folder disabled={busy} take={take} />
        {own && (
          <button type="button" id="built-in" onClick={() => attempt(() => showBuiltIn(model))}>
            {kind === 'text' ? 'Built-in sentences' : 'Built-in digits'}
          </button>
        )}
      </div>
      {own && (
        <Check name="keep" checked={keeps.value} set={(checked) => (keeps.value = checked)}>
          Keep a copy of {kind === 'text' ? 'this text' : 'these images'} in this browser ({sizeText(bytesOf(shown!))}
          ), so that the run can go on after a reload without asking for {kind === 'text' ? 'it' : 'them'}
        </Check>
      )}
      <p class="hint">
        Or drop them on the page: {kind === 'text' ? TEXT_ACCEPTED : ACCEPTED}. Nothing leaves your computer.
      </p>
    </section>
  );
}

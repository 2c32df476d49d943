// The page that trains live: data, options and buttons, and a run that they steer.
import 'uplot/dist/uPlot.min.css';
import { builtInDigits, strokeDigits } from '../../src/data/digits.ts';
import type { Files } from '../../src/data/files.ts';
import { ACCEPTED, readDataset } from '../../src/data/formats.ts';
import type { Dataset } from '../../src/data/images.ts';
import type { Look } from '../../src/data/resize.ts';
import { readText, TEXT_ACCEPTED, type TextDataset, type VocabularyKind } from '../../src/data/text.ts';
import { vocabularyFrom } from '../../src/data/vocabulary.ts';
import { GliaError, UnsupportedError } from '../../src/errors.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import { builtInText, isOfText } from '../../src/train/built_in.ts';
import { type Checkpoint, decodeCheckpoint, namedOptions } from '../../src/train/checkpoint.ts';
import { trainByName } from '../../src/train/named.ts';
import type { TrainOptions } from '../../src/train/options.ts';
import type { Trainer } from '../../src/train/trainer.ts';
import { drawPicture } from '../../src/view/pictures.ts';
import { type Brought, droppedFiles, filesOf, pickedFiles } from './files.ts';
import { OptionsForm } from './form.ts';
import { Run } from './run.ts';
import { View } from './view.ts';

const PREVIEW = 24;

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found as T;
}

const play = element<HTMLButtonElement>('play');
const reset = element<HTMLButtonElement>('reset');
const builtIn = element<HTMLButtonElement>('built-in');
const files = element<HTMLInputElement>('files');
const folder = element<HTMLInputElement>('folder');
const optionsForm = element<HTMLFormElement>('options');
const saveModel = element<HTMLButtonElement>('save-model');
const saveCheckpoint = element<HTMLButtonElement>('save-checkpoint');

type State = 'no gpu' | 'ready' | 'preparing' | 'training' | 'paused' | 'done' | 'failed';

const form = new OptionsForm(element<HTMLFieldSetElement>('fields'));
const view = new View(element('numbers'), element('plot'), element('pictures'));
let gpu: Gpu | undefined;
let run: Run | undefined;
/** What was brought, and what was read of it last; undefined means the built-in digits, drawn when a run starts. */
let brought: { readonly files: Files; readonly look: string; readonly dataset: Dataset } | undefined;
/** Files of text that were brought, read when a run starts. */
let texts: Files | undefined;
let checkpoint: Checkpoint | undefined;
let state: State = 'no gpu';

function show(next: State, status = ''): void {
  state = next;
  document.body.classList.toggle('running', run !== undefined);
  element('status').textContent = status || (next === 'ready' ? 'Ready: press Start.' : '');
  const label: Partial<Record<State, string>> = {
    training: 'Pause',
    paused: 'Resume',
    done: 'Done',
    failed: 'Stopped',
  };
  play.textContent = label[next] ?? 'Start';
  play.disabled = !['ready', 'training', 'paused'].includes(next);
  reset.disabled = !run && !checkpoint;
  if (next === 'preparing') reset.disabled = true;
  const free = ['no gpu', 'ready'].includes(next);
  form.disabled = !free || checkpoint !== undefined;
  for (const control of [files, folder, builtIn]) control.disabled = !free;
  for (const button of [saveModel, saveCheckpoint]) button.disabled = !run || !gpu;
}

function showError(error: unknown): void {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const box = element('error');
  // Options are named as on the command line.
  box.textContent = error instanceof GliaError ? message.replaceAll(/(^|\()--/g, '$1') : `${name}: ${message}`;
  box.hidden = false;
  box.scrollIntoView({ block: 'nearest' });
  if (!(error instanceof GliaError)) console.error(error);
}

const clearError = () => {
  element('error').hidden = true;
};

/** Finds the device, or says what to do about there being none. */
async function requestGpu(): Promise<Gpu | undefined> {
  try {
    const found = await Gpu.request();
    element('adapter').textContent = found.name;
    found.lost.then((error) => {
      if (gpu !== found) return;
      gpu = undefined;
      if (run) show('failed', 'Reset begins anew.');
      showError(error);
    });
    return found;
  } catch (error) {
    element('adapter').textContent = 'no WebGPU';
    if (!(error instanceof UnsupportedError)) throw error;
    element('unsupported-reason').textContent = `${error.message}.`;
    element('unsupported').hidden = false;
    return undefined;
  }
}

/** Lets the browser draw what was just said, before something keeps it busy. */
const painted = () => new Promise<void>((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

async function start(): Promise<void> {
  try {
    run = await prepare();
  } catch (error) {
    show(gpu ? 'ready' : 'no gpu');
    throw error;
  }
  await train(run);
}

/** The text that was brought, or that of the built-in grammar. */
function textOf(options: TrainOptions): Promise<TextDataset> {
  const { vocabulary } = checkpoint?.metadata ?? {};
  const known = vocabulary ? vocabularyFrom(JSON.parse(vocabulary), checkpoint!.name) : undefined;
  if (!texts) return builtInText(options, known);
  return readText(texts, options.vocabulary as VocabularyKind, known);
}

async function prepare(): Promise<Run> {
  const { options } = form;
  show('preparing', brought || isOfText(options) ? 'Compiling shaders …' : 'Drawing digits …');
  await painted();
  await readAgain();
  const dataset = isOfText(options) ? await textOf(options) : (brought?.dataset ?? builtInDigits(options));
  show('preparing', 'Compiling shaders …');
  gpu ??= await requestGpu();
  if (!gpu) throw new UnsupportedError('there is no GPU to train on');
  const trainer = await trainByName(gpu, dataset, options, { checkpoint });
  view.reset();
  try {
    return await Run.create(trainer, view);
  } catch (error) {
    trainer.destroy();
    throw error;
  }
}

async function train(current: Run): Promise<void> {
  const { streamedThrough: bytes } = current.trainer;
  const stream = bytes ? `, with data streamed through ${Math.ceil(bytes / 1e6)} MB on the GPU` : '';
  show('training', `Training${stream} …`);
  try {
    await current.play();
  } catch (error) {
    // What it has learned can still be saved, as long as the device is there.
    if (run === current) show('failed', 'Reset begins anew.');
    throw error;
  }
  if (run !== current || state !== 'training') return;
  if (current.isDone) show('done', `Done after ${current.trainer.epochs} epochs.`);
  else show('paused', 'Paused.');
}

async function attempt(work: () => Promise<void>): Promise<void> {
  clearError();
  try {
    await work();
  } catch (error) {
    showError(error);
  }
}

optionsForm.addEventListener('submit', (event) => {
  event.preventDefault();
  if (state === 'training') void run?.pause();
  else if (state === 'paused' && run) void attempt(() => train(run!));
  else if (state === 'ready') void attempt(start);
});

reset.addEventListener('click', () =>
  attempt(async () => {
    const old = run;
    run = undefined;
    checkpoint = undefined;
    await old?.destroy();
    view.reset();
    gpu ??= await requestGpu();
    show(gpu ? 'ready' : 'no gpu');
  }),
);

function download(name: string, bytes: Uint8Array): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Between two steps, so that weights, moments and counters belong together. */
function save(name: string, encode: (trainer: Trainer) => Promise<Uint8Array>): Promise<void> {
  return attempt(async () => {
    const current = run!;
    const wasTraining = state === 'training';
    await current.pause();
    download(name, await encode(current.trainer));
    if (wasTraining && run === current && !current.isDone) await train(current);
  });
}

saveModel.addEventListener('click', () => save('model.safetensors', (trainer) => trainer.weights()));
saveCheckpoint.addEventListener('click', () => save('checkpoint.safetensors', (trainer) => trainer.checkpoint()));

/** Reads files as images of this look, and tells how far it is. */
async function read(from: Files, { size, colors }: Look): Promise<void> {
  const before = state;
  const look = JSON.stringify([size, colors]);
  let shown = performance.now();
  try {
    show('preparing', `Reading ${from.name} …`);
    const dataset = await readDataset(from, { size, colors }, (done, total) => {
      if (performance.now() - shown < 100) return;
      shown = performance.now();
      show('preparing', `Reading images: ${done.toLocaleString('en')} of ${total.toLocaleString('en')} …`);
    });
    brought = { files: from, look, dataset };
  } finally {
    show(before);
  }
}

/** Reads what was brought once more, if the options want its images otherwise by now. */
async function readAgain(): Promise<void> {
  const { size, colors } = form.options;
  if (!brought || brought.look === JSON.stringify([size, colors])) return;
  await read(brought.files, { size, colors });
  showData();
}

/** Of a text there is nothing to draw. */
function showText(): void {
  builtIn.hidden = !texts;
  element('accepted').textContent = TEXT_ACCEPTED;
  element('data-name').textContent = texts
    ? `Text: ${texts.name}`
    : 'Built-in text: sentences of a small grammar, the same for the same seed.';
}

function showData(): void {
  const ofText = isOfText(form.options);
  element('preview').hidden = ofText;
  builtIn.textContent = ofText ? 'Built-in text' : 'Built-in digits';
  if (ofText) {
    showText();
    return;
  }
  element('accepted').textContent = ACCEPTED;
  builtIn.hidden = !brought;
  const { name, train: set, test } = brought?.dataset ?? strokeDigits({ seed: 0, train: 1, test: PREVIEW });
  const { height, width, channels, classes } = test;
  const counts = [set.count, test.count].map((count) => count.toLocaleString('en'));
  const kind = `${channels > 1 ? ', in colour' : ''}${classes > 0 ? `, of ${set.classes} classes` : ''}`;
  element('data-name').textContent = brought
    ? `${name}: ${counts[0]} training and ${counts[1]} test images of ${width}×${height}${kind}`
    : 'Built-in digits: drawn stroke by stroke with random hands, the same for the same seed.';
  const data = Float32Array.from(test.images.subarray(0, PREVIEW * height * width * channels), (byte) => byte / 255);
  drawPicture(element<HTMLCanvasElement>('preview'), { data, columns: 8, height, width, channels });
}

function take(bring: () => Promise<Brought[]> | Brought[]): Promise<void> {
  const list = bring();
  return attempt(async () => {
    if (run) throw new GliaError('A run is in progress: reset it before you bring other files.');
    if (state === 'preparing') throw new GliaError('Other files are being read: wait for them.');
    const all = await list;
    const saved = all.find(({ path }) => path.endsWith('.safetensors'));
    if (saved) {
      checkpoint = decodeCheckpoint(new Uint8Array(await saved.file.arrayBuffer()), saved.path);
      form.options = { ...namedOptions(checkpoint.progress.options, checkpoint.name), steps: undefined };
      show(state, `${saved.path}: goes on after step ${checkpoint.step}.`);
    }
    const data = all.filter((file) => file !== saved);
    if (data.length > 0 && isOfText(form.options)) texts = filesOf(data);
    else if (data.length > 0) await read(filesOf(data), form.options);
    else await readAgain();
    showData();
  });
}

for (const input of [files, folder]) {
  input.addEventListener('change', async () => {
    await take(() => pickedFiles(input.files!));
    input.value = '';
  });
}
optionsForm.addEventListener('change', ({ target }) => {
  const { name } = target as HTMLInputElement;
  if (name === 'model') showData();
  if (['size', 'colors'].includes(name) && (state === 'ready' || state === 'no gpu')) void attempt(readAgain);
});
builtIn.addEventListener('click', () => {
  if (isOfText(form.options)) texts = undefined;
  else brought = undefined;
  showData();
});

const drop = element('drop');
addEventListener('dragover', (event) => {
  event.preventDefault();
  drop.hidden = !event.dataTransfer?.types.includes('Files');
});
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) drop.hidden = true;
});
addEventListener('drop', (event) => {
  event.preventDefault();
  drop.hidden = true;
  const { dataTransfer } = event;
  if (dataTransfer?.types.includes('Files')) void take(() => droppedFiles(dataTransfer));
});

showData();
show('no gpu');
void attempt(async () => {
  gpu = await requestGpu();
  if (gpu) show('ready');
});

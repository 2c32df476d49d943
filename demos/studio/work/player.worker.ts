// The worker that uses a trained model: it decodes, encodes and judges images as the page asks.

import { expose, transfer } from 'comlink';
import { builtInDigits } from '../../../src/data/digits.ts';
import { readDataset } from '../../../src/data/formats.ts';
import type { Dataset } from '../../../src/data/images.ts';
import type { ImageShape } from '../../../src/data/resize.ts';
import { isText } from '../../../src/data/text.ts';
import { describeVocabulary } from '../../../src/data/vocabulary.ts';
import { CheckpointError, DataError, DeviceLostError, OptionError } from '../../../src/errors.ts';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import type { Writing } from '../../../src/models/generate.ts';
import { type Module, Parameters } from '../../../src/nn/module.ts';
import { writeVariable } from '../../../src/runtime/variables.ts';
import { decodeTrained, restoredModel, type Trained } from '../../../src/train/checkpoint.ts';
import { news, troubleOf } from '../../../src/train/healing.ts';
import type { TrainOptions } from '../../../src/train/options.ts';
import { createModel, isTextEntry, modelEntry } from '../../../src/train/registry/registry.ts';
import type { ShownText } from '../../../src/train/texts.ts';
import { trainedText } from '../../../src/train/trained_text.ts';
import { RunStore } from '../store/runs.ts';
import { type Brought, filesOf } from './brought.ts';
import { deviceOf } from './device.ts';
import { type Drawing, type SentenceFacts, TextUses } from './text_uses.ts';
import { Uses } from './uses.ts';

/** Images that the page gets to choose from, and whose codes it maps. */
const EXAMPLES = 1000;

/** What the page may offer for a model. */
export interface Playable {
  readonly name: string;
  readonly options: TrainOptions;
  /** After how many steps, where it is known. */
  readonly step: number | undefined;
  readonly shape: ImageShape;
  /** Numbers in a code; 0 without codes. */
  readonly codeSize: number;
  readonly grid: { readonly height: number; readonly width: number; readonly entries: number } | undefined;
  /** Classes that it tells apart; 0 for none. */
  readonly classes: number;
  /** Classes of which it is told one; 0 for none. */
  readonly toldClasses: number;
  readonly reconstructs: boolean;
  /** Whether it goes on from a prompt, and whether it shows text of its own. */
  readonly writes: boolean;
  readonly showsText: boolean;
  /** Whether it reads and writes sentences by codes, and what is to be known of that. */
  readonly sentences: SentenceFacts | undefined;
  /** Images that it is shown with. */
  readonly images: { readonly name: string; readonly count: number; readonly labels: Uint8Array | undefined };
}

let uses: Uses | TextUses | undefined;
const device = deviceOf(() => {
  uses = undefined;
});
interface Current {
  readonly trained: Trained;
  /** The run that the model is of, if it is of one. */
  readonly run: string | undefined;
  /** Images of the user's that it is shown with. */
  readonly own?: Dataset | undefined;
  readonly model: Module;
  readonly parameters: Parameters;
}
let current: Current | undefined;
const store = RunStore.open();

/** Height, width and channels of the images that a file's model takes, as far as the file says it. */
function shapeOf({ options, data, tensors, name }: Trained): ImageShape {
  const told = /\d+/.exec(data?.tensors.images?.split(' ')[1] ?? '')?.[0];
  const first = tensors.get('encoder.0.weight') ?? tensors.get('layers.0.weight');
  const size = options.size ?? 28;
  const channels = options.colors === 'rgb' ? 3 : 1;
  // A convolution's weights tell how many channels, and not how large the images are.
  const wide = first?.shape.length === 2 ? first.shape[1]! : undefined;
  const pixels = told ? Number(told) : wide;
  if (pixels === undefined) return { height: size, width: size, channels };
  for (const depth of [1, 3]) {
    const side = Math.round(Math.sqrt(pixels / depth));
    if (side * side * depth === pixels) return { height: side, width: side, channels: depth };
  }
  // One that is told the class has as many inputs more.
  for (let classes = 2; classes <= 256 && classes < pixels; classes++) {
    const side = Math.round(Math.sqrt(pixels - classes));
    if (side * side === pixels - classes) return { height: side, width: side, channels: 1 };
  }
  throw new OptionError(
    `${name} is of images whose height and width it does not say: give images like those it was trained on`,
  );
}

/** Digits where the model takes images of such a size, else grey: somebody who has the images brings them. */
function stand(shape: ImageShape, seed: number): Dataset {
  const { height, width, channels } = shape;
  if (height !== width) throw new DataError('give images like those that it was trained on');
  return builtInDigits({ seed, size: height, colors: channels === 3 ? 'rgb' : 'grey' });
}

async function imagesOf(trained: Trained, run: string | undefined, own: Dataset | undefined): Promise<Dataset> {
  if (own) return own;
  const kept = run === undefined ? undefined : await (await store).dataset(run);
  return (kept && !isText(kept) ? kept : undefined) ?? stand(shapeOf(trained), trained.options.seed);
}

/** What nothing is known of. */
const NOTHING = {
  ...{ codeSize: 0, grid: undefined, classes: 0, toldClasses: 0, reconstructs: false },
  ...{ writes: false, showsText: false, sentences: undefined },
} as const;

/** Takes the weights to the device, in place of those of the model before. */
function exchange(gpu: Gpu, values: ReturnType<typeof restoredModel>, next: Uses | TextUses): void {
  uses?.destroy();
  uses = undefined;
  for (const { variable, flat } of values) writeVariable(gpu, variable, flat);
  uses = next;
}

async function makeText(trained: Trained, run: string | undefined): Promise<Playable> {
  const gpu = await device();
  const found = await trainedText(trained);
  const of = new TextUses(gpu, found);
  exchange(gpu, found.weights, of);
  current = { trained, run, model: found.model, parameters: found.parameters };
  const { name, options, step } = trained;
  const sentences = await of.sentenceFacts(run === undefined ? undefined : await (await store).dataset(run));
  return {
    ...NOTHING,
    ...{
      name,
      options,
      step,
      writes: of.writes,
      showsText: of.shows,
      sentences,
      shape: { height: 0, width: 0, channels: 1 },
    },
    images: { name: `a vocabulary of ${describeVocabulary(found.vocabulary)}`, count: 0, labels: undefined },
  };
}

async function make(trained: Trained, run: string | undefined, own?: Dataset): Promise<Playable> {
  const { options, name, step } = trained;
  const entry = modelEntry(options.model);
  if (isTextEntry(entry)) return makeText(trained, run);
  const gpu = await device();
  const dataset = await imagesOf(trained, run, own);
  const model = createModel(dataset, options);
  const parameters = new Parameters(model);
  let values: ReturnType<typeof restoredModel>;
  try {
    values = restoredModel(parameters, model.namedBuffers(), trained);
  } catch (cause) {
    if (own || !(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`${cause.message}; if it was trained on other images, give these too`, { cause });
  }
  const abilities = entry.abilities?.(model) ?? { toldClasses: 0 };
  const of = new Uses(gpu, model, parameters, abilities, dataset.test, EXAMPLES);
  exchange(gpu, values, of);
  current = { trained, run, own, model, parameters };
  const { height, width, channels, labels } = dataset.test;
  const { space, grid, classify, reconstruct, toldClasses } = abilities;
  return {
    ...NOTHING,
    ...{ name, options, step, toldClasses, reconstructs: reconstruct !== undefined },
    shape: { height, width, channels },
    codeSize: space?.size ?? 0,
    grid: grid && { height: grid.height, width: grid.width, entries: grid.entries },
    classes: classify ? dataset.train.classes : 0,
    images: { name: dataset.name, count: of.count, labels: labels?.slice(0, of.count) },
  };
}

/** The making that is under way. */
let again: Promise<unknown> | undefined;
/** The model on the device: made once more where that was lost. */
async function ready(): Promise<Uses | TextUses> {
  if (!uses) {
    if (!current) throw new OptionError('choose a model first');
    const { trained, run, own } = current;
    again ??= make(trained, run, own).finally(() => (again = undefined));
    await again;
  }
  return uses!;
}

/** Does it, and once more where the device is lost meanwhile. */
async function using<T>(work: (now: Uses | TextUses) => Promise<T> | T): Promise<T> {
  const now = await ready();
  try {
    return await work(now);
  } catch (error) {
    if (!((await troubleOf(error, now.gpu)) instanceof DeviceLostError)) throw error;
    // What forgets it is told after whoever waited for it.
    await Promise.race([now.gpu.lost, news()]);
    if (uses === now) uses = undefined;
    return work(await ready());
  }
}

const ofImages = <T>(work: (now: Uses) => Promise<T> | T): Promise<T> =>
  using((now) => {
    if (now instanceof TextUses) throw new OptionError('this model is of text, and knows no images');
    return work(now);
  });

const ofText = <T>(work: (now: TextUses) => Promise<T> | T): Promise<T> =>
  using((now) => {
    if (now instanceof Uses) throw new OptionError('this model is of images, and writes no text');
    return work(now);
  });

const sent = (data: Float32Array) => transfer(data, [data.buffer as ArrayBuffer]);

const api = {
  /** Takes the newest snapshot of a run. */
  async loadRun(id: string): Promise<Playable> {
    const runs = await store;
    const { name } = await runs.get(id);
    const bytes = await runs.snapshot(id);
    if (!bytes) throw new CheckpointError(`${name} has no snapshot yet`);
    return make(decodeTrained(bytes, name), id);
  },

  /** Takes a file of weights or a checkpoint. */
  async loadFile(name: string, bytes: Uint8Array): Promise<Playable> {
    return make(decodeTrained(bytes as Uint8Array<ArrayBuffer>, name), undefined);
  },

  /** Shows the model with images of the user's. */
  async showWith(list: readonly Brought[]): Promise<Playable> {
    if (!current) throw new OptionError('choose a model first');
    const { options } = current.trained;
    const dataset = await readDataset(filesOf(list), { size: options.size, colors: options.colors });
    return make(current.trained, current.run, dataset);
  },

  /** The newest weights of the run, where it has gone on. @returns the step that they are of, if they are others */
  async refresh(): Promise<number | undefined> {
    if (current?.run === undefined || !uses) return undefined;
    const { trained, run, model, parameters } = current;
    const bytes = await (await store).snapshot(run);
    const newer = bytes && decodeTrained(bytes, trained.name);
    if (!newer || newer.step === trained.step || !uses) return undefined;
    const values = restoredModel(parameters, model.namedBuffers(), newer);
    for (const { variable, flat } of values) writeVariable(uses.gpu, variable, flat);
    current = { ...current, trained: newer };
    return newer.step;
  },

  /** Images that it is shown with, [count, height, width, channels], intensities, from one of them on. */
  async examples(first: number, count: number): Promise<Float32Array> {
    return sent(await ofImages((now) => now.examples(first, count)));
  },

  /** Means and logarithms of variances of the codes of all examples, [count, size] each. */
  async codes(): Promise<{ mean: Float32Array; logvar: Float32Array }> {
    const { mean, logvar } = await ofImages((now) => now.codes());
    return transfer({ mean, logvar }, [mean.buffer as ArrayBuffer, logvar.buffer as ArrayBuffer]);
  },

  /** Images of codes [count, size]; of one class, where the model is told one. */
  async decode(codes: Float32Array, label = 0): Promise<Float32Array> {
    return sent(await ofImages((now) => now.decode(codes, label)));
  },

  /** What the model makes of one image. */
  look(image: Float32Array, label = 0) {
    return ofImages((now) => now.look(image, label));
  },

  /** −ELBO of the examples, sorted: what is usual. */
  async bounds(): Promise<Float32Array> {
    return sent(await ofImages((now) => now.bounds()));
  },

  /** The image of a grid of entries. */
  async decodeGrid(entries: Uint32Array): Promise<Float32Array> {
    return sent(await ofImages((now) => now.decodeGrid(entries)));
  },

  /** Goes on from a prompt, told as it is written. @returns how many tokens, in how many seconds */
  async write(prompt: string, count: number, how: Partial<Writing>, told: (text: string) => void) {
    const began = performance.now();
    const tokens = await ofText((now) => now.write(prompt, count, how, told));
    return { tokens, seconds: (performance.now() - began) / 1000 };
  },

  stopWriting(): void {
    if (uses instanceof TextUses) uses.stop();
  },

  /** Text that shows what the model has learned. */
  texts: (): Promise<readonly ShownText[]> => ofText((now) => now.samples()),

  /** Sentences of random codes. */
  drawSentences: (how: Drawing) => ofText((now) => now.drawSentences(how)),

  /** What the model makes of a sentence. */
  lookAtSentence: (sentence: string, how: Drawing) => ofText((now) => now.lookAtSentence(sentence, how)),

  /** Sentences from one to another. */
  walk: (from: string, to: string, how: Drawing) => ofText((now) => now.walk(from, to, how)),

  /** What each entry of the table looks like where it stands everywhere. */
  async entries(): Promise<Float32Array> {
    return sent(await ofImages((now) => now.entries()));
  },
};

export type PlayerApi = typeof api;

expose(api);

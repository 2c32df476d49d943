// The worker that compresses images by a trained model, and gets them back; beside it, what a browser's own coders make of them.
import { expose, transfer } from 'comlink';
import { compressWork, decompressWork, type ProgressEvent } from '../../../src/cli/compress/work.ts';
import { DEFAULT_BLOCK } from '../../../src/coder/archive.ts';
import { builtInDigits, STROKE_DIGITS } from '../../../src/data/digits.ts';
import { readDataset } from '../../../src/data/formats.ts';
import type { Dataset, ImageSet } from '../../../src/data/images.ts';
import { isText } from '../../../src/data/text.ts';
import { CheckpointError, DataError, OptionError } from '../../../src/errors.ts';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import { decodeTrained, type Trained } from '../../../src/train/checkpoint.ts';
import { pixelsOf } from '../../../src/view/pictures.ts';
import { RunStore } from '../store/runs.ts';
import { type Brought, filesOf } from './brought.ts';
import { deviceOf } from './device.ts';

/** Images that are shown. */
const SHOWN = 24;

export type Size = Pick<ImageSet, 'height' | 'width' | 'channels'>;

/** Bytes, by who made them of the same images. */
export interface Coded {
  readonly name: string;
  readonly bytes: number;
}

export interface Packed {
  readonly archive: Uint8Array;
  readonly modelBytes: number;
  readonly count: number;
  readonly size: Size;
  readonly seconds: number;
  readonly shown: Float32Array;
}

export interface Unpacked {
  readonly count: number;
  readonly recovered: number;
  readonly damaged: readonly string[];
  readonly seconds: number;
  readonly size: Size;
  readonly shown: Float32Array;
  readonly file: { readonly name: string; readonly bytes: Uint8Array };
  /** Whether they are those that were compressed here last; undefined if none were, or fewer came back. */
  readonly same: boolean | undefined;
}

type Told = (done: number, total: number) => void;

const device = deviceOf();
const store = RunStore.open();
let current: { readonly trained: Trained; readonly run: string | undefined } | undefined;
let packed: Uint8Array | undefined;

/** Without a device the networks are computed here. */
const deviceIfAny = (): Promise<Gpu | undefined> => device().catch(() => undefined);

function take(trained: Trained, run: string | undefined) {
  current = { trained, run };
  packed = undefined;
  return { name: trained.name, model: trained.options.model, binarize: trained.options.binarize };
}

async function imagesFor(brought: readonly Brought[] | undefined): Promise<Dataset> {
  const { trained, run } = current!;
  const { options } = trained;
  if (brought) return readDataset(filesOf(brought), { size: options.size, colors: options.colors });
  const kept = run === undefined ? undefined : await (await store).dataset(run);
  if (kept && isText(kept)) throw new DataError('a model of text compresses no images');
  if (kept) return kept;
  const { name = STROKE_DIGITS } = trained.data ?? {};
  if (name !== STROKE_DIGITS)
    throw new DataError(`${name}, of which it learned, is not kept in this browser: choose it again`);
  return builtInDigits({ seed: options.seed, size: options.size ?? 28, colors: options.colors ?? 'grey' });
}

function shownOf(images: Uint8Array, { height, width, channels }: Size): Float32Array {
  return Float32Array.from(images.subarray(0, SHOWN * height * width * channels), (byte) => byte / 255);
}

async function streamed(format: CompressionFormat, bytes: Uint8Array): Promise<number> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream(format));
  return (await new Response(stream).blob()).size;
}

/** All images as one picture, near a square. */
async function drawn(images: Uint8Array, size: Size, count: number, type: string): Promise<number | undefined> {
  const { height, width, channels } = size;
  const columns = Math.ceil(Math.sqrt((count * height) / width));
  const canvas = new OffscreenCanvas(columns * width, Math.ceil(count / columns) * height);
  const context = canvas.getContext('2d')!;
  const pixels = height * width * channels;
  for (let i = 0; i < count; i++) {
    const one = Float32Array.from(images.subarray(i * pixels, (i + 1) * pixels), (byte) => byte / 255);
    context.putImageData(pixelsOf(one, size), (i % columns) * width, Math.floor(i / columns) * height);
  }
  const blob = await canvas.convertToBlob({ type, quality: 1 });
  return blob.type === type ? blob.size : undefined;
}

/** Eight pixels a byte, where they are black and white. */
function asStored(images: Uint8Array): Uint8Array {
  if (images.some((byte) => byte !== 0 && byte !== 255)) return images;
  const bits = new Uint8Array(Math.ceil(images.length / 8));
  images.forEach((byte, i) => {
    if (byte) bits[i >> 3]! |= 0x80 >> (i & 7);
  });
  return bits;
}

const api = {
  async loadRun(id: string) {
    const runs = await store;
    const { name } = await runs.get(id);
    const bytes = await runs.snapshot(id);
    if (!bytes) throw new CheckpointError(`${name} has no snapshot yet`);
    return take(decodeTrained(bytes, name), id);
  },

  async loadFile(name: string, bytes: Uint8Array) {
    return take(decodeTrained(bytes as Uint8Array<ArrayBuffer>, name), undefined);
  },

  /** Images that were brought, or those that the model is tested with; `others` is told of each other coder. */
  async compress(
    brought: readonly Brought[] | undefined,
    withModel: boolean,
    tell: Told,
    others: (coded: Coded) => void,
  ): Promise<Packed> {
    if (!current) throw new OptionError('choose a model first');
    const { trained } = current;
    const dataset = await imagesFor(brought);
    const job = {
      ...({ kind: 'compress', trained: trained.name, block: DEFAULT_BLOCK, images: undefined } as const),
      ...({ split: brought ? 'all' : 'test', withModel, bound: false, compare: true } as const),
    };
    const onProgress = (event: { event: string }) => {
      const { done, total } = event as ProgressEvent;
      if (event.event === 'progress') tell(done, total);
    };
    const made = await compressWork(await deviceIfAny(), job, trained, dataset, onProgress);
    const { bytes, end, images } = made;
    const [height = 1, width = 1, channels = 1] = end.size;
    const size = { height, width, channels };
    packed = images.slice();
    const stored = asStored(packed);
    others({ name: stored === packed ? 'as bytes' : 'as bits', bytes: stored.length });
    others({ name: 'gzip', bytes: await streamed('gzip', stored) });
    if (channels === 1 || channels === 3) {
      const png = await drawn(packed, size, end.count, 'image/png');
      if (png) others({ name: 'PNG, one picture', bytes: png });
      const webp = await drawn(packed, size, end.count, 'image/webp');
      if (webp) others({ name: 'WebP, one picture', bytes: webp });
    }
    const { count, modelBytes, seconds } = end;
    return { archive: bytes, modelBytes, count, size, seconds, shown: shownOf(packed, size) };
  },

  /** The images of an archive, as far as they are sound. */
  async decompress(name: string, archive: Uint8Array, tell: Told): Promise<Unpacked> {
    const job = { kind: 'decompress', archive: name, salvage: true, blocks: undefined } as const;
    const shape: number[] = [];
    const onEvent = (event: { event: string }) => {
      if (event.event === 'start') shape.push(...(event as unknown as { size: readonly number[] }).size);
      else tell((event as ProgressEvent).done, (event as ProgressEvent).total);
    };
    const { file, end } = await decompressWork(
      await deviceIfAny(),
      { ...job, trained: current?.trained.name },
      archive,
      undefined,
      onEvent,
      current?.trained,
    );
    const [height = 1, width = 1, channels = 1] = shape;
    const size = { height, width, channels };
    const images = file.bytes.subarray(file.bytes.length - end.recovered * height * width * channels);
    const before = packed;
    const comparable = before?.length === images.length;
    const same = comparable ? before.every((byte, i) => byte === images[i]) : undefined;
    const { count, recovered, damaged, seconds } = end;
    const shown = shownOf(images, size);
    return transfer({ count, recovered, damaged, seconds, size, shown, file, same }, [shown.buffer as ArrayBuffer]);
  },
};

export type CompressorApi = typeof api;

expose(api);

// What `npm run compress` and `npm run decompress` do, in a page or in Node: with files that were read, on a GPU that is there.
import { compressImages, decompressImages } from '../../coder/archive.ts';
import { joinBytes } from '../../coder/container.ts';
import { drawBinary, threshold } from '../../data/binarize.ts';
import type { Dataset, ImageSet } from '../../data/images.ts';
import { OptionError } from '../../errors.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { decodeTrained, type Trained } from '../../train/checkpoint.ts';
import { estimateLikelihood } from '../../train/evaluate.ts';
import { restoreVae, trainedVae } from '../../train/trained.ts';

export const SPLITS = ['all', 'train', 'test'] as const;

/** What is to be done, as it travels to a page. */
export interface CompressJob {
  readonly kind: 'compress';
  /** What the model's file is called. */
  readonly trained: string;
  readonly split: (typeof SPLITS)[number];
  readonly images: number | undefined;
  readonly block: number;
  readonly withModel: boolean;
  /** Whether the model's bound is told beside. */
  readonly bound: boolean;
  /** Whether the images are wanted, to be coded by others. */
  readonly compare: boolean;
}

export interface DecompressJob {
  readonly kind: 'decompress';
  readonly trained: string | undefined;
  readonly archive: string;
  readonly salvage: boolean;
  readonly blocks: readonly number[] | undefined;
}

export interface StartEvent {
  readonly event: 'start';
  readonly adapter: string;
  readonly software: boolean;
  readonly count: number;
  /** [height, width, channels]. */
  readonly size: readonly number[];
  /** What was made of grey pixels first: what comes back are these. */
  readonly binarize: string;
}

export interface ProgressEvent {
  readonly event: 'progress';
  readonly done: number;
  readonly total: number;
}

interface Timing {
  readonly seconds: number;
  /** Of these: networks, on the GPU or not, and coding. */
  readonly networks: number;
  readonly coder: number;
}

export interface CompressEnd extends Timing {
  /** [height, width, channels]. */
  readonly size: readonly number[];
  readonly count: number;
  readonly bytes: number;
  readonly modelBytes: number;
  /** Of all bytes but the model's. */
  readonly bitsPerDimension: number;
  /** The model's own: its ELBO of the same images, as it was trained. */
  readonly bound?: number;
}

export interface DecompressEnd extends Timing {
  readonly count: number;
  readonly recovered: number;
  readonly damaged: readonly string[];
}

export type Told = (event: StartEvent | ProgressEvent) => void;

const TELL_INTERVAL = 200;

function progress(tell: Told) {
  let told = performance.now();
  return (done: number, total: number) => {
    if (performance.now() - told < TELL_INTERVAL) return;
    told = performance.now();
    tell({ event: 'progress', done, total });
  };
}

/** The images of a split as the model takes them, without labels. */
function chosen({ train, test }: Dataset, { split, images }: CompressJob, { options }: Trained): ImageSet {
  const { height, width, channels } = train;
  const parts = { all: [train, test], train: [train], test: [test] }[split].map((set) => set.images);
  const bytes = parts.length > 1 ? joinBytes(parts) : parts[0]!;
  const pixels = height * width * channels;
  const count = Math.min(images ?? Number.POSITIVE_INFINITY, bytes.length / pixels);
  const set = { height, width, channels, count, classes: 0, images: bytes.subarray(0, count * pixels) };
  if (options.binarize === 'none') return set;
  return options.binarize === 'threshold' ? threshold(set) : drawBinary(set, options.seed);
}

type Counted = Pick<ImageSet, 'count' | 'height' | 'width' | 'channels'>;

function startOf(gpu: Gpu | undefined, { count, height, width, channels }: Counted, binarize: string): StartEvent {
  const adapter = gpu?.name ?? 'none: networks are computed by the processor';
  const software = gpu?.adapter.software ?? false;
  return { event: 'start', adapter, software, count, size: [height, width, channels], binarize };
}

const timing = (began: number, { networks, coder }: { networks: number; coder: number }) => ({
  ...{ seconds: (performance.now() - began) / 1000, networks: networks / 1000, coder: coder / 1000 },
});

export async function compressWork(
  gpu: Gpu | undefined,
  job: CompressJob,
  trained: Trained,
  dataset: Dataset,
  tell: Told,
) {
  const set = chosen(dataset, job, trained);
  tell(startOf(gpu, set, trained.options.binarize));
  const began = performance.now();
  const { block, withModel } = job;
  const { bytes, modelBytes, milliseconds } = await compressImages(gpu, trained, set, {
    ...{ block, withModel, onProgress: progress(tell) },
  });
  const took = timing(began, milliseconds);
  const numbers = set.images.length;
  const end: CompressEnd = {
    ...{ count: set.count, bytes: bytes.length, modelBytes, ...took },
    size: [set.height, set.width, set.channels],
    bitsPerDimension: (8 * (bytes.length - modelBytes)) / Math.max(1, numbers),
    ...(job.bound && { bound: await boundOf(gpu, trained, dataset, set) }),
  };
  return { bytes, end, images: set.images };
}

/** Bits per dimension of the ELBO. */
async function boundOf(gpu: Gpu | undefined, trained: Trained, dataset: Dataset, set: ImageSet): Promise<number> {
  if (!gpu) throw new OptionError("the model's bound takes a device");
  const model = trainedVae(trained, dataset);
  restoreVae(gpu, model);
  const { loss } = await estimateLikelihood(gpu, model.vae, set, { samples: [1] });
  return (loss.mean * set.count) / Math.LN2 / set.images.length;
}

/** An IDX file, as MNIST has them, of images; of colours, with a fourth dimension. */
function idxOf(
  { height, width, channels }: Pick<ImageSet, 'height' | 'width' | 'channels'>,
  parts: readonly Uint8Array[],
) {
  const size = height * width * channels;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const sizes = [length / size, height, width, ...(channels > 1 ? [channels] : [])];
  const bytes = new Uint8Array(4 + 4 * sizes.length + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x800 + sizes.length);
  for (const [i, value] of sizes.entries()) view.setUint32(4 + 4 * i, value);
  let at = 4 + 4 * sizes.length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { name: `images-idx${sizes.length}-ubyte`, bytes };
}

export async function decompressWork(
  gpu: Gpu | undefined,
  job: DecompressJob,
  archive: Uint8Array,
  trained: Uint8Array | undefined,
  tell: Told,
  model = trained && decodeTrained(trained, job.trained ?? 'the model'),
) {
  const began = performance.now();
  let started = false;
  const { salvage, blocks } = job;
  const told = progress(tell);
  const made = await decompressImages(gpu, archive, job.archive, {
    ...{ salvage, ...(blocks && { blocks }) },
    trained: model,
    onOpen(header) {
      started = true;
      tell(startOf(gpu, header, header.binarize));
    },
    onProgress: (done, total) => started && told(done, total),
  });
  const { header, recovered, damaged, milliseconds } = made;
  const size = header.height * header.width * header.channels;
  const file = idxOf(
    header,
    recovered.map(({ images }) => images),
  );
  const count = recovered.reduce((sum, { images }) => sum + images.length / size, 0);
  const end: DecompressEnd = { count: header.count, recovered: count, damaged, ...timing(began, milliseconds) };
  return { file, end };
}

// The work that every engine is given: sizes and data, the same for all. Knows no engine and no page.

export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** One training batch on the host. */
export interface Batch {
  /** Intensities, [batch, pixels]. */
  readonly images: Float32Array;
  /** Standard normal, [batch, latent]. */
  readonly noise: Float32Array;
}

export interface VaeSizes {
  readonly pixels: number;
  /** Widths of the encoder's hidden layers; the decoder has them in reverse. */
  readonly hidden: readonly number[];
  readonly latent: number;
}

/** A · B, where `transpose` says which of them is stored transposed. */
export interface ProductTask {
  readonly kind: 'product';
  readonly a: NdArray;
  readonly b: NdArray;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

export interface SoftmaxTask {
  readonly kind: 'softmax';
  /** [rows, columns]: each row by itself. */
  readonly x: NdArray;
}

export interface SumTask {
  readonly kind: 'sum';
  readonly x: NdArray;
  /** The axis that goes; both if it is not told. */
  readonly axis: 0 | 1 | undefined;
}

export interface TrainTask {
  readonly kind: 'train';
  readonly sizes: VaeSizes;
  readonly batch: number;
  readonly lr: number;
  /** First weights under Glia's names. */
  readonly weights: ReadonlyMap<string, NdArray>;
  /** Two batches of images, one byte a pixel. */
  readonly images: Uint8Array;
  /** The images of `images` with noise: what engines that do not draw batches themselves train on, in turns. */
  readonly batches: readonly [Batch, Batch];
}

export type Task = ProductTask | SoftmaxTask | SumTask | TrainTask;

export interface Workload {
  readonly id: string;
  readonly name: string;
  create(): Task;
}

/** What one run gave: the result, or the loss of a train step. */
export interface Outcome {
  readonly values: ArrayLike<number>;
  /** The batch of this step, if the engine chose it. */
  readonly batch?: () => Promise<Batch>;
}

/** A task on an engine, compiled, with its data on the device. */
export interface Prepared {
  /** Runs once and reads the result. */
  once(): Promise<Outcome>;
  /** Runs so many times, and waits until the device has done it all. */
  run(repeats: number): Promise<void>;
  destroy(): void;
}

export interface Engine {
  /** Where it runs, for people. */
  readonly adapter?: string;
  /** Runs on the CPU. */
  readonly software?: boolean;
  prepare(task: Task): Promise<Prepared>;
}

/** Marsaglia's xorshift32. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function uniform(shape: readonly number[], bound: number, random: () => number): NdArray {
  const data = new Float32Array(shape.reduce((size, dim) => size * dim, 1));
  for (let i = 0; i < data.length; i++) data[i] = (2 * random() - 1) * bound;
  return { shape, data };
}

/** Inputs, outputs and names of the VAE's layers, in the order in which an image passes them. */
export function layersOf({ pixels, hidden, latent }: VaeSizes) {
  const chain = (name: string, widths: readonly number[]) =>
    // Every second place is an activation's.
    widths.slice(1).map((outputs, i) => ({ name: `${name}.${2 * i}`, inputs: widths[i]!, outputs }));
  return {
    encoder: chain('encoder', [pixels, ...hidden, 2 * latent]),
    decoder: chain('decoder', [latent, ...[...hidden].reverse(), pixels]),
  };
}

function trainTask(sizes: VaeSizes, batch: number): TrainTask {
  const random = randomFrom(0x76616531);
  const { encoder, decoder } = layersOf(sizes);
  const weights = new Map<string, NdArray>();
  for (const { name, inputs, outputs } of [...encoder, ...decoder]) {
    const bound = 1 / Math.sqrt(inputs);
    weights.set(`${name}.weight`, uniform([outputs, inputs], bound, random));
    weights.set(`${name}.bias`, uniform([outputs], bound, random));
  }
  const size = batch * sizes.pixels;
  // Most pixels are black, as in drawings.
  const images = Uint8Array.from({ length: 2 * size }, () => Math.max(0, random() * 4 - 3) * 255);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const batchOf = (start: number): Batch => ({
    images: Float32Array.from(images.subarray(start, start + size), (byte) => byte / 255),
    noise: Float32Array.from({ length: batch * sizes.latent }, normal),
  });
  return { kind: 'train', sizes, batch, lr: 1e-3, weights, images, batches: [batchOf(0), batchOf(size)] };
}

const FORMS = {
  nn: { sign: 'A·B', transposeA: false, transposeB: false },
  nt: { sign: 'A·Bᵀ', transposeA: false, transposeB: true },
  tn: { sign: 'Aᵀ·B', transposeA: true, transposeB: false },
} as const;

function products(m: number, k: number, n: number): Workload[] {
  const cube = m === k && k === n;
  return Object.entries(FORMS).map(([form, { sign, transposeA, transposeB }]) => ({
    id: `product-${cube ? m : `${m}x${k}x${n}`}-${form}`,
    name: `${sign}, ${cube ? `${m}³` : `${m}×${k}×${n}`}`,
    create() {
      const random = randomFrom(1);
      const a = uniform(transposeA ? [k, m] : [m, k], 1, random);
      const b = uniform(transposeB ? [n, k] : [k, n], 1, random);
      return { kind: 'product', a, b, transposeA, transposeB };
    },
  }));
}

function sums(axis: SumTask['axis'], id: string, name: string): Workload {
  const shape = [2048, 2048];
  const create = (): SumTask => ({ kind: 'sum', x: uniform(shape, 1, randomFrom(2)), axis });
  return { id, name: `${name}, ${shape.join('×')}`, create };
}

const DEFAULT_VAE: VaeSizes = { pixels: 784, hidden: [400], latent: 20 };
const WIDE_VAE: VaeSizes = { pixels: 784, hidden: [1024, 512], latent: 32 };

export const defaultStep = () => trainTask(DEFAULT_VAE, 128);

/** What every adapter is given. */
export const WORKLOADS: readonly Workload[] = [
  ...[256, 512, 1024].flatMap((size) => products(size, size, size)),
  ...products(128, 784, 400),
  {
    id: 'softmax',
    name: 'softmax, 1024×1000',
    create: () => ({ kind: 'softmax', x: uniform([1024, 1000], 4, randomFrom(3)) }),
  },
  sums(1, 'sum-rows', 'sum over rows'),
  sums(0, 'sum-columns', 'sum over columns'),
  sums(undefined, 'sum-all', 'sum of all'),
  { id: 'vae-128', name: 'VAE train step, batch 128', create: defaultStep },
  { id: 'vae-512', name: 'VAE train step, batch 512', create: () => trainTask(DEFAULT_VAE, 512) },
  { id: 'wide-vae-128', name: 'wider VAE train step, batch 128', create: () => trainTask(WIDE_VAE, 128) },
];

/** The work for an adapter: a GPU is given sizes, too, over which a CPU would sit for minutes. */
export function workloadsFor({ software = false }: Pick<Engine, 'software'>): readonly Workload[] {
  return software ? WORKLOADS : [...[2048, 4096].flatMap((size) => products(size, size, size)), ...WORKLOADS];
}

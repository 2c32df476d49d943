// The work that every engine is given: sizes and data, the same for all. Knows no engine and no page.
import type { Ceilings } from '../runtime/ceilings.ts';
import { type NdArray, randomFrom, sizeOf, uniform } from './arrays.ts';
import { type GptTask, gptTask, gptWork, type WriteTask, writeTask, writeWork } from './gpt/task.ts';
import {
  type Convolution,
  convBytes,
  convFlops,
  convNetwork,
  halving,
  type ImageShape,
  mlpNetwork,
  type Network,
  shapesOf,
  stepBytes,
  stepFlops,
  weightShape,
} from './network.ts';
import type { Work } from './results.ts';

/** One training batch on the host. */
export interface Batch {
  /** Intensities, [batch, pixels]. */
  readonly images: Float32Array;
  /** Standard normal, [batch, latent]. */
  readonly noise: Float32Array;
}

/** A · B, where `transpose` says which of them is stored transposed. */
export interface ProductTask {
  readonly kind: 'matmul';
  readonly a: NdArray;
  readonly b: NdArray;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

export type ConvForm = 'forward' | 'input' | 'weight';

/** A convolution, or the gradient of its images or of its weight. Images are [batch, channels, height, width]. */
export interface ConvTask {
  readonly kind: 'conv';
  readonly form: ConvForm;
  readonly batch: number;
  readonly convolution: Convolution;
  readonly images: NdArray;
  readonly weight: NdArray;
  /** Of the result: what gradients are for. */
  readonly cotangent: NdArray;
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

/** Causal attention, forward, and its gradients for queries, keys and values, one below the other: [3 · length, heads, size]. */
export interface AttentionTask {
  readonly kind: 'attention';
  readonly heads: number;
  readonly length: number;
  /** Numbers of a head. */
  readonly size: number;
  /** [length, heads, size] each; the last is the cotangent of the result. */
  readonly arrays: readonly [NdArray, NdArray, NdArray, NdArray];
}

export interface TrainTask {
  readonly kind: 'train';
  readonly network: Network;
  readonly batch: number;
  readonly lr: number;
  /** First weights under Glia's names. */
  readonly weights: ReadonlyMap<string, NdArray>;
  /** Two batches of images, one byte a pixel. */
  readonly images: Uint8Array;
  /** The images of `images` with noise: what engines that do not draw batches themselves train on, in turns. */
  readonly batches: readonly [Batch, Batch];
}

/** An op, which is done again and again on the same data. */
export type OpTask = ProductTask | ConvTask | SoftmaxTask | SumTask | AttentionTask;
export type Task = OpTask | TrainTask | GptTask | WriteTask;

export interface Workload {
  readonly id: string;
  readonly name: string;
  readonly work: Work;
  create(): Task;
}

export interface MemoryWorkload {
  readonly id: string;
  readonly name: string;
  /** The id of the workload that takes it. */
  readonly workload: string;
}

/** What one run gave: the result, the loss of a train step, or the tokens that were written. */
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
  /** What the adapter can do at best, measured; by Glia alone. */
  ceilings?(): Promise<Ceilings>;
  /** Where it runs, for people. */
  readonly adapter?: string;
  /** Runs on the CPU. */
  readonly software?: boolean;
  prepare(task: Task): Promise<Prepared>;
}

/** Two batches, and first weights as layers of PyTorch have them. */
export function trainTask(network: Network, batch: number): TrainTask {
  const random = randomFrom(0x76616531);
  const weights = new Map<string, NdArray>();
  for (const layer of [...network.encoder, ...network.decoder]) {
    const shape = weightShape(layer);
    const bound = 1 / Math.sqrt(sizeOf(shape.slice(1)));
    weights.set(`${layer.name}.weight`, uniform(shape, bound, random));
    weights.set(`${layer.name}.bias`, uniform(shapesOf(layer).output.slice(0, 1), bound, random));
  }
  const size = batch * network.pixels;
  // Most pixels are black, as in drawings.
  const images = Uint8Array.from({ length: 2 * size }, () => Math.max(0, random() * 4 - 3) * 255);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const batchOf = (start: number): Batch => ({
    images: Float32Array.from(images.subarray(start, start + size), (byte) => byte / 255),
    noise: Float32Array.from({ length: batch * network.latent }, normal),
  });
  return { kind: 'train', network, batch, lr: 1e-3, weights, images, batches: [batchOf(0), batchOf(size)] };
}

const FORMS = {
  nn: { sign: 'A·B', transposeA: false, transposeB: false },
  nt: { sign: 'A·Bᵀ', transposeA: false, transposeB: true },
  tn: { sign: 'Aᵀ·B', transposeA: true, transposeB: false },
} as const;

function matmuls(m: number, k: number, n: number): Workload[] {
  const cube = m === k && k === n;
  return Object.entries(FORMS).map(([form, { sign, transposeA, transposeB }]) => ({
    id: `matmul-${cube ? m : `${m}x${k}x${n}`}-${form}`,
    name: `${sign}, ${cube ? `${m}³` : `${m}×${k}×${n}`}`,
    work: { flops: 2 * m * k * n, bytes: 4 * (m * k + k * n + m * n) },
    create() {
      const random = randomFrom(1);
      const a = uniform(transposeA ? [k, m] : [m, k], 1, random);
      const b = uniform(transposeB ? [n, k] : [k, n], 1, random);
      return { kind: 'matmul', a, b, transposeA, transposeB };
    },
  }));
}

export function convTask(form: ConvForm, convolution: Convolution, batch: number): ConvTask {
  const { large, small, kernel } = convolution;
  const random = randomFrom(4);
  const images = uniform([batch, ...large], 1, random);
  const weight = uniform([small[0], large[0], kernel, kernel], 1, random);
  return { kind: 'conv', form, batch, convolution, images, weight, cotangent: uniform([batch, ...small], 1, random) };
}

const CONV_NAMES = { forward: 'convolution', input: 'conv image gradient', weight: 'conv weight gradient' };

function convolutions(convolution: Convolution, batch: number): Workload[] {
  const show = ([channels, height]: ImageShape) => `${channels}×${height}²`;
  return (Object.keys(CONV_NAMES) as ConvForm[]).map((form) => ({
    id: `conv-${form}`,
    name: `${CONV_NAMES[form]}, ${show(convolution.large)}→${show(convolution.small)}`,
    work: { flops: convFlops(convolution, batch), bytes: convBytes(convolution, batch) },
    create: () => convTask(form, convolution, batch),
  }));
}

function sums(axis: SumTask['axis'], id: string, name: string): Workload {
  const shape = [2048, 2048];
  const create = (): SumTask => ({ kind: 'sum', x: uniform(shape, 1, randomFrom(2)), axis });
  const work = { flops: sizeOf(shape), bytes: 4 * sizeOf(shape) };
  return { id, name: `${name}, ${shape.join('×')}`, work, create };
}

/** With 4 heads of 32, as the transformer of `gpt` has them. */
const ATTENTION_LENGTHS = [64, 128, 256, 512, 1024];

export function attentionTask(length: number, heads = 4, size = 32): AttentionTask {
  const random = randomFrom(5);
  const array = () => uniform([length, heads, size], 1, random);
  return { kind: 'attention', heads, length, size, arrays: [array(), array(), array(), array()] };
}

function attention(length: number): Workload {
  const { heads, size } = attentionTask(1);
  return {
    id: `attention-${length}`,
    name: `attention and its gradients, length ${length}`,
    // Two products forward and five backward, of which causality asks for half.
    work: { flops: 7 * heads * size * length * length, bytes: 4 * 7 * length * heads * size },
    create: () => attentionTask(length),
  };
}

const DEFAULT_VAE = mlpNetwork({ pixels: 784, hidden: [400], latent: 20 });
const WIDE_VAE = mlpNetwork({ pixels: 784, hidden: [1024, 512], latent: 32 });
const CONV_VAE = convNetwork({ size: 28, widths: [32, 64], latent: 16 });

function trainStep(id: string, name: string, network: Network, batch: number): Workload {
  const create = () => trainTask(network, batch);
  const work = { flops: stepFlops(network, batch), bytes: stepBytes(network, batch) };
  return { id, name: `${name} train step, batch ${batch}`, work, create };
}

function writing(cache: boolean): Workload {
  const id = `generate-${cache ? 'cache' : 'window'}`;
  const work = writeWork(cache);
  const name = `gpt writes ${work.tokens} tokens, ${cache ? 'with' : 'without'} a cache`;
  return { id, name, work, create: () => writeTask(cache) };
}

/** What every adapter is given. */
export const WORKLOADS: readonly Workload[] = [
  ...[256, 512, 1024].flatMap((size) => matmuls(size, size, size)),
  ...matmuls(128, 784, 400),
  // The second layer of the convolutional VAE.
  ...convolutions(halving([32, 14, 14], 64), 64),
  {
    id: 'softmax',
    name: 'softmax, 1024×1000',
    // The largest, the difference, its exponential, their sum, the quotient.
    work: { flops: 5 * 1024 * 1000, bytes: 2 * 4 * 1024 * 1000 },
    create: () => ({ kind: 'softmax', x: uniform([1024, 1000], 4, randomFrom(3)) }),
  },
  sums(1, 'sum-rows', 'sum over rows'),
  sums(0, 'sum-columns', 'sum over columns'),
  sums(undefined, 'sum-all', 'sum of all'),
  ...ATTENTION_LENGTHS.map(attention),
  trainStep('vae-128', 'VAE', DEFAULT_VAE, 128),
  trainStep('vae-512', 'VAE', DEFAULT_VAE, 512),
  trainStep('wide-vae-128', 'wider VAE', WIDE_VAE, 128),
  trainStep('conv-vae-64', 'conv VAE', CONV_VAE, 64),
  { id: 'gpt-step', name: 'gpt train step, batch 12×64', work: gptWork(), create: () => gptTask() },
  ...[true, false].map(writing),
];

/** Rows of memory on the GPU: measured by engines that have only just started. */
export const MEMORIES: readonly MemoryWorkload[] = [
  { id: 'memory', name: 'GPU memory of VAE steps, batch 128', workload: 'vae-128' },
  ...ATTENTION_LENGTHS.map((length) => ({
    id: `attention-memory-${length}`,
    name: `GPU memory of attention, length ${length}`,
    workload: `attention-${length}`,
  })),
];

/** @throws if there is no workload of that id */
export function taskOf(id: string): Task {
  const workload = WORKLOADS.find((one) => one.id === id);
  if (!workload) throw new Error(`no workload ${id}`);
  return workload.create();
}

/** The work for an adapter: a GPU is given sizes, too, over which a CPU would sit for minutes. */
export function workloadsFor({ software = false }: Pick<Engine, 'software'>): readonly Workload[] {
  return software ? WORKLOADS : [...[2048, 4096].flatMap((size) => matmuls(size, size, size)), ...WORKLOADS];
}

// Whether a result is right: compared with plain JavaScript in float64 that shares nothing with any engine.
import { sizeOf } from './network.ts';
import { attentionGradients, convolve, twoLosses } from './reference.ts';
import {
  type Batch,
  type ConvTask,
  type NdArray,
  type Outcome,
  type ProductTask,
  randomFrom,
  type SoftmaxTask,
  type SumTask,
  type Task,
  type TrainTask,
} from './workloads.ts';

/** How far a result may be off, relative to the size that numbers of its kind have: what float32 allows, amply. */
const TOLERANCE = 3e-4;

/** Says what is wrong with the outcomes of the first runs, one of an op and two of a train step; nothing if all is well. */
export async function verify(task: Task, outcomes: readonly Outcome[]): Promise<string | undefined> {
  if (task.kind === 'train') return verifyTraining(task, outcomes);
  const { values } = outcomes[0]!;
  if (task.kind === 'matmul') return verifyMatmul(task, values);
  if (task.kind === 'conv') return verifyConvolution(task, values);
  if (task.kind === 'sum') return compare(values, sum(task), sumScale(task));
  // Gradients of keys are sums over all queries.
  if (task.kind === 'attention') return compare(values, attentionGradients(task), 1);
  return compare(values, softmax(task), 1 / task.x.shape[1]!);
}

/** @param scale added to the expected value's own size */
function compare(actual: ArrayLike<number>, expected: ArrayLike<number>, scale: number): string | undefined {
  if (actual.length !== expected.length) return `wrong: ${actual.length} numbers instead of ${expected.length}`;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    if (!(error <= TOLERANCE * Math.max(scale, Math.abs(expected[i]!)))) {
      return `wrong: ${actual[i]} instead of ${expected[i]} at ${i}`;
    }
  }
  return undefined;
}

/** Checks every element at the price of three matrix-vector products: C·r against A·(B·r) (Freivalds, 1977). */
function verifyMatmul({ a, b, transposeA, transposeB }: ProductTask, c: ArrayLike<number>): string | undefined {
  const k = a.shape[transposeA ? 0 : 1]!;
  const n = b.shape[transposeB ? 0 : 1]!;
  const m = a.data.length / k;
  if (c.length !== m * n) return `wrong: ${c.length} numbers instead of ${m * n}`;
  const random = randomFrom(7);
  const r = Float64Array.from({ length: n }, () => (random() < 0.5 ? -1 : 1));
  const expected = times(a, times(b, r, transposeB), transposeA);
  return compare(times({ shape: [m, n], data: c }, r, false), expected, Math.sqrt(k * n));
}

function times(
  { shape, data }: Pick<NdArray, 'shape'> & { readonly data: ArrayLike<number> },
  vector: Float64Array,
  transposed: boolean,
): Float64Array {
  const [rows, columns] = shape as [number, number];
  const result = new Float64Array(transposed ? columns : rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const value = data[i * columns + j]!;
      if (transposed) result[j]! += value * vector[i]!;
      else result[i]! += value * vector[j]!;
    }
  }
  return result;
}

function verifyConvolution(task: ConvTask, values: ArrayLike<number>): string | undefined {
  const { form, batch, convolution, images, weight, cotangent } = task;
  const [result, summands] = {
    forward: ['small', convolution.large[0] * convolution.kernel ** 2] as const,
    input: ['large', convolution.small[0] * convolution.kernel ** 2] as const,
    weight: ['weight', batch * sizeOf(convolution.small.slice(1))] as const,
  }[form];
  const arrays = {
    large: Float64Array.from(images.data),
    weight: Float64Array.from(weight.data),
    small: Float64Array.from(cotangent.data),
  };
  const expected = arrays[result].fill(0);
  convolve(form, convolution, batch, arrays);
  return compare(values, expected, Math.sqrt(summands));
}

function softmax({ x: { shape, data } }: SoftmaxTask): Float64Array {
  const columns = shape[1]!;
  const result = Float64Array.from(data, Math.exp);
  for (let start = 0; start < result.length; start += columns) {
    const row = result.subarray(start, start + columns);
    const total = row.reduce((sum, value) => sum + value, 0);
    for (let j = 0; j < columns; j++) row[j]! /= total;
  }
  return result;
}

function sum({ x: { shape, data }, axis }: SumTask): Float64Array {
  const columns = shape[1]!;
  const result = new Float64Array(axis === undefined ? 1 : shape[1 - axis]!);
  for (let i = 0; i < data.length; i++) {
    const at = axis === undefined ? 0 : axis === 0 ? i % columns : Math.floor(i / columns);
    result[at]! += data[i]!;
  }
  return result;
}

/** Root of the number of summands. */
function sumScale({ x: { shape, data }, axis }: SumTask): number {
  return Math.sqrt(axis === undefined ? data.length : shape[axis]!);
}

/** The second loss is that after the first step: it is right only if gradients and Adam are. */
async function verifyTraining(task: TrainTask, outcomes: readonly Outcome[]): Promise<string | undefined> {
  const batches = await Promise.all(outcomes.map(({ batch }, i) => batch?.() ?? task.batches[i]!));
  const expected = twoLosses(task, batches as [Batch, Batch]);
  const problem = compare(
    outcomes.map(({ values }) => values[0]!),
    expected,
    0,
  );
  return problem?.replace(/at 0$/, 'for the first loss').replace(/at 1$/, 'for the loss after the first step');
}

// Whether a result is right: compared with plain JavaScript in float64 that shares nothing with any engine.
import { type NdArray, randomFrom, sizeOf } from './arrays.ts';
import { gptLosses, written } from './gpt/reference.ts';
import type { GptTask, WriteTask } from './gpt/task.ts';
import { attentionGradients, convolve, twoLosses } from './reference.ts';
import type {
  AttentionTask,
  Batch,
  ConvTask,
  Outcome,
  Prepared,
  ProductTask,
  SoftmaxTask,
  SumTask,
  Task,
  TrainTask,
} from './workloads.ts';

/** How far a result may be off, relative to the size that numbers of its kind have: what float32 allows, amply. */
const TOLERANCE = 3e-4;

export const isTraining = ({ kind }: Task) => kind === 'train' || kind === 'gpt';

/** What `verify` is to see: two train steps, or one run of what always gives the same. */
export async function firstOutcomes(task: Task, prepared: Prepared): Promise<Outcome[]> {
  const first = await prepared.once();
  return isTraining(task) ? [first, await prepared.once()] : [first];
}

/** Says what is wrong with the outcomes of the first runs; nothing if all is well. */
export async function verify(task: Task, outcomes: readonly Outcome[]): Promise<string | undefined> {
  if (task.kind === 'train') return verifyTraining(task, outcomes);
  if (task.kind === 'gpt') return compareLosses(outcomes, lossesOf(task));
  const { values } = outcomes[0]!;
  if (task.kind === 'write') return compareTokens(values, textOf(task));
  if (task.kind === 'matmul') return verifyMatmul(task, values);
  if (task.kind === 'conv') return verifyConvolution(task, values);
  if (task.kind === 'sum') return compare(values, sum(task), sumScale(task));
  // Gradients of keys are sums over all queries.
  if (task.kind === 'attention') return compare(values, gradientsOf(task), 1);
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

/** The second loss is that after the first step: it is right only if gradients and optimizer are. */
async function verifyTraining(task: TrainTask, outcomes: readonly Outcome[]): Promise<string | undefined> {
  const batches = await Promise.all(outcomes.map(({ batch }, i) => batch?.() ?? task.batches[i]!));
  return compareLosses(outcomes, twoLosses(task, batches as [Batch, Batch]));
}

function compareLosses(outcomes: readonly Outcome[], expected: readonly [number, number]): string | undefined {
  const losses = outcomes.map(({ values }) => values[0]!);
  const problem = compare(losses, expected, 0);
  return problem?.replace(/at 0$/, 'for the first loss').replace(/at 1$/, 'for the loss after the first step');
}

function compareTokens(actual: ArrayLike<number>, expected: readonly number[]): string | undefined {
  const at = expected.findIndex((token, i) => actual[i] !== token);
  if (actual.length !== expected.length) return `wrong: ${actual.length} tokens instead of ${expected.length}`;
  return at < 0 ? undefined : `wrong: token ${actual[at]} instead of ${expected[at]} at ${at}`;
}

/** What takes seconds, and is the same for all engines, is computed once a task. */
function once<T extends object, Result>(compute: (task: T) => Result): (task: T) => Result {
  const known = new WeakMap<T, Result>();
  return (task) => {
    const result = known.get(task) ?? compute(task);
    known.set(task, result);
    return result;
  };
}

const lossesOf = once((task: GptTask) => gptLosses(task));
const textOf = once((task: WriteTask) => written(task));
const gradientsOf = once((task: AttentionTask) => {
  const [q, k, v, g] = task.arrays.map(({ data }) => Float64Array.from(data));
  return attentionGradients(task, [q!, k!, v!, g!]);
});

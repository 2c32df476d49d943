// Whether a result is right: compared with plain JavaScript in float64 that shares nothing with any engine.
import {
  type Batch,
  layersOf,
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
  if (task.kind === 'product') return verifyProduct(task, values);
  if (task.kind === 'sum') return compare(values, sum(task), sumScale(task));
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
function verifyProduct({ a, b, transposeA, transposeB }: ProductTask, c: ArrayLike<number>): string | undefined {
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

/** The losses of two steps in a row. */
function twoLosses(task: TrainTask, batches: readonly [Batch, Batch]): [number, number] {
  const weights = new Map([...task.weights].map(([name, { data }]) => [name, Float64Array.from(data)]));
  const first = lossOf(task, weights, batches[0], (name, gradient) => {
    const values = weights.get(name)!;
    // Adam's first step: both moments, corrected for their start at 0, are the gradient and its square.
    for (let i = 0; i < values.length; i++) values[i]! -= (task.lr * gradient[i]!) / (Math.abs(gradient[i]!) + 1e-8);
  });
  return [first, lossOf(task, weights, batches[1])];
}

/**
 * Negative ELBO, nats per image.
 *
 * @param update takes the gradient of each weight, once nothing needs the weight any more
 */
function lossOf(
  { sizes, batch }: TrainTask,
  weights: ReadonlyMap<string, Float64Array>,
  { images, noise }: Batch,
  update?: (name: string, gradient: Float64Array) => void,
): number {
  const { encoder, decoder } = layersOf(sizes);
  const { latent } = sizes;
  const encoded = forward(encoder, weights, Float64Array.from(images), batch);
  const code = encoded.at(-1)!;
  const z = new Float64Array(batch * latent);
  const gradCode = new Float64Array(code.length);
  let loss = 0;
  for (let i = 0; i < z.length; i++) {
    const at = Math.floor(i / latent) * 2 * latent + (i % latent);
    const [mean, logvar] = [code[at]!, code[at + latent]!];
    z[i] = mean + Math.exp(logvar / 2) * noise[i]!;
    loss += (mean * mean + Math.exp(logvar) - logvar - 1) / 2;
    gradCode[at] = mean / batch;
    gradCode[at + latent] = (Math.exp(logvar) - 1) / 2 / batch;
  }
  const decoded = forward(decoder, weights, z, batch);
  const logits = decoded.at(-1)!;
  const gradLogits = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    const [l, x] = [logits[i]!, images[i]!];
    loss += Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l))) - l * x;
    gradLogits[i] = (1 / (1 + Math.exp(-l)) - x) / batch;
  }
  if (update) {
    const gradZ = backward(decoder, weights, decoded, gradLogits, batch, update)!;
    for (let i = 0; i < z.length; i++) {
      const at = Math.floor(i / latent) * 2 * latent + (i % latent);
      gradCode[at]! += gradZ[i]!;
      gradCode[at + latent]! += (gradZ[i]! * Math.exp(code[at + latent]! / 2) * noise[i]!) / 2;
    }
    backward(encoder, weights, encoded, gradCode, batch, update);
  }
  return loss / batch;
}

type Layers = ReturnType<typeof layersOf>['encoder'];

/** What goes into each layer, and what comes out of the last; ReLU between them. */
function forward(
  layers: Layers,
  weights: ReadonlyMap<string, Float64Array>,
  x: Float64Array,
  batch: number,
): Float64Array[] {
  const values = [x];
  for (const [index, { name, inputs, outputs }] of layers.entries()) {
    const [w, bias, last] = [weights.get(`${name}.weight`)!, weights.get(`${name}.bias`)!, values.at(-1)!];
    const y = new Float64Array(batch * outputs);
    for (let b = 0; b < batch; b++) {
      for (let o = 0; o < outputs; o++) {
        let total = bias[o]!;
        for (let i = 0; i < inputs; i++) total += last[b * inputs + i]! * w[o * inputs + i]!;
        y[b * outputs + o] = index < layers.length - 1 ? Math.max(0, total) : total;
      }
    }
    values.push(y);
  }
  return values;
}

/** Gradient of the first layer's input, given that of the last one's output. */
function backward(
  layers: Layers,
  weights: ReadonlyMap<string, Float64Array>,
  values: readonly Float64Array[],
  gradOutput: Float64Array,
  batch: number,
  update: (name: string, gradient: Float64Array) => void,
): Float64Array {
  let grad = gradOutput;
  for (let index = layers.length - 1; index >= 0; index--) {
    const { name, inputs, outputs } = layers[index]!;
    const [w, x] = [weights.get(`${name}.weight`)!, values[index]!];
    const [gradW, gradBias] = [new Float64Array(w.length), new Float64Array(outputs)];
    const gradX = new Float64Array(x.length);
    for (let b = 0; b < batch; b++) {
      for (let o = 0; o < outputs; o++) {
        const g = grad[b * outputs + o]!;
        if (g === 0) continue;
        gradBias[o]! += g;
        for (let i = 0; i < inputs; i++) {
          gradW[o * inputs + i]! += g * x[b * inputs + i]!;
          gradX[b * inputs + i]! += g * w[o * inputs + i]!;
        }
      }
    }
    update(`${name}.weight`, gradW);
    update(`${name}.bias`, gradBias);
    // What went in came out of a ReLU, save for the first layer.
    if (index > 0) for (let i = 0; i < gradX.length; i++) if (x[i] === 0) gradX[i] = 0;
    grad = gradX;
  }
  return grad;
}

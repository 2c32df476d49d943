// Sampling: which of some choices is drawn, by their logits.
import shader from '../../shaders/sample.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { type RandomKey, uniform } from './random.ts';
import { tensor } from './source.ts';
import { apply, type Sample, show, Tensor, type TensorOf, zeroGrad } from './tensor.ts';
import { reshape } from './view.ts';

/** How one is drawn. */
export interface Sampling {
  /** The logits are divided by it; at 0, the greatest is taken. */
  readonly temperature: number;
  /** Only the so many most likely; 0 for all. */
  readonly topK: number;
  /** Only the fewest of the most likely that have this share of the probability together; 1 for all. */
  readonly topP: number;
}

/** The choice that is drawn from a row of logits, in float64: what the kernel is held against. */
export function sampleReference(logits: ArrayLike<number>, u: number, { temperature, topK, topP }: Sampling): number {
  const values = Array.from(logits);
  const top = values.reduce((a, b) => Math.max(a, b));
  if (!(temperature > 0)) return values.indexOf(top);
  const weight = (value: number) => Math.exp((value - top) / temperature);
  const sorted = [...values].sort((a, b) => b - a);
  const fewest = topK > 0 && topK < values.length ? topK : values.length;
  let least = sorted[fewest - 1]!;
  const massAbove = (threshold: number) =>
    values.reduce((sum, value) => (value >= threshold ? sum + weight(value) : sum), 0);
  if (topP < 1) {
    const wanted = topP * massAbove(least);
    least = sorted.find((threshold) => threshold >= least && massAbove(threshold) >= wanted) ?? least;
  }
  const goal = u * massAbove(least);
  let before = 0;
  let chosen = 0;
  for (const [i, value] of values.entries()) {
    if (value < least) continue;
    before += weight(value);
    chosen = i;
    if (before > goal) break;
  }
  return chosen;
}

export const sampleOp = defineOp({
  name: 'sample',
  infer([logits, u, ...settings]) {
    const rows = logits!.shape.slice(0, -1);
    if (logits!.dtype !== 'f32' || logits!.shape.length !== 2 || !logits!.shape[1])
      throw new ShapeError(`wants logits f32 [rows, choices], got ${logits!.dtype}${show(logits!.shape)}`);
    if (u!.dtype !== 'f32' || String(u!.shape) !== String(rows))
      throw new ShapeError(`wants a uniform number a row, ${show(rows)}, got ${u!.dtype}${show(u!.shape)}`);
    if (settings.map(({ dtype, size }) => `${dtype}${size}`).join() !== 'f321,u321,f321')
      throw new ShapeError('wants one number each for temperature (f32), top k (u32) and top p (f32)');
    return { shape: rows, dtype: 'u32' };
  },
  kernel: {
    name: 'one thread a row',
    wgsl: shader,
    inputs: ['x', 'u', 'temperature', 'top_k', 'top_p'],
    outputs: ['y'],
    constants: ({ inputs: [x] }) => ({ ROWS: x!.shape[0]!, CHOICES: x!.shape[1]! }),
    workgroups: ({ inputs: [x] }) => Math.ceil(x!.shape[0]! / 64),
  },
  grad: zeroGrad,
  check: CHECKS && {
    reference([logits, u, temperature, topK, topP], _, [rows]) {
      const choices = logits!.shape[1]!;
      const how = { temperature: temperature!.data[0]!, topK: topK!.data[0]!, topP: topP!.data[0]! };
      return Float64Array.from({ length: rows! }, (_item, row) =>
        sampleReference(logits!.data.subarray(row * choices, (row + 1) * choices), u!.data[row]!, how),
      );
    },
    samples: [check(40, 7, 0), check(9, 65, 12), check(5, 1, 0), check(6, 30, 40, 0)],
    random: (int) => check(int(1, 70), int(1, 40), int(0, 9)),
  },
});

function check(rows: number, choices: number, topK: number, warmth = 1): Sample<object> {
  const setting = { shape: [] as number[] };
  return {
    inputs: [
      { shape: [rows, choices], min: -4, max: 4 },
      { shape: [rows], min: 0, max: 1 },
      // Of what is tried, 0.75 x + 0.03 is taken: at −1, it is below 0.
      warmth ? { ...setting, min: 0.3, max: 2 } : { ...setting, min: -1, max: -1 },
      { ...setting, dtype: 'u32', min: topK, max: topK },
      { ...setting, min: 0.1, max: 1.6 },
    ],
    attrs: {},
  };
}

/** A scalar of a number, or of a tensor that may change from run to run. */
const scalar = (value: number | Tensor, dtype: 'f32' | 'u32') =>
  value instanceof Tensor
    ? reshape(value, [])
    : tensor(dtype === 'u32' ? Uint32Array.of(value) : Float32Array.of(value), []);

export interface SampleOptions {
  readonly temperature?: number | Tensor;
  readonly topK?: number | Tensor;
  readonly topP?: number | Tensor;
}

/**
 * A choice a row, u32 [rows], drawn by softmax(logits / temperature): logits [rows, choices]. Settings may be scalars of the
 * graph (f32, u32, f32), so that others are the same program.
 */
export function sample(logits: Tensor, key: RandomKey, options: SampleOptions = {}): TensorOf<'u32'> {
  return sampleBy(logits, uniform([logits.shape[0]!], key), options);
}

/** The same by uniform numbers that are given, f32 [rows] in [0, 1). */
export function sampleBy(logits: Tensor, u: Tensor, options: SampleOptions = {}): TensorOf<'u32'> {
  const { temperature = 1, topK = 0, topP = 1 } = options;
  const settings = [scalar(temperature, 'f32'), scalar(topK, 'u32'), scalar(topP, 'f32')];
  return apply(sampleOp, [logits, u, ...settings], {}) as TensorOf<'u32'>;
}

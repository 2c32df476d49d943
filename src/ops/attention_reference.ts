// What attention is told, and what it and its gradients are checked by: references in float64, and samples.
import type { NdArray, RandomInt, Sample } from './tensor.ts';

/** Heads lie side by side in the last axis of q [N, T, …], k and v [N, S, …]: each operand's from its own column on. */
export interface AttentionAttrs {
  readonly heads: number;
  /** Numbers of a head, a multiple of 4. */
  readonly size: number;
  /** Where the heads of q, k and v begin: multiples of 4. */
  readonly columns: readonly [number, number, number];
  /** A query sees no key behind its own position. */
  readonly causal: boolean;
  /** Factor of the scores. */
  readonly scale: number;
}

/** As the kernels say it of a query that sees no key. */
const LOWEST = -3.4028234e38;

function sizesOf([q, k]: readonly NdArray[], { heads, size }: AttentionAttrs) {
  const [n, t] = q!.shape as [number, number, number];
  return { n, t, s: k!.shape[1]!, heads, size };
}

/** A number of an operand: of a head's `d`, in row `row` of example `b`. */
function reader({ shape, data }: NdArray, column: number, size: number) {
  const [, rows, width] = shape as [number, number, number];
  return (b: number, row: number, head: number, d: number) =>
    data[(b * rows + row) * width + column + head * size + d]!;
}

function visible(mask: NdArray | undefined, causal: boolean) {
  return (...at: readonly [number, number, number, number]) => {
    if (causal && at[3] > at[2]) return false;
    if (!mask) return true;
    const flat = mask.shape.reduce((index, dim, axis) => index * dim + (dim === 1 ? 0 : at[axis]!), 0);
    return mask.data[flat]! > 0;
  };
}

function* everyRow({ n, t, heads }: ReturnType<typeof sizesOf>) {
  for (let b = 0; b < n; b++)
    for (let i = 0; i < t; i++)
      for (let head = 0; head < heads; head++) yield { b, i, head, row: (b * t + i) * heads + head };
}

export function attentionReference(inputs: readonly NdArray[], attrs: AttentionAttrs): readonly Float64Array[] {
  const sizes = sizesOf(inputs, attrs);
  const { n, t, s, heads, size } = sizes;
  const [q, k, v] = [0, 1, 2].map((i) => reader(inputs[i]!, attrs.columns[i]!, size)) as Reader[];
  const sees = visible(inputs[3], attrs.causal);
  const y = new Float64Array(n * t * heads * size);
  const lse = new Float64Array(n * t * heads).fill(LOWEST);
  for (const { b, i, head, row } of everyRow(sizes)) {
    const keys = Array.from({ length: s }, (_, j) => j).filter((j) => sees(b, head, i, j));
    if (keys.length === 0) continue;
    const scores = keys.map((j) => attrs.scale * dot(size, (d) => q!(b, i, head, d) * k!(b, j, head, d)));
    const top = scores.reduce((a, c) => Math.max(a, c));
    const total = scores.reduce((before, score) => before + Math.exp(score - top), 0);
    lse[row] = top + Math.log(total);
    for (let d = 0; d < size; d++) {
      y[row * size + d] = keys.reduce(
        (sum, j, at) => sum + (Math.exp(scores[at]! - top) / total) * v!(b, j, head, d),
        0,
      );
    }
  }
  return [y, lse];
}

type Reader = ReturnType<typeof reader>;
const dot = (size: number, term: (d: number) => number) => {
  let sum = 0;
  for (let d = 0; d < size; d++) sum += term(d);
  return sum;
};

/** Of q, k, v, the result's cotangent, logsumexp, delta and, if there is one, mask. */
export function gradientReferences(inputs: readonly NdArray[], attrs: AttentionAttrs) {
  const sizes = sizesOf(inputs, attrs);
  const { n, t, s, heads, size } = sizes;
  const [q, k, v] = [0, 1, 2].map((i) => reader(inputs[i]!, attrs.columns[i]!, size)) as Reader[];
  const g = reader(inputs[3]!, 0, size);
  const [lse, delta] = [inputs[4]!.data, inputs[5]!.data];
  const sees = visible(inputs[6], attrs.causal);
  const dq = new Float64Array(n * t * heads * size);
  const half = n * s * heads * size;
  const dkv = new Float64Array(2 * half);
  for (const { b, i, head, row } of everyRow(sizes)) {
    for (let j = 0; j < s; j++) {
      if (!sees(b, head, i, j)) continue;
      const score = attrs.scale * dot(size, (d) => q!(b, i, head, d) * k!(b, j, head, d));
      const p = Math.exp(score - lse[row]!);
      const slope = p * (dot(size, (d) => g(b, i, head, d) * v!(b, j, head, d)) - delta[row]!);
      const key = ((b * s + j) * heads + head) * size;
      for (let d = 0; d < size; d++) {
        dq[row * size + d]! += attrs.scale * slope * k!(b, j, head, d);
        dkv[key + d]! += attrs.scale * slope * q!(b, i, head, d);
        dkv[half + key + d]! += p * g(b, i, head, d);
      }
    }
  }
  return { dq, dkv };
}

type Mask = readonly [number, number, number, number];

interface Sizes {
  readonly n?: number;
  readonly t: number;
  readonly s: number;
  readonly heads: number;
  readonly size: number;
  readonly causal?: boolean;
  /** Columns before the heads of k. */
  readonly column?: number;
  readonly mask?: Mask;
}

function sample({ n = 1, t, s, heads, size, causal = false, column = 0, mask }: Sizes, gradient: boolean) {
  const width = heads * size;
  const shapes = [
    [n, t, width],
    [n, s, width + column],
    [n, s, width],
    ...(gradient
      ? [
          [n, t, width],
          [n, t, heads],
          [n, t, heads],
        ]
      : []),
    ...(mask ? [mask] : []),
  ];
  // Of the logsumexp: as large as those of such scores are.
  const range = (i: number) => {
    if (gradient) return i === 4 ? { min: 1, max: 4 } : {};
    // Beside the logsumexp of a query that sees no key, central differences have no digits left: of six keys, some are seen.
    return i === 3 ? { min: -0.2 } : {};
  };
  return {
    inputs: shapes.map((shape, i) => ({ shape, ...range(i) })),
    attrs: { heads, size, columns: [0, column, 0], causal, scale: 1 / Math.sqrt(size) },
  } as Sample<AttentionAttrs>;
}

const PLAIN: readonly Sizes[] = [
  { n: 2, t: 9, s: 9, heads: 2, size: 8, causal: true },
  { t: 5, s: 14, heads: 3, size: 4, column: 4 },
  { t: 1, s: 1, heads: 1, size: 32, causal: true },
  { t: 3, s: 7, heads: 1, size: 128 },
];

const MASKED: readonly Sizes[] = [
  { n: 2, t: 5, s: 7, heads: 2, size: 8, mask: [2, 1, 1, 7] },
  { n: 2, t: 6, s: 6, heads: 2, size: 4, mask: [1, 2, 6, 6] },
  { t: 3, s: 9, heads: 1, size: 36, mask: [1, 1, 3, 9] },
];

const MASKED_GRADIENTS: readonly Sizes[] = [
  { n: 2, t: 6, s: 6, heads: 2, size: 4, causal: true, mask: [1, 2, 6, 6] },
  { t: 3, s: 5, heads: 1, size: 36, mask: [1, 1, 3, 1] },
];

export function samplesOf(masked: boolean, gradient: boolean): readonly Sample<AttentionAttrs>[] {
  // Each is a shader to compile, and the forward op's gradients are these, too.
  const gradients = masked ? MASKED_GRADIENTS : PLAIN.slice(0, 2);
  const all = masked ? MASKED : PLAIN;
  return (gradient ? gradients : all).map((sizes) => sample(sizes, gradient));
}

/** What a kernel that is to be validated is tried on: several quads of a head, of which the last is not filled. */
export function probesOf(masked: boolean, gradient: boolean): readonly Sample<AttentionAttrs>[] {
  const sizes = { n: 2, t: 37, s: 41, heads: 2, size: 8 };
  return [false, true].map((causal) =>
    sample({ ...sizes, causal, ...(masked && { mask: [2, 1, 37, 41] as const }) }, gradient),
  );
}

export function randomSample(int: RandomInt, masked: boolean): Sample<AttentionAttrs> {
  const [n, t, s, heads] = [int(1, 2), int(1, 11), int(masked ? 6 : 1, 11), int(1, 3)];
  const [ofN, ofHead, ofQuery] = [n, heads, t].map((dim) => (int(0, 1) ? dim : 1)) as [number, number, number];
  const mask: Mask = [ofN, ofHead, ofQuery, s];
  const causal = !masked && int(0, 1) === 1;
  const sizes = { n, t, s, heads, size: 4 * int(1, 5), causal, column: 4 * int(0, 1) };
  return sample({ ...sizes, ...(masked && { mask }) }, false);
}

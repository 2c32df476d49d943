// The ops that compute an element from many, as the evaluator knows them: plain loops over definitions. Each gets one sample of
// its inputs, and gives the result with the size of what was added up, by which rounding is measured where terms cancel.
import type { Tensor } from '../../src/ops/tensor.ts';
import { normalAt, permuted, uniformAt } from './philox.ts';
import { coordsOf, flatOf, type Sampled, sizeOf } from './values.ts';

export interface Computed {
  readonly data: Float64Array;
  /** Σ |terms| of each element; without it, the elements themselves. */
  readonly terms?: Float64Array;
  /** Error that does not shrink with the value. */
  readonly absolute?: number;
}

type Kernel = (inputs: readonly Sampled[], node: Tensor) => Computed;
type Pair = readonly [number, number];

/** Adds products (or plain terms) up, and their magnitudes. */
class Sums {
  readonly data: Float64Array;
  readonly terms: Float64Array;

  constructor(size: number) {
    this.data = new Float64Array(size);
    this.terms = new Float64Array(size);
  }

  add(at: number, term: number): void {
    this.data[at]! += term;
    this.terms[at]! += Math.abs(term);
  }
}

const filled = (node: Tensor, rule: (flat: number, coords: readonly number[]) => number): Computed => ({
  data: Float64Array.from({ length: sizeOf(node.shape) }, (_, flat) => rule(flat, coordsOf(flat, node.shape))),
});

/** The elements of `x` that share the coordinates outside of `axes`, in a list for each of the results. */
function groupsOf(x: Sampled, axes: readonly number[]): { groups: number[][]; groupAt: Int32Array } {
  const outer = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const shape = outer.map((axis) => x.shape[axis]!);
  const groups: number[][] = Array.from({ length: sizeOf(shape) }, () => []);
  const groupAt = new Int32Array(x.data.length);
  for (let flat = 0; flat < x.data.length; flat++) {
    const coords = coordsOf(flat, x.shape);
    groupAt[flat] = flatOf(
      outer.map((axis) => coords[axis]!),
      shape,
    );
    groups[groupAt[flat]!]!.push(flat);
  }
  return { groups, groupAt };
}

function logSumExp(values: readonly number[]): number {
  const most = Math.max(...values);
  if (!Number.isFinite(most)) return most;
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

function reduction(fold: (values: number[]) => number, terms?: (values: number[]) => number): Kernel {
  return ([x], node) => {
    const { groups } = groupsOf(x!, (node.attrs as { axes: readonly number[] }).axes);
    const values = groups.map((group) => group.map((at) => x!.data[at]!));
    return { data: Float64Array.from(values, fold), ...(terms && { terms: Float64Array.from(values, terms) }) };
  };
}

interface ConvAttrs {
  readonly stride: Pair;
  readonly padding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
}

/**
 * y[n, o, i, j] = Σ x[n, c, i·stride + k·dilation − padding, …] · w[o, c, k, l], c over the channels of o's group: calls
 * `visit` with the three flat indices of every term. A convolution and its two gradients differ in which one they sum.
 */
function terms(
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
  { stride, padding, dilation, groups }: ConvAttrs,
  visit: (x: number, w: number, y: number) => void,
): void {
  const [wide, narrow] = [y[1]! / groups, x[1]! / groups];
  const [channels, height, width] = [x[1]!, x[2]!, x[3]!];
  const [high, broad] = [w[2]!, w[3]!];
  // Of a whole training step, most of the evaluator's time: so nothing is made in these loops.
  for (let flat = 0; flat < sizeOf(y); flat++) {
    const j = flat % y[3]!;
    const i = Math.floor(flat / y[3]!) % y[2]!;
    const o = Math.floor(flat / (y[3]! * y[2]!)) % y[1]!;
    const n = Math.floor(flat / (y[3]! * y[2]! * y[1]!));
    for (let c = 0; c < narrow; c++) {
      const plane = (n * channels + Math.floor(o / wide) * narrow + c) * height;
      for (let k = 0; k < high; k++) {
        const row = i * stride[0] + k * dilation[0] - padding[0];
        if (row < 0 || row >= height) continue;
        for (let l = 0; l < broad; l++) {
          const column = j * stride[1] + l * dilation[1] - padding[1];
          if (column < 0 || column >= width) continue;
          visit((plane + row) * width + column, ((o * narrow + c) * high + k) * broad + l, flat);
        }
      }
    }
  }
}

/** Of one image axis, where tap k of patch o lies. */
interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly start: Pair;
  readonly out: Pair;
}

/** Calls `visit` for every element of patches [N · out, kernel · C] with the pixel of [N, H, W, C] that it is. */
function taps(images: readonly number[], window: Window, visit: (patch: number, pixel: number) => void): void {
  const [n, height, width, channels] = images as [number, number, number, number];
  const { kernel, stride, dilation, start, out } = window;
  const shape = [n, out[0], out[1], kernel[0], kernel[1], channels];
  for (let patch = 0; patch < sizeOf(shape); patch++) {
    const [image, i, j, k, l, c] = coordsOf(patch, shape) as [number, number, number, number, number, number];
    const row = i * stride[0] + k * dilation[0] + start[0];
    const column = j * stride[1] + l * dilation[1] + start[1];
    if (row >= 0 && row < height && column >= 0 && column < width)
      visit(patch, flatOf([image, row, column, c], images));
  }
}

interface PoolAttrs {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
}

/** The pixels of [N, C, H, W] in a pooling window. */
function windowOf(x: Sampled, node: Tensor, coords: readonly number[]): number[] {
  const { kernel, stride, padding } = node.attrs as PoolAttrs;
  const [n, c, i, j] = coords as [number, number, number, number];
  const found: number[] = [];
  for (let k = 0; k < kernel[0]; k++) {
    for (let l = 0; l < kernel[1]; l++) {
      const [row, column] = [i * stride[0] + k - padding[0], j * stride[1] + l - padding[1]];
      const inside = row >= 0 && row < x.shape[2]! && column >= 0 && column < x.shape[3]!;
      if (inside) found.push(x.data[flatOf([n, c, row, column], x.shape)]!);
    }
  }
  return found;
}

/** Key and counter of a random op. */
const wordsOf = ([key, counter]: readonly Sampled[]) => [Array.from(key!.data), counter!.data[0]!] as const;

export const kernels: Readonly<Record<string, Kernel>> = {
  constant: (_, node) => {
    const { value, dtype } = node.attrs as { value: number; dtype: string };
    return { data: Float64Array.of(dtype === 'f32' || dtype === 'f16' ? Math.fround(value) : value >>> 0) };
  },
  iota: (_, node) => filled(node, (_flat, coords) => coords[(node.attrs as { axis: number }).axis]!),
  leakyRelu: ([x], node) => {
    const { slope } = node.attrs as { slope: number };
    return { data: x!.data.map((value) => (value > 0 ? value : value * slope)) };
  },
  sum: reduction(
    (values) => values.reduce((a, b) => a + b, 0),
    (values) => values.reduce((a, b) => a + Math.abs(b), 0) * Math.sqrt(1 + values.length / 64),
  ),
  max: reduction((values) => values.reduce((a, b) => Math.max(a, b), -Infinity)),
  logsumexp: reduction(logSumExp, (values) => 8 + Math.abs(logSumExp(values)) * 4),
  softmax: ([x], node) => {
    const { axis, log } = node.attrs as { axis: number; log: boolean };
    const { groups, groupAt } = groupsOf(x!, [axis]);
    const totals = groups.map((group) => logSumExp(group.map((at) => x!.data[at]!)));
    const logarithms = x!.data.map((value, at) => value - totals[groupAt[at]!]!);
    const size = x!.data.map((value, at) => 8 + 2 * Math.abs(value) + 4 * Math.abs(totals[groupAt[at]!]!));
    if (log) return { data: logarithms, terms: size };
    return { data: logarithms.map(Math.exp), terms: logarithms.map((value, at) => Math.exp(value) * size[at]!) };
  },
  softmaxRows: ([x], node) =>
    kernels.softmax!([x!], { ...node, attrs: { ...(node.attrs as object), axis: 1 } } as Tensor),
  softmaxRowsGradient: ([y, g], node) => {
    const { log } = node.attrs as { log: boolean };
    const { groups, groupAt } = groupsOf(g!, [1]);
    const parts = groups.map((group) => group.map((at) => g!.data[at]! * (log ? 1 : y!.data[at]!)));
    const totals = parts.map((row) => row.reduce((a, b) => a + b, 0));
    const sizes = parts.map((row) => row.reduce((a, b) => a + Math.abs(b), 0));
    const weights = y!.data.map((value) => (log ? Math.exp(value) : value));
    return {
      data: g!.data.map((value, at) =>
        log ? value - weights[at]! * totals[groupAt[at]!]! : weights[at]! * (value - totals[groupAt[at]!]!),
      ),
      terms: g!.data.map((value, at) => {
        const total = sizes[groupAt[at]!]!;
        return log
          ? Math.abs(value) + weights[at]! * total * (2 + Math.abs(y!.data[at]!))
          : Math.abs(weights[at]!) * (Math.abs(value) + total);
      }),
    };
  },
  crossEntropy: ([logits, labels]) => {
    const [count, classes] = logits!.shape as [number, number];
    const rows = Array.from({ length: count }, (_, i) =>
      Array.from(logits!.data.subarray(i * classes, (i + 1) * classes)),
    );
    const totals = rows.map(logSumExp);
    const picked = rows.map((row, i) => row[labels!.data[i]!] ?? NaN);
    return {
      data: Float64Array.from(totals, (total, i) => total - picked[i]!),
      terms: Float64Array.from(totals, (total, i) => 8 + 4 * Math.abs(total) + Math.abs(picked[i]!)),
    };
  },
  matmul: ([a, b], node) => {
    const { transposeA, transposeB } = node.attrs as { transposeA: boolean; transposeB: boolean };
    const [m, n] = node.shape.slice(-2) as [number, number];
    const k = a!.shape.at(transposeA ? -2 : -1)!;
    const sums = new Sums(sizeOf(node.shape));
    for (let flat = 0; flat < sums.data.length; flat++) {
      const [batch, i, j] = [Math.floor(flat / (m * n)), Math.floor(flat / n) % m, flat % n];
      for (let l = 0; l < k; l++) {
        const left = a!.data[batch * m * k + (transposeA ? l * m + i : i * k + l)]!;
        sums.add(flat, left * b!.data[batch * n * k + (transposeB ? j * k + l : l * n + j)]!);
      }
    }
    return sums;
  },
  gather: ([table, indices], node) => {
    const width = sizeOf(table!.shape.slice(1));
    const last = table!.shape[0]! - 1;
    return filled(node, (flat) => {
      const row = indices!.data[Math.floor(flat / width)]!;
      // Beyond the table, floats are NaN; whole numbers are those of the last row.
      if (row > last && node.dtype === 'f32') return NaN;
      return table!.data[Math.min(row, last) * width + (flat % width)]!;
    });
  },
  embedding: (inputs, node) => kernels.gather!(inputs, node),
  scatterAdd: ([values, indices], node) => {
    const width = sizeOf(node.shape.slice(1));
    const sums = new Sums(sizeOf(node.shape));
    indices!.data.forEach((row, i) => {
      if (row >= node.shape[0]!) return;
      for (let j = 0; j < width; j++) sums.add(row * width + j, values!.data[i * width + j]!);
    });
    return sums;
  },
  patches: ([x], node) => {
    const data = new Float64Array(sizeOf(node.shape));
    taps(x!.shape, node.attrs as Window, (patch, pixel) => {
      data[patch] = x!.data[pixel]!;
    });
    return { data };
  },
  sumPatches: ([x], node) => {
    const { shape, window } = node.attrs as { shape: readonly number[]; window: Window };
    const sums = new Sums(sizeOf(shape));
    taps(shape, window, (patch, pixel) => sums.add(pixel, x!.data[patch]!));
    return sums;
  },
  conv2d: ([x, w], node) => {
    const sums = new Sums(sizeOf(node.shape));
    const add = (a: number, b: number, y: number) => sums.add(y, x!.data[a]! * w!.data[b]!);
    terms(x!.shape, w!.shape, node.shape, node.attrs as ConvAttrs, add);
    return sums;
  },
  convTranspose2d: ([y, w], node) => {
    const sums = new Sums(sizeOf(node.shape));
    const add = (x: number, b: number, a: number) => sums.add(x, y!.data[a]! * w!.data[b]!);
    terms(node.shape, w!.shape, y!.shape, node.attrs as ConvAttrs, add);
    return sums;
  },
  conv2dWeight: ([x, g], node) => {
    const sums = new Sums(sizeOf(node.shape));
    const add = (a: number, w: number, y: number) => sums.add(w, x!.data[a]! * g!.data[y]!);
    terms(x!.shape, node.shape, g!.shape, node.attrs as ConvAttrs, add);
    return sums;
  },
  maxPool2d: ([x], node) => filled(node, (_, coords) => Math.max(...windowOf(x!, node, coords))),
  avgPool2d: ([x], node) => {
    const { kernel } = node.attrs as PoolAttrs;
    const sums = new Sums(sizeOf(node.shape));
    sums.data.forEach((_, flat) => {
      for (const value of windowOf(x!, node, coordsOf(flat, node.shape))) {
        sums.add(flat, value / (kernel[0] * kernel[1]));
      }
    });
    return sums;
  },
  upsample2d: ([x], node) => {
    const { scale, mode } = node.attrs as { scale: Pair; mode: string };
    const sums = new Sums(sizeOf(node.shape));
    /** The pixels of one axis that position `at` is made of, with their weights: centres of pixels on centres. */
    const mix = (at: number, axis: 0 | 1): [number, number][] => {
      const size = x!.shape[2 + axis]!;
      if (mode === 'nearest') return [[Math.floor(at / scale[axis]), 1]];
      const position = Math.min(Math.max((at + 0.5) / scale[axis] - 0.5, 0), size - 1);
      const below = Math.min(Math.floor(position), Math.max(0, size - 2));
      const share = position - below;
      return size === 1
        ? [[0, 1]]
        : [
            [below, 1 - share],
            [below + 1, share],
          ];
    };
    sums.data.forEach((_, flat) => {
      const [n, c, i, j] = coordsOf(flat, node.shape) as [number, number, number, number];
      for (const [row, down] of mix(i, 0)) {
        for (const [column, across] of mix(j, 1)) {
          sums.add(flat, down * across * x!.data[flatOf([n, c, row, column], x!.shape)]!);
        }
      }
    });
    // The weights themselves are computed in f32.
    // One that should be 0 may be some 1e-7 of a neighbour.
    const largest = x!.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const absolute = Number.isFinite(largest) ? 2 ** -22 * largest : 0;
    return mode === 'nearest'
      ? { data: sums.data }
      : { data: sums.data, terms: sums.terms.map((size) => 8 * size), absolute };
  },
  normalize: ([x], node) => {
    const { axes, epsilon } = node.attrs as { axes: readonly number[]; epsilon: number };
    const { groups, groupAt } = groupsOf(x!, axes);
    const stats = groups.map((group) => {
      const values = group.map((at) => x!.data[at]!);
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
      const range = Math.max(...values.map(Math.abs));
      return { mean, variance, scale: 1 / Math.sqrt(variance + epsilon), range };
    });
    return {
      data: x!.data.map((value, at) => (value - stats[groupAt[at]!]!.mean) * stats[groupAt[at]!]!.scale),
      // Rounding of the mean, and of the variance, which is taken from squares of distances to one element.
      terms: x!.data.map((value, at) => {
        const { mean, variance, scale, range } = stats[groupAt[at]!]!;
        const distance = Math.abs(value - mean);
        return 8 * (range + distance * (1 + (4 * range * range) / (variance + epsilon))) * scale;
      }),
    };
  },
  variance: ([x], node) => {
    const { axes, correction } = node.attrs as { axes: readonly number[]; correction: number };
    const found = groupsOf(x!, axes).groups.map((group) => {
      const values = group.map((at) => x!.data[at]!);
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const squares = values.reduce((a, b) => a + (b - mean) ** 2, 0);
      // The mean is rounded, which each distance from it bears.
      const range = Math.max(...values.map(Math.abs));
      const share = values.length - correction;
      return { value: squares / share, terms: (8 * (squares + range * Math.sqrt(squares * values.length))) / share };
    });
    return {
      data: Float64Array.from(found, ({ value }) => value),
      terms: Float64Array.from(found, ({ terms }) => terms),
    };
  },
  uniform: (inputs, node) => {
    const [key, counter] = wordsOf(inputs);
    return filled(node, (flat) => uniformAt(flat, key, counter, (node.attrs as { stream: number }).stream));
  },
  normal: (inputs, node) => {
    const [key, counter] = wordsOf(inputs);
    const { stream } = node.attrs as { stream: number };
    return { ...filled(node, (flat) => normalAt(flat, key, counter, stream)), absolute: 5e-3 };
  },
  permutation: ([index, epoch, key], node) => {
    const { count } = node.attrs as { count: number };
    const [low, high] = key!.data as unknown as [number, number];
    return filled(node, (flat) => {
      const mixed = Number(BigInt(low) ^ BigInt(epoch!.data[flat]!));
      return permuted(index!.data[flat]!, count, [mixed, high]);
    });
  },
};

/** Ops whose result is an element of an input, or exact anyway: nothing is rounded. */
export const EXACT: ReadonlySet<string> = new Set([
  ...['constant', 'iota', 'max', 'gather', 'embedding', 'patches', 'maxPool2d', 'uniform', 'permutation'],
]);

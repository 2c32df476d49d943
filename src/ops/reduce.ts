// Reductions over any axes: sum, max, logsumexp, and mean.

import logsumexp_step from '../../shaders/include/logsumexp_step.wgsl?raw';
import reduction_start from '../../shaders/include/reduction_start.wgsl?raw';
import reduction_step from '../../shaders/include/reduction_step.wgsl?raw';
import columnsText from '../../shaders/reduce/columns.wgsl?raw';
import rowsText from '../../shaders/reduce/rows.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { include } from '../gpu/include.ts';
import { Affine } from './affine.ts';
import { defineOp } from './define.ts';
import { div, equal, exp, maximum, mul, neg, sub } from './elementwise.ts';
import {
  apply,
  axisOf,
  elementType,
  type Kernel,
  type KernelWriter,
  type NdArray,
  type Op,
  type Sample,
  type Shape,
  show,
  sizeOf,
  stridesOf,
  type Tensor,
  type TensorOf,
} from './tensor.ts';
import { broadcastTo, reshape } from './view.ts';

/** What shaders of reductions share. */
export const texts = { reduction_start, reduction_step, logsumexp_step };
const rowsShader = /* @__PURE__ */ include(rowsText, texts);
const columnsShader = /* @__PURE__ */ include(columnsText, texts);

export interface ReduceAttrs {
  /** Ascending. */
  readonly axes: readonly number[];
}

/** The shape with the reduced axes left out. */
function remaining(shape: Shape, axes: readonly number[]): number[] {
  return shape.filter((_, axis) => !axes.includes(axis));
}

/** The shape with the reduced axes as 1. */
function kept(shape: Shape, axes: readonly number[]): number[] {
  return shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
}

function referenceOf(fold: (values: Float64Array) => number) {
  return ([x]: readonly NdArray[], { axes }: ReduceAttrs): Float64Array => {
    const { shape, data } = x!;
    const strides = stridesOf(shape);
    const outShape = remaining(shape, axes);
    const outStrides = stridesOf(outShape);
    const groups: number[][] = Array.from({ length: sizeOf(outShape) }, () => []);
    for (let flat = 0; flat < data.length; flat++) {
      let out = 0;
      let k = 0;
      for (let axis = 0; axis < shape.length; axis++) {
        if (axes.includes(axis)) continue;
        out += (Math.floor(flat / strides[axis]!) % shape[axis]!) * outStrides[k++]!;
      }
      groups[out]!.push(data[flat]!);
    }
    return Float64Array.from(groups, (group) => fold(Float64Array.from(group)));
  };
}

const KINDS = { sum: 0, max: 1, logsumexp: 2 } as const;

/** Threads that fold results together in workgroup memory; and vec4s of results side by side, where these lie so. */
const WORKGROUP = 256;
const COLUMNS = 16;
/** Elements of a row, or rows, that give a thread something to do. */
export const A_THREAD = 4;

/** The power of 2 next to a number, from below, of those from 1 to `most`. */
const powerBelow = (value: number, most: number) => Math.min(most, 2 ** Math.max(0, Math.floor(Math.log2(value))));

/** Threads of a GPU that fold `results` results of as many elements each, where a workgroup shares them out. */
export function threadsFolding(results: number, length: number, byRows: boolean): number {
  if (byRows) return results * powerBelow(length / A_THREAD, WORKGROUP);
  return Math.ceil(results / 4) * powerBelow(length / A_THREAD, WORKGROUP / COLUMNS);
}

/** Steps to take together. */
function unrolled(steps: number): number {
  return steps > 0 && steps % 4 === 0 ? 4 : 1;
}

/** Elements of a result. */
export const lengthOf = ({ inputs, size }: Tensor) => inputs[0]!.size / Math.max(1, size);

/** Whether the reduced elements of a result lie side by side. */
export function isByRows({ inputs, attrs }: Tensor<ReduceAttrs>): boolean {
  return inputs[0]!.shape.slice((attrs.axes.at(-1) ?? -1) + 1).every((dim) => dim === 1);
}

/** Shaders by which a workgroup folds results, and not a thread: of what lies in rows, and in columns. */
export interface WorkgroupShaders {
  readonly rows: string;
  readonly columns: string;
}

/**
 * Folds what lies side by side by rows.wgsl, and what lies below one another by columns.wgsl, or by a workgroup's shaders.
 * Enough outputs are the graph's business: `splitReductions` cuts a long reduction in two.
 */
export function reduceKernel(
  node: Tensor<ReduceAttrs>,
  writer: KernelWriter,
  kind: keyof typeof KINDS,
  together?: WorkgroupShaders,
): Kernel {
  const [x] = node.inputs;
  const { axes } = node.attrs;
  const reduced = axes.map((axis) => x!.shape[axis]!);
  const length = sizeOf(reduced);
  const outputs = node.size;
  const constants = { KIND: KINDS[kind], COUNT: writer.nodes.length };
  const tensors = writer.nodes.map(({ inputs }) => inputs[0]!);
  const flops = tensors.length * x!.size * (kind === 'logsumexp' ? 10 : 1);
  const coords = (out: readonly Affine[], inner: readonly Affine[]) => {
    let i = 0;
    let j = 0;
    return x!.shape.map((_, axis) => (axes.includes(axis) ? inner[j++]! : out[i++]!));
  };
  const memory = writer.traits.limits.maxComputeWorkgroupStorageSize;
  if (isByRows(node)) {
    const lanes = (reduced.at(-1) ?? 1) % 4 === 0 ? 4 : 1;
    const step = Affine.variable('r', length / lanes);
    return {
      source: together?.rows ?? rowsShader,
      constants: {
        ...constants,
        OUTPUTS: outputs,
        STEPS: length / lanes,
        LANES: lanes,
        ...(together
          ? {
              THREADS: powerBelow(
                Math.min(Math.max(32, length / lanes / A_THREAD), memory / (8 * tensors.length)),
                WORKGROUP,
              ),
              UNROLL: 4,
            }
          : { UNROLL: unrolled(length / lanes) }),
      },
      hooks: {
        load: writer.loadEach(
          tensors,
          (lane, split) =>
            coords(split(Affine.variable('o', outputs), node.shape), split(step.times(lanes).plus(lane), reduced)),
          lanes,
        ),
        store: writer.store(
          () => Affine.variable('o', outputs),
          tensors.map((_, i) => [`values[${i}]`]),
        ),
      },
      workgroups: writer.grid(together ? outputs : Math.ceil(outputs / 64)),
      flops,
    };
  }
  const lanes = node.shape.at(-1)! % 4 === 0 ? 4 : 1;
  const out = (lane: number) =>
    Affine.variable('o', outputs / lanes)
      .times(lanes)
      .plus(lane);
  const vectors = outputs / lanes;
  // What a thread keeps in workgroup memory, of each tensor.
  const state = 16 * (kind === 'sum' ? 1 : 2) * tensors.length;
  // Of sums, the array of the other part of a state has one element.
  const rest = kind === 'sum' ? memory - state : memory;
  const slices = powerBelow(Math.min(length / A_THREAD, rest / (state * COLUMNS)), WORKGROUP / COLUMNS);
  return {
    source: together?.columns ?? columnsShader,
    constants: together
      ? {
          ...constants,
          VECTORS: vectors,
          STEPS: length,
          COLUMNS,
          SLICES: slices,
          TOTALS: kind === 'sum' ? 1 : COLUMNS * slices,
        }
      : { ...constants, THREADS: vectors, STEPS: length, UNROLL: unrolled(length) },
    hooks: {
      load: writer.loadEach(
        tensors,
        (lane, split) => coords(split(out(lane), node.shape), split(Affine.variable('r', length), reduced)),
        lanes,
      ),
      store: writer.store(
        out,
        tensors.map((_, i) => ['x', 'y', 'z', 'w'].slice(0, lanes).map((lane) => `values[${i}].${lane}`)),
      ),
    },
    workgroups: writer.grid(Math.ceil(vectors / (together ? COLUMNS : 64))),
    flops,
  };
}

const SAMPLES: readonly Sample<ReduceAttrs>[] = [
  { inputs: [{ shape: [5, 7] }], attrs: { axes: [1] } },
  { inputs: [{ shape: [5, 7] }], attrs: { axes: [0] } },
  { inputs: [{ shape: [6, 64] }], attrs: { axes: [1] } },
  { inputs: [{ shape: [64, 12] }], attrs: { axes: [0] } },
  { inputs: [{ shape: [3, 4, 8] }], attrs: { axes: [0, 2] } },
  { inputs: [{ shape: [3, 5, 8] }], attrs: { axes: [1] } },
  { inputs: [{ shape: [3, 1100], min: -30, max: 30 }], attrs: { axes: [1] } },
  { inputs: [{ shape: [2, 3, 5] }], attrs: { axes: [0, 1, 2] } },
  { inputs: [{ shape: [1, 1] }], attrs: { axes: [1] } },
];

/** Of nothing, only the sum is defined. */
const EMPTY: readonly Sample<ReduceAttrs>[] = [
  { inputs: [{ shape: [3, 0] }], attrs: { axes: [1] } },
  { inputs: [{ shape: [0, 8] }], attrs: { axes: [0] } },
  { inputs: [{ shape: [3, 0] }], attrs: { axes: [0] } },
];

function random(int: (min: number, max: number) => number): Sample<ReduceAttrs> {
  const shape = Array.from({ length: int(1, 4) }, () => int(1, 9));
  const axes = shape.map((_, axis) => axis).filter(() => int(0, 1) === 1);
  return { inputs: [{ shape }], attrs: { axes: axes.length ? axes : [shape.length - 1] } };
}

/* @__NO_SIDE_EFFECTS__ */
function define(
  name: keyof typeof KINDS,
  fold: (values: Float64Array) => number,
  grad: (node: Tensor<ReduceAttrs>, g: (t: Tensor) => Tensor, cotangent: Tensor) => Tensor,
): Op<ReduceAttrs> {
  return defineOp<ReduceAttrs>({
    name,
    infer([x], { axes }) {
      if (elementType(x!.dtype) !== 'f32') throw new ShapeError(`wants f32, got ${x!.dtype}`);
      if (name !== 'sum' && axes.some((axis) => x!.shape[axis] === 0)) {
        throw new ShapeError(`cannot reduce ${show(x!.shape)} over an axis of no elements`);
      }
      return { shape: remaining(x!.shape, axes), dtype: 'f32' };
    },
    grad(node, cotangent) {
      const { shape } = node.inputs[0]!;
      const spread = (t: Tensor) => broadcastTo(reshape(t, kept(shape, node.attrs.axes)), shape);
      return [grad(node, spread, cotangent)];
    },
    traits: { joins: true },
    variants: [{ name: 'one thread a result', kernel: (node, writer) => reduceKernel(node, writer, name) }],
    check: CHECKS && {
      reference: referenceOf(fold),
      samples: name === 'sum' ? [...SAMPLES, ...EMPTY] : SAMPLES,
      random,
    },
  });
}

export const sumOp = define(
  'sum',
  (values) => values.reduce((a, b) => a + b, 0),
  (_, spread, g) => spread(g),
);

export const maxOp = define(
  'max',
  (values) => values.reduce((a, b) => Math.max(a, b), -Infinity),
  // Equal maxima share the cotangent, as in PyTorch's amax.
  (node, spread, g) => {
    const ties = equal(node.inputs[0]!, spread(node));
    // Another kernel may have rounded the maximum in another way, so that none is equal: then none is counted as one.
    return mul(ties, spread(div(g, maximum(sumOver(ties, node.attrs.axes), 1))));
  },
);

export const logsumexpOp = define(
  'logsumexp',
  (values) => {
    const max = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!Number.isFinite(max)) return max;
    return max + Math.log(values.reduce((sum, value) => sum + Math.exp(value - max), 0));
  },
  (node, spread, g) => mul(spread(g), exp(sub(node.inputs[0]!, spread(node)))),
);

function sumOver(x: Tensor, axes: readonly number[]): Tensor {
  return apply(sumOp, [x], { axes });
}

export interface ReduceOptions {
  /** One axis or several, from the end if negative; all by default. */
  readonly axis?: number | readonly number[];
  /** Keep the reduced axes with size 1. */
  readonly keepDims?: boolean;
}

/* @__NO_SIDE_EFFECTS__ */
function reduce(op: Op<ReduceAttrs>) {
  return (x: Tensor, { axis, keepDims = false }: ReduceOptions = {}): TensorOf<'f32'> => {
    const list = axis === undefined ? x.shape.map((_, i) => i) : typeof axis === 'number' ? [axis] : axis;
    const axes = [...new Set(list.map((one) => axisOf(one, x.shape.length)))].sort((a, b) => a - b);
    const result = apply(op, [x], { axes }) as TensorOf<'f32'>;
    return keepDims ? reshape(result, kept(x.shape, axes)) : result;
  };
}

export const sum = reduce(sumOp);
export const max = reduce(maxOp);
/** The least; equal ones share the gradient. */
export const min = (x: Tensor, options?: ReduceOptions): Tensor => neg(max(neg(x), options));
/** log Σ exp, without overflow. */
export const logsumexp = reduce(logsumexpOp);

export function mean(x: Tensor, options: ReduceOptions = {}): TensorOf<'f32'> {
  const total = sum(x, options);
  return mul(total, total.size / x.size);
}

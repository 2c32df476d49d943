// Softmax and its logarithm: of rows by one kernel, forward and backward; along other axes by a logsumexp, and what it makes of x.
import logsumexp_fold from '../../shaders/include/logsumexp_fold.wgsl?raw';
import logsumexp_step from '../../shaders/include/logsumexp_step.wgsl?raw';
import softmax_lanes from '../../shaders/include/softmax_lanes.wgsl?raw';
import softmax_result from '../../shaders/include/softmax_result.wgsl?raw';
import softmax_step from '../../shaders/include/softmax_step.wgsl?raw';
import rowsText from '../../shaders/softmax/rows.wgsl?raw';
import workgroupText from '../../shaders/softmax/rows_workgroup.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { include } from '../gpu/include.ts';
import { Affine } from './affine.ts';
import { defineOp } from './define.ts';
import { exp, mul, sub } from './elementwise.ts';
import { logsumexp, sum } from './reduce.ts';
import {
  apply,
  axisOf,
  elementType,
  type Kernel,
  type KernelWriter,
  type NdArray,
  type Op,
  type Sample,
  sameShape,
  show,
  stridesOf,
  type Tensor,
  type TensorOf,
  type Variant,
} from './tensor.ts';
import { reshape } from './view.ts';

interface RowsAttrs {
  /** Of the logarithm. */
  readonly log: boolean;
}

const texts = { logsumexp_fold, logsumexp_step, softmax_lanes, softmax_result, softmax_step };
const rowsShader = /* @__PURE__ */ include(rowsText, texts);
const workgroupShader = /* @__PURE__ */ include(workgroupText, texts);

/** Threads of a workgroup at most, and steps of a row that each of them has in registers. */
const WORKGROUP = 256;
const KEPT = 4;
/** Numbers from which on a workgroup has a row to itself. */
const LONG = 128;
/** Rows that keep an adapter busy, and the length of one that leaves it idle for no time that counts, however few there are. */
const MANY = 16;
const SHORT = 256;

/** @param gradient the kernel reads the result and its cotangent, and not what the result is of */
function kernel(node: Tensor<RowsAttrs>, writer: KernelWriter, gradient: boolean, together: boolean): Kernel {
  const [rows, length] = node.shape as [number, number];
  const lanes = length % 4 === 0 ? 4 : 1;
  const steps = length / lanes;
  const threads = Math.min(WORKGROUP, 2 ** Math.ceil(Math.log2(Math.max(32, steps / KEPT))));
  const kept = Math.min(KEPT, Math.ceil(steps / threads));
  const row = Affine.variable('o', rows);
  const column = (lane: number) => Affine.variable('r', steps).times(lanes).plus(lane);
  return {
    source: together ? workgroupShader : rowsShader,
    constants: {
      KIND: (gradient ? 2 : 0) + (node.attrs.log ? 1 : 0),
      COUNT: node.inputs.length,
      ROWS: rows,
      STEPS: steps,
      LANES: lanes,
      ...(together
        ? { THREADS: threads, KEPT: kept, ONCE: threads * kept >= steps }
        : { UNROLL: steps % 4 === 0 ? 4 : 1 }),
    },
    hooks: {
      load: writer.loadEach(node.inputs, (lane) => [row, column(lane)], lanes),
      store: writer.store(
        (lane) => row.times(length).plus(column(lane)),
        [['x', 'y', 'z', 'w'].slice(0, lanes).map((lane) => `value.${lane}`)],
      ),
    },
    workgroups: writer.grid(together ? rows : Math.ceil(rows / 64)),
    flops: node.size * (gradient ? 5 : 12),
  };
}

/* @__NO_SIDE_EFFECTS__ */
function variantsOf(gradient: boolean): Variant<RowsAttrs>[] {
  return [
    {
      name: 'one workgroup a row',
      heuristic: (node, { software }) => !software && node.shape[1]! >= LONG,
      kernel: (node, writer) => kernel(node, writer, gradient, true),
    },
    { name: 'one thread a row', kernel: (node, writer) => kernel(node, writer, gradient, false) },
  ];
}

function checkRows(inputs: readonly Tensor[]): void {
  const fits = inputs.every(
    ({ shape, dtype }) => elementType(dtype) === 'f32' && shape.length === 2 && sameShape(shape, inputs[0]!.shape),
  );
  if (fits && inputs[0]!.size > 0) return;
  const got = inputs.map(({ dtype, shape }) => `${dtype}${show(shape)}`).join(' and ');
  throw new ShapeError(`wants f32 [rows, length]${inputs.length > 1 ? ', twice' : ''}, got ${got}`);
}

/** Σ over a row, which stays with one element. */
const along = (x: Tensor) => sum(x, { axis: 1, keepDims: true });

function reference(rule: (row: Float64Array[], log: boolean) => Float64Array) {
  return (inputs: readonly NdArray[], { log }: RowsAttrs): Float64Array => {
    const [rows, length] = inputs[0]!.shape as [number, number];
    const result = new Float64Array(rows * length);
    for (let row = 0; row < rows; row++) {
      const parts = inputs.map(({ data }) => Float64Array.from(data.subarray(row * length, (row + 1) * length)));
      result.set(rule(parts, log), row * length);
    }
    return result;
  };
}

const rowsSample = (rows: number, length: number, log: boolean, inputs: number): Sample<RowsAttrs> => ({
  // Of a gradient, the first is a result: small where it is a probability.
  inputs: Array.from({ length: inputs }, (_, i) => ({
    shape: [rows, length],
    ...(inputs === 1 ? { min: -9, max: 9 } : i === 0 ? { min: log ? -3 : 0, max: log ? 0 : 0.2 } : {}),
  })),
  attrs: { log },
});

const rowsSamples = (inputs: number) =>
  [false, true].flatMap((log) =>
    [
      [5, 12],
      [3, 7],
      [2, 1100],
      [1, 130],
    ].map(([rows, length]) => rowsSample(rows!, length!, log, inputs)),
  );

const randomRows = (inputs: number) => (int: (min: number, max: number) => number) =>
  rowsSample(int(1, 9), int(1, 40), int(0, 1) === 1, inputs);

/** The gradient for x, of y = softmax(x) or its logarithm and of the cotangent of y. */
export const softmaxRowsGradientOp: Op<RowsAttrs> = defineOp<RowsAttrs>({
  name: 'softmaxRowsGradient',
  infer(inputs) {
    checkRows(inputs);
    return { shape: inputs[0]!.shape, dtype: 'f32' };
  },
  grad({ inputs, attrs }, v) {
    const [y, g] = inputs as [Tensor, Tensor];
    if (attrs.log) {
      const p = exp(y);
      return [mul(mul(v, p), mul(along(g), -1)), sub(v, along(mul(v, p)))];
    }
    return [
      sub(mul(v, sub(g, along(mul(g, y)))), mul(g, along(mul(v, y)))),
      apply(softmaxRowsGradientOp, [y, v], attrs),
    ];
  },
  variants: /* @__PURE__ */ variantsOf(true),
  check: CHECKS && {
    reference: reference(([y, g], log) => {
      const total = g!.reduce((sum, value, i) => sum + value * (log ? 1 : y![i]!), 0);
      return g!.map((value, i) => (log ? value - Math.exp(y![i]!) * total : y![i]! * (value - total)));
    }),
    samples: rowsSamples(2),
    random: randomRows(2),
  },
});

/** Softmax of each row of a matrix, or its logarithm. */
export const softmaxRowsOp = defineOp<RowsAttrs>({
  name: 'softmaxRows',
  infer(inputs) {
    checkRows(inputs);
    return { shape: inputs[0]!.shape, dtype: 'f32' };
  },
  grad: (node, g) => [apply(softmaxRowsGradientOp, [node, g], node.attrs)],
  variants: /* @__PURE__ */ variantsOf(false),
  check: CHECKS && {
    reference: reference(([x], log) => {
      const most = Math.max(...x!);
      const total = most + Math.log(x!.reduce((sum, value) => sum + Math.exp(value - most), 0));
      return x!.map((value) => (log ? value - total : Math.exp(value - total)));
    }),
    samples: rowsSamples(1),
    random: randomRows(1),
  },
});

export const softmaxOp = defineOp<{ axis: number; log: boolean }>({
  name: 'softmax',
  infer([x], { axis }) {
    if (elementType(x!.dtype) !== 'f32') throw new ShapeError(`wants f32, got ${x!.dtype}`);
    if (x!.shape[axis] === 0) throw new ShapeError(`axis ${axis} of ${show(x!.shape)} has no elements`);
    return { shape: x!.shape, dtype: 'f32' };
  },
  decompose([x], { axis, log }) {
    const { shape, size } = x!;
    const length = shape[axis]!;
    const rows = size / length;
    const isRows = shape.slice(axis + 1).every((dim) => dim === 1);
    if (isRows && rows > 0 && (rows >= MANY || length <= SHORT)) {
      return reshape(apply(softmaxRowsOp, [reshape(x!, [rows, length])], { log }), shape);
    }
    const result = sub(x!, logsumexp(x!, { axis, keepDims: true }));
    return log ? result : exp(result);
  },
  check: CHECKS && {
    reference([x], { axis, log: logarithm }) {
      const { shape, data } = x as NdArray;
      const stride = stridesOf(shape)[axis]!;
      const dim = shape[axis]!;
      return data.map((value, flat) => {
        const first = flat - (Math.floor(flat / stride) % dim) * stride;
        const row = Array.from({ length: dim }, (_, k) => data[first + k * stride]!);
        const max = Math.max(...row);
        const result = value - max - Math.log(row.reduce((sum, other) => sum + Math.exp(other - max), 0));
        return logarithm ? result : Math.exp(result);
      });
    },
    samples: [false, true].flatMap((logarithm) => [
      { inputs: [{ shape: [5, 12], min: -9, max: 9 }], attrs: { axis: 1, log: logarithm } },
      { inputs: [{ shape: [7, 5] }], attrs: { axis: 0, log: logarithm } },
      { inputs: [{ shape: [2, 1, 3] }], attrs: { axis: 1, log: logarithm } },
    ]),
    random(int) {
      const shape = Array.from({ length: int(1, 3) }, () => int(1, 9));
      return { inputs: [{ shape }], attrs: { axis: int(0, shape.length - 1), log: int(0, 1) === 1 } };
    },
  },
});

/** exp(x) / Σ exp(x) along an axis, the last by default. */
export function softmax(x: Tensor, axis = -1): TensorOf<'f32'> {
  return apply(softmaxOp, [x], { axis: axisOf(axis, x.shape.length), log: false }) as TensorOf<'f32'>;
}

/** log softmax(x) along an axis, the last by default. */
export function logSoftmax(x: Tensor, axis = -1): TensorOf<'f32'> {
  return apply(softmaxOp, [x], { axis: axisOf(axis, x.shape.length), log: true }) as TensorOf<'f32'>;
}

// Variance and standard deviation over any axes.
import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { mul, sqrt, square, sub } from './elementwise.ts';
import { mean, type ReduceOptions, sum } from './reduce.ts';
import {
  apply,
  axisOf,
  elementType,
  type NdArray,
  type Sample,
  type Shape,
  show,
  sizeOf,
  stridesOf,
  type Tensor,
} from './tensor.ts';
import { reshape } from './view.ts';

export interface VarianceAttrs {
  /** Ascending. */
  readonly axes: readonly number[];
  readonly correction: number;
}

const countOf = (shape: Shape, axes: readonly number[]) => sizeOf(axes.map((axis) => shape[axis]!));

export const varianceOp = defineOp<VarianceAttrs>({
  name: 'variance',
  infer([x], { axes, correction }) {
    if (elementType(x!.dtype) !== 'f32') throw new ShapeError(`wants f32, got ${x!.dtype}`);
    if (!(countOf(x!.shape, axes) > correction))
      throw new ShapeError(
        `wants more than ${correction} elements to vary, got ${show(x!.shape)} over axes ${show(axes)}`,
      );
    return { shape: x!.shape.filter((_, axis) => !axes.includes(axis)), dtype: 'f32' };
  },
  decompose([x], { axes, correction }) {
    // The distance from the mean first: a difference of two large sums would lose digits.
    const distance = sub(x!, mean(x!, { axis: axes, keepDims: true }));
    return mul(sum(square(distance), { axis: axes }), 1 / (countOf(x!.shape, axes) - correction));
  },
  check: CHECKS && {
    reference([x], { axes, correction }) {
      const { shape, data } = x as NdArray;
      const strides = stridesOf(shape);
      const groups = new Map<string, number[]>();
      data.forEach((value, flat) => {
        const coords = shape.map((dim, axis) => Math.floor(flat / strides[axis]!) % dim);
        const key = coords.filter((_, axis) => !axes.includes(axis)).join();
        groups.set(key, [...(groups.get(key) ?? []), value]);
      });
      return Float64Array.from(groups.values(), (values) => {
        const center = values.reduce((a, b) => a + b, 0) / values.length;
        return values.reduce((total, value) => total + (value - center) ** 2, 0) / (values.length - correction);
      });
    },
    samples: [sample([5, 7], [1]), sample([6, 8], [0], 1), sample([3, 4, 8], [0, 2], 1), sample([9], [0])],
    random(int) {
      const shape = Array.from({ length: int(1, 3) }, () => int(2, 9));
      return sample(shape, [int(0, shape.length - 1)], int(0, 1));
    },
  },
});

function sample(shape: Shape, axes: readonly number[], correction = 0): Sample<VarianceAttrs> {
  return { inputs: [{ shape }], attrs: { axes, correction } };
}

export interface VarianceOptions extends ReduceOptions {
  /** What the number of elements is lessened by: 0 by default, the variance of just these; 1 estimates that of more. */
  readonly correction?: number;
}

/** The mean squared distance from the mean, over all axes by default. */
export function variance(x: Tensor, { axis, keepDims = false, correction = 0 }: VarianceOptions = {}): Tensor {
  const list = axis === undefined ? [...x.shape.keys()] : [axis].flat();
  const axes = [...new Set(list.map((one) => axisOf(one, x.shape.length)))].sort((a, b) => a - b);
  const result = apply(varianceOp, [x], { axes, correction });
  return keepDims
    ? reshape(
        result,
        x.shape.map((dim, i) => (axes.includes(i) ? 1 : dim)),
      )
    : result;
}

/** The square root of the variance. Where nothing varies, it has no gradient: infinite, or NaN. */
export const std = (x: Tensor, options?: VarianceOptions): Tensor => sqrt(variance(x, options));

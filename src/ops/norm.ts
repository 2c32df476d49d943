// Normalisation: mean 0 and variance 1 over some axes. Batch, group and layer norm are this over other axes.

import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { add, mul, relu, rsqrt, square, sub } from './elementwise.ts';
import { mean } from './reduce.ts';
import { isWide, layerNormRows, rmsNormRows } from './row_norm.ts';
import {
  apply,
  axisOf,
  elementType,
  type RandomInt,
  type Sample,
  type Shape,
  show,
  sizeOf,
  stridesOf,
  type Tensor,
} from './tensor.ts';
import { reshape, sliceOp, stopGradient, transpose } from './view.ts';

export interface NormalizeAttrs {
  /** Ascending. */
  readonly axes: readonly number[];
  readonly epsilon: number;
}

/**
 * Mean, variance and 1 / √(variance + ε) over axes, which stay with one element: by two sums that one kernel takes in one
 * pass. What is summed is the distance from each group's first element, so that no digits are lost where the mean is far
 * from 0 (Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983: shifted data).
 */
export function moments(x: Tensor, axes: readonly number[], epsilon: number) {
  const average = (of: Tensor) => mean(of, { axis: axes, keepDims: true });
  const sizes = x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  const first = stopGradient(apply(sliceOp, [x], { starts: sizes.map(() => 0), sizes }));
  const distance = sub(x, first);
  const shift = average(distance);
  // Rounding must not make it negative.
  const variance = relu(sub(average(square(distance)), square(shift)));
  return { mean: add(first, shift), variance, scale: rsqrt(add(variance, epsilon)) };
}

export const normalizeOp = defineOp<NormalizeAttrs>({
  name: 'normalize',
  infer([x], { axes, epsilon }) {
    if (elementType(x!.dtype) !== 'f32') throw new ShapeError(`wants f32, got ${x!.dtype}`);
    if (axes.length === 0 || !(epsilon > 0))
      throw new ShapeError(`wants axes and ε above 0, got ${show(axes)}, ${epsilon}`);
    return { shape: x!.shape, dtype: 'f32' };
  },
  // Ioffe and Szegedy, Batch Normalization, 2015, section 3, put together: two means where the parts would give four.
  grad(node, g) {
    const { axes, epsilon } = node.attrs;
    const average = (x: Tensor) => mean(x, { axis: axes, keepDims: true });
    const { scale } = moments(node.inputs[0]!, axes, epsilon);
    return [mul(scale, sub(sub(g, average(g)), mul(node, average(mul(g, node)))))];
  },
  decompose([x], { axes, epsilon }) {
    const { mean: center, scale } = moments(x!, axes, epsilon);
    return mul(sub(x!, center), scale);
  },
  check: CHECKS && {
    reference([x], { axes, epsilon }) {
      const { shape, data } = x!;
      const strides = stridesOf(shape);
      const groupOf = (flat: number) =>
        shape.map((dim, axis) => (axes.includes(axis) ? 0 : Math.floor(flat / strides[axis]!) % dim)).join();
      const groups = new Map<string, number[]>();
      data.forEach((value, flat) => {
        const group = groupOf(flat);
        groups.set(group, [...(groups.get(group) ?? []), value]);
      });
      const average = (values: readonly number[]) => values.reduce((total, value) => total + value, 0) / values.length;
      const parts = new Map(
        [...groups].map(([group, values]) => {
          const center = average(values);
          return [
            group,
            { center, scale: 1 / Math.sqrt(average(values.map((value) => (value - center) ** 2)) + epsilon) },
          ];
        }),
      );
      return data.map((value, flat) => {
        const { center, scale } = parts.get(groupOf(flat))!;
        return (value - center) * scale;
      });
    },
    samples: [sample([5, 12], [1]), sample([4, 3, 5, 5], [0, 2, 3]), sample([2, 6, 4], [1, 2]), sample([7, 2], [0])],
    random(int: RandomInt) {
      const shape = [...Array.from({ length: int(0, 2) }, () => int(1, 5)), int(2, 9)];
      return sample(
        shape,
        [...shape.keys()].filter((axis) => axis === shape.length - 1 || int(0, 1) === 1),
      );
    },
  },
});

function sample(shape: Shape, axes: readonly number[]): Sample<NormalizeAttrs> {
  // Of few numbers, the gradient is large where they are near each other; a large ε keeps it testable in f32.
  return { inputs: [{ shape }], attrs: { axes, epsilon: 0.1 } };
}

/** (x − mean) / √(variance + ε) over axes. */
export function normalize(x: Tensor, axis: number | readonly number[], epsilon = 1e-5): Tensor {
  const list = typeof axis === 'number' ? [axis] : axis;
  const axes = [...new Set(list.map((one) => axisOf(one, x.shape.length)))].sort((a, b) => a - b);
  return apply(normalizeOp, [x], { axes, epsilon });
}

/** Over the last axes, as many as `shape` has; scaled and shifted if a weight and a bias of that shape are given. */
export function layerNorm(x: Tensor, shape: Shape, weight?: Tensor, bias?: Tensor, epsilon = 1e-5): Tensor {
  const first = x.shape.length - shape.length;
  if (String(x.shape.slice(first)) !== String(shape)) {
    throw new ShapeError(`layerNorm: ${show(x.shape)} does not end with ${show(shape)}`);
  }
  if (shape.length === 1 && isWide(shape[0]!) && weight && bias && x.dtype === 'f32' && x.size > 0) {
    return layerNormRows(x, weight, bias, epsilon);
  }
  const axes = shape.map((_, i) => first + i);
  return affine(normalize(x, axes, epsilon), weight, bias);
}

/**
 * x / √(mean of x² + ε) over the last axis, scaled if a weight of that length is given (Zhang and Sennrich, Root Mean Square Layer
 * Normalization, 2019).
 */
export function rmsNorm(x: Tensor, weight?: Tensor, epsilon = 1e-6): Tensor {
  const width = x.shape.at(-1) ?? 0;
  if (weight && (weight.shape.length !== 1 || weight.size !== width)) {
    throw new ShapeError(`rmsNorm: the weight ${show(weight.shape)} is not of the last axis of ${show(x.shape)}`);
  }
  if (isWide(width) && weight && x.dtype === 'f32' && x.size > 0) return rmsNormRows(x, weight, epsilon);
  return affine(mul(x, rsqrt(add(mean(square(x), { axis: -1, keepDims: true }), epsilon))), weight);
}

/** Over height, width and each group of channels of images [N, C, H, W]; weight and bias [C]. */
export function groupNorm(x: Tensor, groups: number, weight?: Tensor, bias?: Tensor, epsilon = 1e-5): Tensor {
  const [n, channels, ...size] = x.shape as [number, number, ...number[]];
  if (size.length !== 2 || channels % groups !== 0) {
    throw new ShapeError(
      `groupNorm: wants images [N, C, H, W] with channels in ${groups} groups, got ${show(x.shape)}`,
    );
  }
  // Channels last, as convolutions leave them: nothing is transposed between the two.
  const images = reshape(transpose(x, [0, 2, 3, 1]), [n, sizeOf(size), groups, channels / groups]);
  const result = reshape(normalize(images, [1, 3], epsilon), [n, ...size, channels]);
  return affine(transpose(result, [0, 3, 1, 2]), perChannel(weight), perChannel(bias));
}

/** Numbers [C] beside images [N, C, H, W]. */
export function perChannel<T extends Tensor | undefined>(x: T): T {
  return (x && reshape(x, [x.size, 1, 1])) as T;
}

/** weight · x + bias, of those that are given. */
export function affine(x: Tensor, weight?: Tensor, bias?: Tensor): Tensor {
  const scaled = weight ? mul(x, weight) : x;
  return bias ? add(scaled, bias) : scaled;
}

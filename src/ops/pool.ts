// Pooling and up-sampling of images [N, C, H, W]: composites, whose gradients follow from their parts.
//
// A pooling folds the patches of the images, which are never stored. Bilinear interpolation is linear along each axis: a
// small matrix of hat functions, which the compiler makes, times rows and columns.

import { ShapeError } from '../errors.ts';
import { both } from './conv.ts';
import { type ConvAttrs, pairOf, positions, type Shape4, windowOf } from './conv_geometry.ts';
import { defineOp } from './define.ts';
import { abs, maximum, minimum, mul, relu, sub, where } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { type Pair, patches } from './patches.ts';
import { max, mean } from './reduce.ts';
import { constant, iota } from './source.ts';
import { apply, elementType, type Op, type RandomInt, type Sample, show, sizeOf, type Tensor } from './tensor.ts';
import { broadcastTo, reshape, transpose } from './view.ts';

interface PoolAttrs {
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
}

/** The least f32: what padding is to a maximum. */
const LOWEST = -3.4028234e38;

function checkImages(x: Tensor): Shape4 {
  if (x.shape.length !== 4 || elementType(x.dtype) !== 'f32') {
    throw new ShapeError(`wants images f32 [N, C, H, W], got ${x.dtype}${show(x.shape)}`);
  }
  return x.shape as Shape4;
}

const spread = (attrs: PoolAttrs): ConvAttrs => ({ ...attrs, dilation: [1, 1], groups: 1 });

function pool(
  name: string,
  decompose: Op<PoolAttrs>['decompose'] & {},
  fold: (values: number[], taps: number) => number,
): Op<PoolAttrs> {
  return defineOp<PoolAttrs>({
    name,
    infer([x], attrs) {
      const [n, channels, ...size] = checkImages(x!);
      const { kernel, stride, padding } = attrs;
      const whole = [...kernel, ...stride].every((value) => Number.isInteger(value) && value >= 1);
      if (
        !whole ||
        padding.some((value, a) => !Number.isInteger(value) || value < 0 || 2 * value > kernel[a as 0 | 1])
      ) {
        throw new ShapeError(
          `wants kernel and stride from 1 and padding up to half the kernel; got kernel ${show(kernel)}, stride ${show(stride)}, padding ${show(padding)}`,
        );
      }
      const out = positions(size, kernel, spread(attrs));
      if (out.some((count) => count < 1))
        throw new ShapeError(`${show(kernel)} does not fit into images ${show(x!.shape)}`);
      return { shape: [n, channels, ...out], dtype: 'f32' };
    },
    decompose,
    check: CHECKS && {
      reference([x], { kernel, stride, padding }, shape) {
        const [height, width] = x!.shape.slice(2) as unknown as Pair;
        return perPixel(shape, (plane, i, j) => {
          const values: number[] = [];
          for (let k = 0; k < kernel[0]; k++) {
            for (let l = 0; l < kernel[1]; l++) {
              const [row, column] = [i * stride[0] + k - padding[0], j * stride[1] + l - padding[1]];
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              values.push(x!.data[(plane * height + row) * width + column]!);
            }
          }
          return fold(values, kernel[0] * kernel[1]);
        });
      },
      samples: [
        poolSample([2, 3, 6, 7], [2, 2], [2, 2], [0, 0]),
        poolSample([1, 4, 5, 5], [3, 2], [1, 2], [1, 1]),
        poolSample([2, 8, 4, 4], [4, 4], [4, 4], [0, 0]),
      ],
      random(int) {
        const pair = (least: number, most: number): Pair => [int(least, most), int(least, most)];
        const kernel = pair(1, 3);
        const padding: Pair = [int(0, kernel[0] >> 1), int(0, kernel[1] >> 1)];
        return poolSample([int(1, 3), int(1, 9), int(3, 8), int(3, 8)], kernel, pair(1, 3), padding);
      },
    },
  });
}

function poolSample(shape: Shape4, kernel: Pair, stride: Pair, padding: Pair): Sample<PoolAttrs> {
  return { inputs: [{ shape }], attrs: { kernel, stride, padding } };
}

/** A reference result from the number of the plane (image and channel) and the position in it. */
function perPixel(shape: readonly number[], rule: (plane: number, i: number, j: number) => number): Float64Array {
  const [height, width] = shape.slice(2) as unknown as Pair;
  return Float64Array.from({ length: sizeOf(shape) }, (_, flat) => {
    const plane = Math.floor(flat / (height * width));
    return rule(plane, Math.floor(flat / width) % height, flat % width);
  });
}

/** What each window sees, [windows, taps, C], and back from one number a window and channel. */
function windows(x: Tensor, { kernel, stride, padding }: PoolAttrs) {
  const [n, channels, ...size] = x.shape as Shape4;
  const attrs = spread({ kernel, stride, padding });
  const out = positions(size, kernel, attrs);
  const seen = (images: Tensor) =>
    reshape(patches(transpose(images, [0, 2, 3, 1]), windowOf(kernel, out, attrs)), [-1, sizeOf(kernel), channels]);
  return { seen, back: (folded: Tensor) => transpose(reshape(folded, [n, ...out, channels]), [0, 3, 1, 2]) };
}

export const maxPool2dOp = pool(
  'maxPool2d',
  ([x], attrs) => {
    const { seen, back } = windows(x!, attrs);
    const values = seen(x!);
    if (attrs.padding.every((size) => size === 0)) return back(max(values, { axis: 1 }));
    const inside = seen(broadcastTo(constant(1), x!.shape));
    return back(max(where(inside, values, LOWEST), { axis: 1 }));
  },
  (values) => Math.max(...values),
);

/** Padding counts as zeros, as in PyTorch by default. */
export const avgPool2dOp = pool(
  'avgPool2d',
  ([x], attrs) => {
    const { seen, back } = windows(x!, attrs);
    return back(mean(seen(x!), { axis: 1 }));
  },
  (values, taps) => values.reduce((total, value) => total + value, 0) / taps,
);

export type UpsampleMode = 'nearest' | 'bilinear';

interface UpsampleAttrs {
  readonly scale: Pair;
  readonly mode: UpsampleMode;
}

/** Where result `at` lies between the pixels of an axis: centres of pixels on centres (PyTorch's align_corners=False). */
const positionOf = (at: number, scale: number, size: number) =>
  Math.min(Math.max((at + 0.5) / scale - 0.5, 0), size - 1);

/** The same as a matrix [scale · size, size]: hat functions of the distance. */
function hats(size: number, scale: number): Tensor {
  const at = sub(mul(iota([scale * size, 1]), 1 / scale), 0.5 - 0.5 / scale);
  const position = minimum(maximum(at, 0), size - 1);
  return relu(sub(1, abs(sub(position, iota([1, size], 1)))));
}

export const upsample2dOp = defineOp<UpsampleAttrs>({
  name: 'upsample2d',
  infer([x], { scale, mode }) {
    const [n, channels, height, width] = checkImages(x!);
    if (!scale.every((factor) => Number.isInteger(factor) && factor >= 1)) {
      throw new ShapeError(`wants whole scales from 1, got ${show(scale)}`);
    }
    if (mode !== 'nearest' && mode !== 'bilinear') throw new ShapeError(`there is no mode ${String(mode)}`);
    return { shape: [n, channels, height * scale[0], width * scale[1]], dtype: 'f32' };
  },
  decompose([x], { scale: [down, across], mode }) {
    const [n, channels, height, width] = x!.shape as Shape4;
    if (mode === 'nearest') {
      const images = reshape(transpose(x!, [0, 2, 3, 1]), [n, height, 1, width, 1, channels]);
      const repeated = broadcastTo(images, [n, height, down, width, across, channels]);
      return transpose(reshape(repeated, [n, height * down, width * across, channels]), [0, 3, 1, 2]);
    }
    const rows = matmul(reshape(x!, [-1, width]), hats(width, across), { transposeB: true });
    const planes = reshape(rows, [n * channels, height, width * across]);
    const matrix = broadcastTo(hats(height, down), [n * channels, height * down, height]);
    return reshape(matmul(matrix, planes), [n, channels, height * down, width * across]);
  },
  check: CHECKS && {
    reference([x], { scale, mode }, shape) {
      const [height, width] = x!.shape.slice(2) as unknown as Pair;
      const pixel = (plane: number, i: number, j: number) => x!.data[(plane * height + i) * width + j]!;
      return perPixel(shape, (plane, i, j) => {
        if (mode === 'nearest') return pixel(plane, Math.floor(i / scale[0]), Math.floor(j / scale[1]));
        const [y, z] = [positionOf(i, scale[0], height), positionOf(j, scale[1], width)];
        const [i0, j0] = [Math.floor(y), Math.floor(z)];
        const [i1, j1] = [Math.min(i0 + 1, height - 1), Math.min(j0 + 1, width - 1)];
        const row = (k: number) => pixel(plane, k, j0) * (1 - (z - j0)) + pixel(plane, k, j1) * (z - j0);
        return row(i0) * (1 - (y - i0)) + row(i1) * (y - i0);
      });
    },
    samples: (['nearest', 'bilinear'] as const).flatMap((mode) => [
      { inputs: [{ shape: [2, 3, 4, 5] }], attrs: { scale: [2, 2] as const, mode } },
      { inputs: [{ shape: [1, 4, 3, 1] }], attrs: { scale: [3, 2] as const, mode } },
      { inputs: [{ shape: [2, 1, 4, 4] }], attrs: { scale: [1, 4] as const, mode } },
    ]),
    random: (int: RandomInt) => ({
      inputs: [{ shape: [int(1, 3), int(1, 6), int(1, 6), int(1, 6)] }],
      attrs: { scale: pairOf(() => int(1, 3)), mode: int(0, 1) ? 'nearest' : 'bilinear' },
    }),
  },
});

export interface PoolOptions {
  /** The kernel's size by default. */
  readonly stride?: number | Pair;
  readonly padding?: number | Pair;
}

function pooling(op: Op<PoolAttrs>) {
  return (x: Tensor, kernel: number | Pair, { stride = kernel, padding = 0 }: PoolOptions = {}): Tensor =>
    apply(op, [x], { kernel: both(kernel), stride: both(stride), padding: both(padding) });
}

/** The greatest pixel of each window. */
export const maxPool2d = pooling(maxPool2dOp);
/** The mean of each window; padding counts as zeros. */
export const avgPool2d = pooling(avgPool2dOp);

/** Images of `scale` times the height and width. */
export function upsample2d(x: Tensor, scale: number | Pair = 2, mode: UpsampleMode = 'nearest'): Tensor {
  return apply(upsample2dOp, [x], { scale: both(scale), mode });
}

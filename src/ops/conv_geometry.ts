// What convolutions agree on: attributes, sizes, and which pixel, weight and result belong together.
import { ShapeError } from '../errors.ts';
import type { Pair, Window } from './patches.ts';
import { elementType, type Shape, show, type Tensor } from './tensor.ts';

export interface ConvAttrs {
  readonly stride: Pair;
  readonly padding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
}

export interface TransposeAttrs extends ConvAttrs {
  readonly outputPadding: Pair;
}

export interface WeightAttrs extends ConvAttrs {
  readonly kernel: Pair;
}

/** [N, C, H, W], or a weight [out, in, KH, KW]. */
export type Shape4 = readonly [number, number, number, number];

export function pairOf(rule: (axis: 0 | 1) => number): Pair {
  return [rule(0), rule(1)];
}

export function check(name: string, tensor: Tensor, wanted: string): Shape4 {
  if (tensor.shape.length !== 4 || elementType(tensor.dtype) !== 'f32') {
    throw new ShapeError(`wants ${name} f32 ${wanted}, got ${tensor.dtype}${show(tensor.shape)}`);
  }
  return tensor.shape as Shape4;
}

export function checkAttrs({ stride, padding, dilation, groups }: ConvAttrs): void {
  const whole = (pair: Pair, least: number) => pair.every((value) => Number.isInteger(value) && value >= least);
  if (!whole(stride, 1) || !whole(dilation, 1) || !whole(padding, 0) || !Number.isInteger(groups) || groups < 1) {
    throw new ShapeError(
      `wants stride, dilation and groups from 1 and padding from 0, whole numbers; got stride ${show(stride)}, padding ${show(padding)}, dilation ${show(dilation)}, groups ${groups}`,
    );
  }
}

/** Positions at which a kernel fits into a padded size. */
export function positions(size: Shape, kernel: Pair, { stride, padding, dilation }: ConvAttrs): Pair {
  return pairOf((a) => Math.floor((size[a]! + 2 * padding[a] - dilation[a] * (kernel[a] - 1) - 1) / stride[a]) + 1);
}

export function windowOf(kernel: Pair, out: Pair, { stride, padding, dilation }: ConvAttrs): Window {
  return { kernel, stride, dilation, start: pairOf((a) => 0 - padding[a]), out };
}

/** The size of the images whose convolution has this size. */
export function transposedSize(size: Shape, kernel: Pair, attrs: TransposeAttrs): Pair {
  const { stride, padding, dilation, outputPadding } = attrs;
  return pairOf(
    (a) => (size[a]! - 1) * stride[a] - 2 * padding[a] + dilation[a] * (kernel[a] - 1) + 1 + outputPadding[a],
  );
}

/** Multiplies the overlaps of images, weights and results in float64: what all three references are. */
export function overlaps(
  x: Shape,
  weight: Shape,
  y: Shape,
  attrs: ConvAttrs,
  visit: (x: number, w: number, y: number) => void,
): void {
  const { stride, padding, dilation, groups } = attrs;
  const [n, , height, width] = x as Shape4;
  const [outChannels, inChannels, kernelHeight, kernelWidth] = weight as Shape4;
  const [, , outHeight, outWidth] = y as Shape4;
  for (let image = 0; image < n; image++) {
    for (let o = 0; o < outChannels; o++) {
      const group = Math.floor((o * groups) / outChannels);
      for (let c = 0; c < inChannels; c++) {
        const plane = (image * groups + group) * inChannels + c;
        for (let tap = 0; tap < kernelHeight * kernelWidth; tap++) {
          const [k, l] = [Math.floor(tap / kernelWidth), tap % kernelWidth];
          for (let i = 0; i < outHeight; i++) {
            const row = i * stride[0] + k * dilation[0] - padding[0];
            if (row < 0 || row >= height) continue;
            for (let j = 0; j < outWidth; j++) {
              const column = j * stride[1] + l * dilation[1] - padding[1];
              if (column < 0 || column >= width) continue;
              visit(
                (plane * height + row) * width + column,
                (o * inChannels + c) * kernelHeight * kernelWidth + tap,
                ((image * outChannels + o) * outHeight + i) * outWidth + j,
              );
            }
          }
        }
      }
    }
  }
}

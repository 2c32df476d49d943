// Sizes that convolutions are tested with, and the same cases read as transposed convolutions and weight gradients.
import {
  type ConvAttrs,
  pairOf,
  positions,
  type Shape4,
  type TransposeAttrs,
  transposedSize,
  type WeightAttrs,
} from './conv_geometry.ts';
import type { Pair } from './patches.ts';
import type { RandomInt, Sample } from './tensor.ts';

export interface Case {
  readonly images: Shape4;
  readonly weight: Shape4;
  readonly attrs: ConvAttrs;
}

function oneCase(images: Shape4, weight: Shape4, given: Partial<ConvAttrs> = {}): Case {
  return { images, weight, attrs: { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1, ...given } };
}

export function samples(): Case[] {
  return [
    oneCase([2, 1, 8, 8], [4, 1, 3, 3], { stride: [2, 2], padding: [1, 1] }),
    oneCase([2, 4, 7, 7], [8, 4, 3, 3], { stride: [2, 2], padding: [1, 1] }),
    oneCase([2, 8, 5, 6], [4, 8, 3, 3], { padding: [1, 1] }),
    oneCase([1, 3, 6, 7], [5, 3, 2, 3], { stride: [1, 3], padding: [2, 0], dilation: [2, 1] }),
    oneCase([3, 8, 4, 4], [1, 8, 1, 1]),
    oneCase([2, 6, 5, 5], [4, 3, 3, 3], { groups: 2, padding: [1, 1], stride: [2, 1] }),
    oneCase([1, 4, 5, 5], [4, 1, 3, 3], { groups: 4, dilation: [1, 2], padding: [2, 2] }),
    oneCase([2, 8, 6, 5], [8, 1, 3, 2], { groups: 8, stride: [2, 1], padding: [1, 0] }),
    oneCase([2, 3, 5, 5], [6, 1, 3, 3], { groups: 3, stride: [2, 2], padding: [1, 1] }),
  ];
}

export function randomCase(int: RandomInt): Case {
  const pair = (min: number, max: number): Pair => [int(min, max), int(min, max)];
  const groups = int(0, 2) === 0 ? int(2, 4) : 1;
  const [kernel, stride, padding, dilation] = [pair(1, 4), pair(1, 3), pair(0, 2), pair(1, 2)];
  const inner = groups > 1 && int(0, 1) ? 1 : int(1, 5);
  const least = (a: 0 | 1) => Math.max(1, dilation[a] * (kernel[a] - 1) + 1 - 2 * padding[a]);
  const images: Shape4 = [int(1, 3), inner * groups, least(0) + int(0, 4), least(1) + int(0, 4)];
  return oneCase(images, [int(1, 5) * groups, inner, ...kernel], { stride, padding, dilation, groups });
}

const resultOf = ({ images, weight, attrs }: Case): Shape4 => [
  images[0],
  weight[0],
  ...positions(images.slice(2), weight.slice(2) as unknown as Pair, attrs),
];

/** The case read the other way round: from the convolution's result to its images. */
export function transposedSample(one: Case): Sample<TransposeAttrs> {
  const { images, weight, attrs } = one;
  const result = resultOf(one);
  const kernel = weight.slice(2) as unknown as Pair;
  const without = transposedSize(result.slice(2), kernel, { ...attrs, outputPadding: [0, 0] });
  const outputPadding = pairOf((a) => images[2 + a]! - without[a]);
  return { inputs: [{ shape: result }, { shape: weight }], attrs: { ...attrs, outputPadding } };
}

export function weightSample(one: Case): Sample<WeightAttrs> {
  const kernel = one.weight.slice(2) as unknown as Pair;
  return { inputs: [{ shape: one.images }, { shape: resultOf(one) }], attrs: { ...one.attrs, kernel } };
}

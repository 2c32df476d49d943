// Convolution, transposed convolution and the gradient of their weights: composites of patches and matmuls, so that all
// three are implicit GEMM on matmul's own tiles. At the API PyTorch's [N, C, H, W]; inside channels come last.
//
// The three are each other's gradients, so derivatives of any order stay convolutions.

import { ShapeError } from '../errors.ts';
import {
  type ConvAttrs,
  check,
  checkAttrs,
  overlaps,
  pairOf,
  positions,
  type Shape4,
  type TransposeAttrs,
  transposedSize,
  type WeightAttrs,
  windowOf,
} from './conv_geometry.ts';
import { randomCase, samples, transposedSample, weightSample } from './conv_samples.ts';
import { defineOp } from './define.ts';
import { mul } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { type Pair, patches, sumPatches, type Window } from './patches.ts';
import { sum } from './reduce.ts';
import { apply, type Op, show, sizeOf, type Tensor } from './tensor.ts';
import { padTo, reshape, slice, transpose } from './view.ts';

const fourfold = (size: number) => Math.ceil(size / 4) * 4;

/** Zeros behind the last two axes, up to whole vec4s: a matmul of other widths loads number by number. */
function padded(x: Tensor, rows: boolean): Tensor {
  const [height, width] = x.shape.slice(-2) as [number, number];
  const wanted = [...x.shape.slice(0, -2), rows ? fourfold(height) : height, fourfold(width)];
  return sizeOf(wanted) === x.size
    ? x
    : padTo(
        x,
        wanted,
        wanted.map(() => 0),
      );
}

/** A matmul of padded operands, cut to its size. */
function paddedMatmul(a: Tensor, b: Tensor, transposeA: boolean, m: number, n: number): Tensor {
  // What is summed over is a width of A alone, unless A is transposed.
  const result = matmul(padded(a, false), padded(b, !transposeA), { transposeA });
  return slice(slice(result, -2, 0, m), -1, 0, n);
}

/** [N, C, H, W] to [G·N, H, W, C / G]: every group an image of its own. */
function toImages(x: Tensor, groups: number): Tensor {
  const [n, channels, height, width] = x.shape as Shape4;
  if (groups === 1) return transpose(x, [0, 2, 3, 1]);
  const split = reshape(x, [n, groups, channels / groups, height, width]);
  return reshape(transpose(split, [1, 0, 3, 4, 2]), [groups * n, height, width, channels / groups]);
}

/** The inverse of `toImages`. */
function fromImages(x: Tensor, groups: number): Tensor {
  const [images, height, width, channels] = x.shape as Shape4;
  if (groups === 1) return transpose(x, [0, 3, 1, 2]);
  const n = images / groups;
  const split = transpose(reshape(x, [groups, n, height, width, channels]), [1, 0, 4, 2, 3]);
  return reshape(split, [n, groups * channels, height, width]);
}

/** The matrices of a stack of groups; of one group, the matrix. */
function stack(x: Tensor, groups: number): Tensor {
  const [rows, columns] = x.shape as [number, number];
  return groups === 1 ? x : reshape(x, [groups, rows / groups, columns]);
}

const unstack = (x: Tensor) => reshape(x, [-1, x.shape.at(-1)!]);

/** Patches as a matrix; of one tap that moves nowhere, the pixels themselves. */
function patchesOf(images: Tensor, window: Window): Tensor {
  const { kernel, stride, start, out } = window;
  const same = pairOf((a) =>
    kernel[a] === 1 && stride[a] === 1 && start[a] === 0 && out[a] === images.shape[1 + a] ? 1 : 0,
  );
  return same[0] && same[1] ? reshape(images, [-1, images.shape[3]!]) : patches(images, window);
}

/** A weight [G·A, B, KH, KW] as matrices [G, A, taps·B] or [G, taps·B, A]. */
function weightMatrix(weight: Tensor, groups: number, tapsFirst: boolean): Tensor {
  const [rows, columns, ...kernel] = weight.shape as Shape4;
  const split = reshape(weight, [groups, rows / groups, columns, ...kernel]);
  const taps = sizeOf(kernel);
  const matrix = tapsFirst
    ? reshape(transpose(split, [0, 3, 4, 2, 1]), [groups, taps * columns, rows / groups])
    : reshape(transpose(split, [0, 1, 3, 4, 2]), [groups, rows / groups, taps * columns]);
  return groups === 1 ? reshape(matrix, matrix.shape.slice(1)) : matrix;
}

// Depthwise, with a kernel of its own for each channel, is no matmul: of images with channels last, four neighbours of a
// result come of four channels of each tap, times as many weights.

/** Of a weight [G·M, 1, KH, KW], where each group is a single channel. */
const isDepthwise = ({ shape }: Tensor, groups: number) => groups > 1 && shape[1] === 1;

/** For every position of a kernel the pixels below its taps: [positions, taps, C, 1]. */
function pixelsByTap(x: Tensor, window: Window): Tensor {
  const [n, channels] = x.shape as Shape4;
  return reshape(patches(toImages(x, 1), window), [n * sizeOf(window.out), sizeOf(window.kernel), channels, 1]);
}

/** A weight [G·M, 1, KH, KW] as [1, taps, G, M]. */
function tapsOf(weight: Tensor, groups: number): Tensor {
  const [out, , ...kernel] = weight.shape as Shape4;
  return reshape(transpose(reshape(weight, [out, sizeOf(kernel)]), [1, 0]), [1, sizeOf(kernel), groups, out / groups]);
}

export const conv2dOp: Op<ConvAttrs> = defineOp({
  name: 'conv2d',
  infer([x, weight], attrs) {
    checkAttrs(attrs);
    const [n, channels, ...size] = check('images', x!, '[N, C, H, W]');
    const [out, inner, ...kernel] = check('a weight', weight!, '[out, in / groups, KH, KW]');
    const { groups } = attrs;
    if (inner * groups !== channels || out % groups !== 0) {
      throw new ShapeError(
        `images ${show(x!.shape)} have ${channels} channels, weight ${show(weight!.shape)} of ${groups} groups wants ${inner * groups}, and gives ${out}`,
      );
    }
    const spots = positions(size, kernel, attrs);
    if (spots.some((count) => count < 1)) {
      throw new ShapeError(`the kernel of ${show(weight!.shape)} does not fit into padded images ${show(x!.shape)}`);
    }
    return { shape: [n, out, ...spots], dtype: 'f32' };
  },
  grad({ inputs, attrs }, g) {
    const [x, weight] = inputs as [Tensor, Tensor];
    const kernel = weight.shape.slice(2) as unknown as Pair;
    const { stride, padding, dilation } = attrs;
    // Pixels behind the last patch, which it does not reach.
    const outputPadding = pairOf(
      (a) => x.shape[2 + a]! - ((g.shape[2 + a]! - 1) * stride[a] - 2 * padding[a] + dilation[a] * (kernel[a] - 1) + 1),
    );
    return [
      apply(convTranspose2dOp, [g, weight], { ...attrs, outputPadding }),
      apply(conv2dWeightOp, [x, g], { ...attrs, kernel }),
    ];
  },
  decompose([x, weight], attrs) {
    const { groups } = attrs;
    const [n, , ...size] = x!.shape as Shape4;
    const [outChannels, , ...kernel] = weight!.shape as Shape4;
    const out = positions(size, kernel, attrs);
    const inner = outChannels / groups;
    if (isDepthwise(weight!, groups)) {
      const pixels = pixelsByTap(x!, windowOf(kernel, out, attrs));
      return fromImages(reshape(sum(mul(pixels, tapsOf(weight!, groups)), { axis: 1 }), [n, ...out, outChannels]), 1);
    }
    const columns = stack(patchesOf(toImages(x!, groups), windowOf(kernel, out, attrs)), groups);
    const result = paddedMatmul(columns, weightMatrix(weight!, groups, true), false, n * sizeOf(out), inner);
    return fromImages(reshape(result, [groups * n, ...out, inner]), groups);
  },
  check: CHECKS && {
    reference([x, weight], attrs, shape) {
      const out = new Float64Array(sizeOf(shape));
      overlaps(x!.shape, weight!.shape, shape, attrs, (a, b, y) => {
        out[y]! += x!.data[a]! * weight!.data[b]!;
      });
      return out;
    },
    samples: samples().map(({ images, weight, attrs }) => ({ inputs: [{ shape: images }, { shape: weight }], attrs })),
    random(int) {
      const { images, weight, attrs } = randomCase(int);
      return { inputs: [{ shape: images }, { shape: weight }], attrs };
    },
  },
});

export const convTranspose2dOp: Op<TransposeAttrs> = defineOp({
  name: 'convTranspose2d',
  infer([x, weight], attrs) {
    checkAttrs(attrs);
    const { groups, stride, outputPadding } = attrs;
    const [n, channels, ...size] = check('images', x!, '[N, C, H, W]');
    const [inner, out, ...kernel] = check('a weight', weight!, '[in, out / groups, KH, KW]');
    if (inner !== channels || inner % groups !== 0) {
      throw new ShapeError(
        `images ${show(x!.shape)} have ${channels} channels, weight ${show(weight!.shape)} of ${groups} groups wants ${inner}`,
      );
    }
    if (outputPadding.some((value, a) => !Number.isInteger(value) || value < 0 || value >= stride[a as 0 | 1])) {
      throw new ShapeError(`outputPadding ${show(outputPadding)} must lie below the stride ${show(stride)}`);
    }
    const result = transposedSize(size, kernel, attrs);
    if (result.some((count) => count < 1)) {
      throw new ShapeError(`padding ${show(attrs.padding)} leaves nothing of images ${show(x!.shape)}`);
    }
    return { shape: [n, out * groups, ...result], dtype: 'f32' };
  },
  grad({ inputs, attrs: { outputPadding: _, ...attrs } }, g) {
    const [x, weight] = inputs as [Tensor, Tensor];
    const kernel = weight.shape.slice(2) as unknown as Pair;
    return [apply(conv2dOp, [g, weight], attrs), apply(conv2dWeightOp, [g, x], { ...attrs, kernel })];
  },
  decompose([x, weight], attrs) {
    const { groups, stride, padding, dilation } = attrs;
    const [n, channels, ...size] = x!.shape as Shape4;
    const [, outInner, ...kernel] = weight!.shape as Shape4;
    const out = transposedSize(size, kernel, attrs);
    const inner = channels / groups;
    if (isDepthwise(weight!, groups)) {
      const pixels = reshape(toImages(x!, 1), [n * sizeOf(size), 1, groups, inner]);
      const taps = reshape(sum(mul(pixels, tapsOf(weight!, groups)), { axis: 3 }), [
        n * sizeOf(size),
        sizeOf(kernel) * groups,
      ]);
      return fromImages(sumPatches(taps, [n, ...out, groups], windowOf(kernel, size, attrs)), 1);
    }
    const images = toImages(x!, groups);
    if (stride.every((step) => step === 1)) {
      // A convolution with the kernel read backwards, from where its last tap meets the first pixel.
      const window = { kernel, stride, dilation: pairOf((a) => -dilation[a]), start: padding, out };
      const columns = stack(patchesOf(images, window), groups);
      const split = reshape(weight!, [groups, inner, outInner, ...kernel]);
      const matrix = reshape(transpose(split, [0, 3, 4, 1, 2]), [groups, sizeOf(kernel) * inner, outInner]);
      const weights = groups === 1 ? reshape(matrix, matrix.shape.slice(1)) : matrix;
      const result = paddedMatmul(columns, weights, false, n * sizeOf(out), outInner);
      return fromImages(reshape(result, [groups * n, ...out, outInner]), groups);
    }
    // Most taps of a strided one meet no pixel: here each pixel's taps are computed, and added up where they meet.
    const pixels = stack(reshape(images, [-1, inner]), groups);
    const columns = sizeOf(kernel) * outInner;
    const taps = paddedMatmul(pixels, weightMatrix(weight!, groups, false), false, n * sizeOf(size), columns);
    const window = windowOf(kernel, size, attrs);
    return fromImages(sumPatches(unstack(taps), [groups * n, ...out, outInner], window), groups);
  },
  check: CHECKS && {
    reference([x, weight], attrs, shape) {
      const out = new Float64Array(sizeOf(shape));
      overlaps(shape, weight!.shape, x!.shape, attrs, (y, b, a) => {
        out[y]! += x!.data[a]! * weight!.data[b]!;
      });
      return out;
    },
    samples: samples().map(transposedSample),
    random: (int) => transposedSample(randomCase(int)),
  },
});

export const conv2dWeightOp = defineOp<WeightAttrs>({
  name: 'conv2dWeight',
  infer([x, g], attrs) {
    checkAttrs(attrs);
    const [n, channels, ...size] = check('images', x!, '[N, C, H, W]');
    const [images, out, ...spots] = check('a cotangent', g!, '[N, out, OH, OW]');
    const wanted = positions(size, attrs.kernel, attrs);
    const { groups, kernel } = attrs;
    // A transposed convolution's cotangent may reach past what the last patch sees.
    if (images !== n || channels % groups || out % groups || wanted.some((count, a) => count !== spots[a])) {
      throw new ShapeError(
        `${show(g!.shape)} is no cotangent of a convolution of ${show(x!.shape)} by ${show(kernel)}`,
      );
    }
    return { shape: [out, channels / groups, ...kernel], dtype: 'f32' };
  },
  grad({ inputs, attrs: { kernel: _, ...attrs } }, v) {
    const [x, g] = inputs as [Tensor, Tensor];
    // Linear in both: with the other in its place, the same as for a weight.
    const withWeight = apply(conv2dOp, [x, v], attrs);
    return [conv2dOp.grad!(withWeight as Tensor<ConvAttrs>, g)[0], withWeight];
  },
  decompose([x, g], attrs) {
    const { groups, kernel } = attrs;
    const [n, channels, ...size] = x!.shape as Shape4;
    const [, outChannels] = g!.shape as Shape4;
    const out = positions(size, kernel, attrs);
    if (groups > 1 && channels === groups) {
      const pixels = pixelsByTap(x!, windowOf(kernel, out, attrs));
      const slopes = reshape(toImages(g!, 1), [n * sizeOf(out), 1, groups, outChannels / groups]);
      const taps = reshape(sum(mul(pixels, slopes), { axis: 0 }), [sizeOf(kernel), outChannels]);
      return reshape(transpose(taps, [1, 0]), [outChannels, 1, ...kernel]);
    }
    const columns = stack(patchesOf(toImages(x!, groups), windowOf(kernel, out, attrs)), groups);
    const rows = stack(unstack(toImages(g!, groups)), groups);
    const [outInner, inner] = [outChannels / groups, channels / groups];
    const result = paddedMatmul(rows, columns, true, outInner, sizeOf(kernel) * inner);
    return reshape(transpose(reshape(result, [outChannels, sizeOf(kernel), inner]), [0, 2, 1]), [
      outChannels,
      inner,
      ...kernel,
    ]);
  },
  check: CHECKS && {
    reference([x, g], attrs, shape) {
      const out = new Float64Array(sizeOf(shape));
      overlaps(x!.shape, shape, g!.shape, attrs, (a, w, b) => {
        out[w]! += x!.data[a]! * g!.data[b]!;
      });
      return out;
    },
    samples: samples().map(weightSample),
    random: (int) => weightSample(randomCase(int)),
  },
});

export interface ConvOptions {
  /** One number for both axes, or one each; as in PyTorch, 1, 0, 1 and 1 by default. */
  readonly stride?: number | Pair;
  readonly padding?: number | Pair;
  readonly dilation?: number | Pair;
  readonly groups?: number;
}

export const both = (value: number | Pair): Pair => (typeof value === 'number' ? [value, value] : value);

function attrsOf({ stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvOptions): ConvAttrs {
  return { stride: both(stride), padding: both(padding), dilation: both(dilation), groups };
}

/** Cross-correlation of images [N, C, H, W] with a weight [out, C / groups, KH, KW]: [N, out, OH, OW]. */
export function conv2d(x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return apply(conv2dOp, [x, weight], attrsOf(options));
}

/** The transpose of `conv2d` as a linear map: images [N, C, H, W], weight [C, out / groups, KH, KW]. */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  { outputPadding = 0, ...options }: ConvOptions & { readonly outputPadding?: number | Pair } = {},
): Tensor {
  return apply(convTranspose2dOp, [x, weight], { ...attrsOf(options), outputPadding: both(outputPadding) });
}

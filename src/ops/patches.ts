// The patches that a convolution sees, as a matrix, and its transpose: patches added up to an image.
//
// `patches` is im2col as a view: a matmul reads it through its hooks, and nothing is stored. Images are channels-last, so
// that four neighbours of a row are four channels of one position: one bounds test, one vec4 load.
// `sumPatches` is its transpose written as a gather, so that the order of the additions is fixed.

import { ShapeError } from '../errors.ts';
import type { Affine } from './affine.ts';
import { defineOp } from './define.ts';
import { Expr, wgsl } from './expression.ts';
import {
  apply,
  type Emitter,
  elementType,
  type RandomInt,
  type Sample,
  type Shape,
  show,
  sizeOf,
  type Tensor,
} from './tensor.ts';

export type Pair = readonly [number, number];

/** Along each of the two axes, patch o's tap k lies at o·stride + k·dilation + start. */
export interface Window {
  readonly kernel: Pair;
  readonly stride: Pair;
  /** Negative for a kernel that is read backwards. */
  readonly dilation: Pair;
  /** Where the first patch's first tap lies: with padding, before the image. */
  readonly start: Pair;
  /** Number of patches. */
  readonly out: Pair;
}

function checkWindow({ kernel, stride, dilation, start, out }: Window): void {
  const whole = [kernel, stride, dilation, start, out].every(
    (pair) => pair.length === 2 && pair.every(Number.isInteger),
  );
  if (
    !whole ||
    [...kernel, ...stride].some((size) => size < 1) ||
    out.some((size) => size < 0) ||
    dilation.includes(0)
  ) {
    throw new ShapeError(
      `wants pairs of whole numbers, kernel and stride from 1, got kernel ${show(kernel)}, stride ${show(stride)}, dilation ${show(dilation)}, start ${show(start)}, out ${show(out)}`,
    );
  }
}

/** Calls `visit` with the flat indices in the patches and in the image of all that is in both. */
function walk(
  [n, height, width, channels]: Shape,
  window: Window,
  visit: (patch: number, pixel: number) => void,
): void {
  const { kernel, stride, dilation, start, out } = window;
  let patch = 0;
  for (let image = 0; image < n!; image++) {
    for (let i = 0; i < out[0]; i++) {
      for (let j = 0; j < out[1]; j++) {
        for (let k = 0; k < kernel[0]; k++) {
          const y = i * stride[0] + k * dilation[0] + start[0];
          for (let l = 0; l < kernel[1]; l++, patch += channels!) {
            const x = j * stride[1] + l * dilation[1] + start[1];
            if (y < 0 || y >= height! || x < 0 || x >= width!) continue;
            const pixel = ((image * height! + y) * width! + x) * channels!;
            for (let c = 0; c < channels!; c++) visit(patch + c, pixel + c);
          }
        }
      }
    }
  }
}

/** Conditions under which a coordinate lies outside [0, size): it wraps around below 0, so one comparison does for both. */
function outside(coord: Affine, size: number): Expr[] {
  return coord.min < 0 || coord.max >= size ? [wgsl`${coord} >= ${size}u`] : [];
}

const PATCHES: readonly Sample<Window>[] = CHECKS
  ? [
      sample([2, 5, 6, 4], { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], start: [-1, -1], out: [3, 3] }),
      sample([1, 7, 5, 3], { kernel: [2, 3], stride: [1, 2], dilation: [2, 1], start: [0, -2], out: [5, 3] }),
      sample([2, 4, 4, 8], { kernel: [3, 2], stride: [1, 1], dilation: [-1, -2], start: [2, 1], out: [5, 4] }),
      sample([3, 3, 3, 1], { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], start: [0, 0], out: [3, 3] }),
    ]
  : [];

export const patchesOp = defineOp<Window>({
  name: 'patches',
  traits: { view: true },
  wide: ({ inputs: [x] }) => x!.shape[3]! % 4 === 0,
  infer([x], window) {
    checkWindow(window);
    if (x!.shape.length !== 4 || elementType(x!.dtype) !== 'f32') {
      throw new ShapeError(`wants images f32 [N, H, W, C], got ${x!.dtype}${show(x!.shape)}`);
    }
    const { kernel, out } = window;
    return { shape: [x!.shape[0]! * sizeOf(out), sizeOf(kernel) * x!.shape[3]!], dtype: 'f32' };
  },
  grad: ({ inputs: [x], attrs }, g) => [sumPatches(g, x!.shape, attrs)],
  emit(emitter, { inputs: [x], attrs: { kernel, stride, dilation, start, out } }, [row, column]) {
    const [n, height, width, channels] = x!.shape as [number, number, number, number];
    const [image, i, j] = emitter.unflatten(row!, [n, ...out]) as [Affine, Affine, Affine];
    const [k, l, c] = emitter.unflatten(column!, [...kernel, channels]) as [Affine, Affine, Affine];
    const y = i.times(stride[0]).plus(k.times(dilation[0])).plus(start[0]);
    const z = j.times(stride[1]).plus(l.times(dilation[1])).plus(start[1]);
    if (y.max < 0 || z.max < 0 || y.min >= height || z.min >= width) return wgsl`0.0`;
    const masks = [...outside(y, height), ...outside(z, width)];
    return emitter.masked(emitter.value(x!, [image, y, z, c]), masks, 'f32');
  },
  check: CHECKS && {
    reference([x], window, shape) {
      const result = new Float64Array(sizeOf(shape));
      walk(x!.shape, window, (patch, pixel) => {
        result[patch] = x!.data[pixel]!;
      });
      return result;
    },
    samples: PATCHES,
    random(int) {
      const [shape, window] = randomWindow(int);
      return sample(shape, window);
    },
  },
});

function sample(shape: Shape, window: Window): Sample<Window> {
  return { inputs: [{ shape }], attrs: window };
}

function randomWindow(int: RandomInt): [Shape, Window] {
  const pair = (min: number, max: number): Pair => [int(min, max), int(min, max)];
  const dilation = int(0, 1) ? pair(1, 2) : pair(-2, -1);
  return [
    [int(1, 3), int(1, 8), int(1, 8), int(1, 9)],
    { kernel: pair(1, 4), stride: pair(1, 3), dilation, start: pair(-3, 2), out: pair(1, 5) },
  ];
}

/** The patches of images [N, H, W, C] as rows: [N · out, kernel · C], zeros where they reach beyond the image. */
export function patches(x: Tensor, window: Window): Tensor {
  return apply(patchesOp, [x], window);
}

interface Target {
  /** Of the images: [N, H, W, C]. */
  readonly shape: Shape;
  readonly window: Window;
}

/** A tap that may reach a pixel: which patch it belongs to, and when it does not exist. */
interface Tap {
  readonly k: Affine;
  readonly o: Affine;
  readonly masks: readonly Expr[];
}

/** Along one axis, the taps of patches that lie on a pixel: o·stride + k·dilation + start = at. */
function taps(emitter: Emitter, at: Affine, { kernel, stride, dilation, start, out }: Window, axis: 0 | 1): Tap[] {
  const [size, step, spread, count] = [kernel[axis], stride[axis], dilation[axis], out[axis]];
  const found: Tap[] = [];
  // Of one residue per tap, only every stride-th tap can lie on a pixel: these are found without trying the others.
  const sparse = spread === 1 || step === 1;
  for (let first = 0; first < size; first += sparse ? step : 1) {
    const above = at.plus(-start[axis] - first * spread);
    // A multiple of the stride keeps what is divided from wrapping around.
    const lift = Math.max(0, Math.ceil(-above.min / step));
    const [quotient, residue] = emitter.divmod(above.plus(lift * step), step);
    const o = quotient.plus(-lift);
    const k = sparse ? residue.plus(first) : residue.times(0).plus(first);
    if (o.max < 0 || o.min >= count || k.min >= size) continue;
    const masks = outside(o, count);
    if (k.max >= size) masks.push(wgsl`${k} >= ${size}u`);
    if (!sparse && residue.max > 0) masks.push(wgsl`${residue} != 0u`);
    found.push({ k, o, masks });
  }
  return found;
}

export const sumPatchesOp = defineOp<Target>({
  name: 'sumPatches',
  // A few reads an element, whatever the kernel.
  traits: { flops: 16, gathers: true },
  infer([x], { shape, window }) {
    checkWindow(window);
    const rows = shape[0]! * sizeOf(window.out);
    const columns = sizeOf(window.kernel) * shape[3]!;
    if (elementType(x!.dtype) !== 'f32' || x!.shape.length !== 2 || x!.shape[0] !== rows || x!.shape[1] !== columns) {
      throw new ShapeError(
        `wants f32${show([rows, columns])} for images ${show(shape)}, got ${x!.dtype}${show(x!.shape)}`,
      );
    }
    return { shape, dtype: 'f32' };
  },
  grad: (node, g) => [patches(g, node.attrs.window)],
  emit(emitter, { inputs: [x], attrs: { shape, window } }, [image, y, z, c]) {
    const rowShape = [shape[0]!, ...window.out];
    const columnShape = [...window.kernel, shape[3]!];
    const flat = (coords: readonly Affine[], of: Shape) =>
      coords.reduce((sum, coord, axis) => sum.times(of[axis]!).plus(coord));
    const terms: Expr[] = [];
    const across = taps(emitter, z!, window, 1);
    for (const down of taps(emitter, y!, window, 0)) {
      for (const { k, o, masks } of across) {
        const row = flat([image!, down.o, o], rowShape);
        const value = emitter.value(x!, [row, flat([down.k, k, c!], columnShape)]);
        terms.push(emitter.masked(value, [...down.masks, ...masks], 'f32'));
      }
    }
    return terms.length ? Expr.join(terms, ' + ') : wgsl`0.0`;
  },
  check: CHECKS && {
    reference([x], { window }, shape) {
      const result = new Float64Array(sizeOf(shape));
      walk(shape, window, (patch, pixel) => {
        result[pixel]! += x!.data[patch]!;
      });
      return result;
    },
    samples: PATCHES.map(transposed),
    random: (int) => transposed(sample(...randomWindow(int))),
  },
});

/** The sample that sums what the other cuts out. */
function transposed({ inputs, attrs }: Sample<Window>): Sample<Target> {
  const { shape } = inputs[0]!;
  const rows = shape[0]! * sizeOf(attrs.out);
  return { inputs: [{ shape: [rows, sizeOf(attrs.kernel) * shape[3]!] }], attrs: { shape, window: attrs } };
}

/** Images [N, H, W, C] in which every pixel is the sum of what patches [N · out, kernel · C] say of it. */
export function sumPatches(x: Tensor, shape: Shape, window: Window): Tensor {
  return apply(sumPatchesOp, [x], { shape, window });
}

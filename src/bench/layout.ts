// Arrays with their axes in another order: engines are given images and weights in the layout that they like best.
import { type NdArray, sizeOf } from './arrays.ts';

/** Orders of axes of images, as `transpose` takes them. */
export const CHANNELS_LAST = [0, 2, 3, 1] as const;
export const CHANNELS_FIRST = [0, 3, 1, 2] as const;

/** The array whose axis i is axis `axes[i]` of the one that is given. */
export function permute({ shape, data }: NdArray, axes: readonly number[]): NdArray {
  const permuted = axes.map((axis) => shape[axis]!);
  const strides = axes.map((axis) => sizeOf(shape.slice(axis + 1)));
  const result = new Float32Array(data.length);
  let at = 0;
  const copy = (axis: number, from: number) => {
    if (axis === axes.length) result[at++] = data[from]!;
    else for (let i = 0; i < permuted[axis]!; i++) copy(axis + 1, from + i * strides[axis]!);
  };
  copy(0, 0);
  return { shape: permuted, data: result };
}

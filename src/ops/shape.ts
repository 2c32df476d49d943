// Shapes and element types: what is said of a tensor without its values, and how many bytes it takes.
import { ShapeError } from '../errors.ts';

/**
 * Element types. Two are for storage only: reading an element of `u8` (data sets) gives a `u32`, and one of `f16` an
 * `f32`; what is stored as `f16` is rounded on the way.
 */
export type DType = 'f32' | 'u32' | 'u8' | 'f16';

/** The type of what is computed from elements of a type. */
export type Computed<D extends DType> = D extends 'f32' | 'f16' ? 'f32' : 'u32';

export type Shape = readonly number[];

/** A dense array in row-major order, in float64: what references compute with. */
export interface NdArray {
  readonly shape: Shape;
  readonly data: Float64Array;
}

/** Shape and type of a result. */
export interface ResultType {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** `f32[2, 3]`, for messages. */
export function typeOf({ dtype, shape }: ResultType): string {
  return `${dtype}${show(shape)}`;
}

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** `[2, 3]`, for messages. */
export function show(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

/** Turns −1 and the like into an axis from 0, or throws. */
export function axisOf(axis: number, rank: number): number {
  const resolved = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= rank) {
    throw new ShapeError(`axis ${axis} is out of range for a tensor of ${rank} ${rank === 1 ? 'axis' : 'axes'}`);
  }
  return resolved;
}

/** The shape that two shapes broadcast to (NumPy's rule), or throws. */
export function broadcastShapes(a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const shape = new Array<number>(rank);
  for (let axis = 0; axis < rank; axis++) {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left !== right && left !== 1 && right !== 1) {
      throw new ShapeError(`shapes ${show(a)} and ${show(b)} do not broadcast (axis ${axis}: ${left} and ${right})`);
    }
    shape[axis] = left === 1 ? right : left;
  }
  return shape;
}

/** The element type that reading a tensor gives in WGSL. */
export function elementType(dtype: DType): 'f32' | 'u32' {
  return dtype === 'f32' || dtype === 'f16' ? 'f32' : 'u32';
}

/** The bytes that an element takes in memory. */
export function bytesOf(dtype: DType): number {
  return { f32: 4, u32: 4, f16: 2, u8: 1 }[dtype];
}

/** The words of four bytes that so many elements take. */
export function wordsFor(size: number, dtype: DType): number {
  return Math.ceil((size * bytesOf(dtype)) / 4);
}

// What the evaluator computes with: every tensor as five float64 samples of one value, of which all but the first carry noise as
// large as f32 arithmetic may make it. Where the samples differ, f32 may differ as much; that gives the tolerance.
//
// Noise is added only where a result is rounded: a sum of small whole numbers has none, and a maximum none of its own. So
// ties stay ties. Where a comparison's operands lie within their noise, its samples take both outcomes ("undecided"), and
// whatever depends on that has a wide tolerance by itself.
import type { DType, Shape } from '../../src/ops/tensor.ts';

export interface Value {
  readonly shape: Shape;
  readonly dtype: DType;
  /** In row-major order; the first is exact (but for float64), the others carry noise. */
  readonly samples: readonly Float64Array[];
}

/** Samples of a value that has a tolerance: of two with noise instead of four, now and then both lie where the exact one does. */
export const SAMPLES = 5;

/** One sample of a value. */
export interface Sampled {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly data: Float64Array;
}

/** Relative error of one f32 rounding, twice over. */
export const EPSILON = 2 ** -23;
/** Beyond this an f32, or an f16, may overflow, if not here then in another order of the same operations. */
export const HUGE = { f32: 1e37, f16: 3e4 };
/** Below this an f32 may be flushed to 0. */
export const TINY = 1e-36;

export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const dim of shape) size *= dim;
  return size;
}

export function coordsOf(flat: number, shape: Shape): number[] {
  const coords = new Array<number>(shape.length);
  let rest = flat;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    coords[axis] = rest % shape[axis]!;
    rest = Math.floor(rest / shape[axis]!);
  }
  return coords;
}

export function flatOf(coords: readonly number[], shape: Shape): number {
  let flat = 0;
  for (let axis = 0; axis < shape.length; axis++) flat = flat * shape[axis]! + coords[axis]!;
  return flat;
}

/** xorshift32: the noise of a run is the same every time. */
export class Noise {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0 || 1;
  }

  /** −1 or 1. */
  sign(): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return this.state & 64 ? 1 : -1;
  }
}

/** How far the samples of an element lie apart: 0 where they are equal, NaN where one is not a number alone. */
export function spreadAt(samples: readonly Float64Array[], i: number): number {
  let least = samples[0]![i]!;
  let most = least;
  for (const sample of samples) {
    if (Object.is(sample[i], samples[0]![i])) continue;
    if (Number.isNaN(sample[i]!)) return NaN;
    least = Math.min(least, sample[i]!);
    most = Math.max(most, sample[i]!);
  }
  return most === least || samples.every((sample) => Object.is(sample[i], least)) ? 0 : most - least;
}

/** The nearest f16, of two equally near the even one. */
export function roundToHalf(x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(x))));
  const unit = 2 ** (exponent - 10);
  const units = Math.abs(x) / unit;
  const below = Math.floor(units);
  const up = units - below > 0.5 || (units - below === 0.5 && below % 2 === 1);
  const magnitude = (below + (up ? 1 : 0)) * unit;
  return Math.sign(x) * (magnitude >= 65520 ? Infinity : magnitude);
}

/**
 * Marks what f32 may not hold: beyond its range, anything may come of an element; far below 1, it may become 0.
 *
 * @param sound whether an infinity at this element is what IEEE 754 says, rather than an overflow
 */
export function limitRange(samples: readonly Float64Array[], huge: number, sound: (i: number) => boolean): void {
  const [exact, second, third] = samples as [Float64Array, Float64Array?, Float64Array?];
  if (!second || !third) return;
  for (let i = 0; i < exact.length; i++) {
    let magnitude = 0;
    for (const sample of samples) magnitude = Math.max(magnitude, Math.abs(sample[i]!));
    if (magnitude > huge && (magnitude < Infinity || !sound(i))) {
      second[i] = NaN;
      third[i] = Math.sign(exact[i]! || third[i]!) * huge;
    } else if (magnitude < TINY && magnitude > 0) {
      second[i] = 0;
    }
  }
}

// Random numbers and comparison: what checks of ops go by.
import { elementwise } from '../ops/elementwise.ts';
import type { NdArray, SampleInput } from '../ops/tensor.ts';
import { sizeOf } from '../ops/tensor.ts';

/** Marsaglia's xorshift32: the same numbers for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

export type HostArray = Float32Array | Uint32Array | Uint8Array | Uint16Array;

/** Random values for an input of a sample. */
export function randomValues(
  { shape, dtype = 'f32', min = -2, max = 2 }: SampleInput,
  random: () => number,
): HostArray {
  const length = sizeOf(shape);
  if (dtype === 'f32') return Float32Array.from({ length }, () => min + (max - min) * random());
  const whole = () => Math.floor(min + (max - min + 1) * random());
  return dtype === 'u8' ? Uint8Array.from({ length }, whole) : Uint32Array.from({ length }, whole);
}

/** The bits of a number that is an f16. */
export function bitsOfHalf(x: number): number {
  const magnitude = Math.abs(x);
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  const bits =
    magnitude < 2 ** -14 ? magnitude * 2 ** 24 : (exponent + 15) * 1024 + (magnitude / 2 ** exponent - 1) * 1024;
  return (magnitude === Infinity ? 0x7c00 : bits) | (x < 0 || Object.is(x, -0) ? 0x8000 : 0);
}

/** The number that bits of an f16 stand for. */
export function halfOfBits(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const mantissa = (bits & 1023) / 1024;
  const magnitude =
    exponent === 31
      ? mantissa
        ? NaN
        : Infinity
      : exponent
        ? (1 + mantissa) * 2 ** (exponent - 15)
        : mantissa * 2 ** -14;
  return bits & 0x8000 ? -magnitude : magnitude;
}

/** The nearest f16. */
export function toHalf(x: number): number {
  return elementwise.toF16.fold!([x], 'f32');
}

export function ndarray(shape: readonly number[], data: ArrayLike<number>): NdArray {
  return { shape, data: Float64Array.from(data) };
}

/**
 * The largest error of `actual`, relative to the larger of a tenth of the largest expected value and the value itself; NaN
 * and infinities count as infinitely wrong unless they were expected.
 *
 * @param terms how large the terms are that a value is a sum of: as terms may cancel, no value counts as smaller than a
 *   tenth of this
 */
export function errorOf(actual: ArrayLike<number>, expected: ArrayLike<number>, terms = 0): number {
  return worstOf(actual, expected, terms).error;
}

/** The same, with the index of the element. */
export function worstOf(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  terms = 0,
): { error: number; at: number } {
  if (actual.length !== expected.length) return { error: Infinity, at: Math.min(actual.length, expected.length) };
  let scale = terms;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]!));
  let worst = { error: 0, at: 0 };
  for (let i = 0; i < expected.length; i++) {
    if (Object.is(actual[i], expected[i]) || actual[i] === expected[i]) continue;
    const difference = Math.abs(actual[i]! - expected[i]!) / Math.max(Math.abs(expected[i]!), scale * 0.1, 1e-6);
    const error = Number.isNaN(difference) ? Infinity : difference;
    if (error > worst.error) worst = { error, at: i };
  }
  return worst;
}

// What an op is tested by: samples, and what it should give for them.
import type { DType, NdArray, Shape } from './shape.ts';

/** One input of a sample: random values in [min, max], of a shape. */
export interface SampleInput {
  readonly shape: Shape;
  readonly dtype?: DType;
  /** Least value, −2 by default. */
  readonly min?: number;
  /** Greatest value, 2 by default; for integers, included. */
  readonly max?: number;
}

/** Inputs and attributes with which the generic op test runs the op, forward and backward. */
export interface Sample<A = unknown> {
  readonly inputs: readonly SampleInput[];
  readonly attrs: A;
}

/** A source of random sizes for samples. */
export type RandomInt = (min: number, max: number) => number;

/** What an op is tested by. */
export interface Check<A = unknown> {
  /** The result in float64, or a list of them for an op of several results. */
  reference?(inputs: readonly NdArray[], attrs: A, shape: Shape): Float64Array | readonly Float64Array[];
  readonly samples?: readonly Sample<A>[];
  /** A sample of random shape. */
  random?(int: RandomInt): Sample<A>;
  /** Relative error that is allowed against the reference, where the hardware's functions are only roughly right. */
  readonly tolerance?: number;
}

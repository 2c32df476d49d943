// Coders of bytes whose distributions are weights of all 256 values: by a logit each, or beta-binomial. The weights come of sums, products
// and quotients of doubles in one order, and so are the same in every engine.
import { LOG_SHAPES } from '../models/observation.ts';
import type { PixelCoder } from './distributions.ts';
import { exp } from './exact_math.ts';
import type { AnsStack } from './rans.ts';
import { Slots } from './slots.ts';

const BYTES = 256;
const MOST = BYTES - 1;
const PRECISION = 20;
/** Steps a unit of what a decoder says. */
const STEPS = 1024;

/** e to the power of an integer's share of the steps, each computed once. */
class Exponentials {
  private readonly known = new Map<number, number>();

  of(integer: number): number {
    let value = this.known.get(integer);
    if (value === undefined) {
      value = exp(integer / STEPS);
      this.known.set(integer, value);
    }
    return value;
  }
}

abstract class WeightedCoder implements PixelCoder {
  abstract readonly parameters: number;
  readonly steps = STEPS;
  protected readonly pixels: number;
  protected readonly exponentials = new Exponentials();
  /** Of the pixel at hand: at least one is above 0. */
  protected readonly weights = new Float64Array(BYTES);
  private readonly slots = new Slots(BYTES, PRECISION);

  constructor(pixels: number) {
    this.pixels = pixels;
  }

  /** Sets `weights` by the decoder's integers of a pixel. */
  protected abstract weigh(at: (parameter: number) => number): void;

  private set(row: Float32Array, first: number, pixel: number): void {
    const { weights, slots, pixels } = this;
    this.weigh((parameter) => row[first + parameter * pixels + pixel]!);
    let total = 0;
    for (let byte = 0; byte < BYTES; byte++) total += weights[byte]!;
    slots.set(weights, total);
  }

  push(stack: AnsStack, row: Float32Array, first: number, pixel: number, value: number): void {
    this.set(row, first, pixel);
    this.slots.push(stack, value);
  }

  pop(stack: AnsStack, row: Float32Array, first: number, pixel: number): number {
    this.set(row, first, pixel);
    return this.slots.pop(stack);
  }
}

/** See `categorical` of `models/observation.ts`. */
export class CategoricalCoder extends WeightedCoder {
  readonly parameters = BYTES;

  protected override weigh(at: (parameter: number) => number): void {
    const { weights, exponentials } = this;
    let most = at(0);
    for (let byte = 1; byte < BYTES; byte++) most = Math.max(most, at(byte));
    for (let byte = 0; byte < BYTES; byte++) weights[byte] = exponentials.of(Math.max(-30 * STEPS, at(byte) - most));
  }
}

/** See `betaBinomial` of `models/observation.ts`. */
export class BetaBinomialCoder extends WeightedCoder {
  readonly parameters = 2;

  /** Each weight is a quotient times its neighbour's: from the likeliest value on both ways, so that none is too large. */
  protected override weigh(at: (parameter: number) => number): void {
    const { weights, exponentials } = this;
    const [low, high] = LOG_SHAPES;
    const shape = (part: number) => exponentials.of(Math.min(high * STEPS, Math.max(low * STEPS, at(part))));
    const [alpha, beta] = [shape(0), shape(1)];
    const up = (k: number) => ((MOST - k) * (alpha + k)) / ((k + 1) * (beta + MOST - 1 - k));
    const outwards = (from: number) => {
      weights[from] = 1;
      for (let k = from; k < MOST; k++) weights[k + 1] = weights[k]! * up(k);
      for (let k = from; k > 0; k--) weights[k - 1] = weights[k]! / up(k - 1);
    };
    // With both below 1 it is likeliest at an end, and least in the middle.
    if (alpha > 1 && beta > 1) outwards(Math.floor((MOST * (alpha - 1)) / (alpha + beta - 2) + 0.5));
    else outwards(alpha > beta ? MOST : 0);
  }
}

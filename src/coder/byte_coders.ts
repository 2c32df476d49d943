// Coders of bytes whose distributions are weights of all 256 values: by a logit each, or beta-binomial. The weights come of sums, products
// and quotients of doubles in one order, and so are the same in every engine.
import { LOG_SHAPES } from '../models/observation.ts';
import type { PixelCoder } from './distributions.ts';
import { exp } from './exact_math.ts';
import type { AnsStack } from './rans.ts';
import { firstSlot, Slots } from './slots.ts';

const BYTES = 256;
const MOST = BYTES - 1;
const PRECISION = 20;
const ROOM = 2 ** PRECISION - BYTES;
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

/** Factors of the first probability that are multiplied before there is a quotient: neither product leaves a double's range. */
const AT_A_TIME = 17;

/**
 * See `betaBinomial` of `models/observation.ts`. The probability of 0 is a product, and each other one a quotient times its
 * neighbour's, so that a pixel takes no more terms than its value is large: most are 0. Where it is likelier to be bright than dark,
 * all is counted from 255 down.
 */
export class BetaBinomialCoder implements PixelCoder {
  readonly parameters = 2;
  readonly steps = STEPS;
  private readonly pixels: number;
  private readonly exponentials = new Exponentials();
  /** Of the pixel at hand. */
  private alpha = 1;
  private beta = 1;
  private isMirrored = false;

  constructor(pixels: number) {
    this.pixels = pixels;
  }

  /** @returns the probability of the first value */
  private set(row: Float32Array, first: number, pixel: number): number {
    const { exponentials, pixels } = this;
    const [low, high] = LOG_SHAPES;
    const at = (part: number) => Math.min(high * STEPS, Math.max(low * STEPS, row[first + part * pixels + pixel]!));
    const [left, right] = [at(0), at(1)];
    this.isMirrored = left > right;
    this.alpha = exponentials.of(this.isMirrored ? right : left);
    this.beta = exponentials.of(this.isMirrored ? left : right);
    const { alpha, beta } = this;
    let probability = 1;
    for (let i = 0; i < MOST; ) {
      let [above, below] = [1, 1];
      for (const until = i + AT_A_TIME; i < until; i++) {
        above *= beta + i;
        below *= alpha + beta + i;
      }
      probability *= above / below;
    }
    return probability;
  }

  /** How many times as likely value k + 1 is as k. */
  private up(k: number): number {
    return ((MOST - k) * (this.alpha + k)) / ((k + 1) * (this.beta + MOST - 1 - k));
  }

  push(stack: AnsStack, row: Float32Array, first: number, pixel: number, value: number): void {
    let probability = this.set(row, first, pixel);
    const symbol = this.isMirrored ? MOST - value : value;
    let sum = 0;
    for (let k = 0; k < symbol; k++) {
      sum += probability;
      probability *= this.up(k);
    }
    const start = startOf(symbol, sum);
    stack.push(start, startOf(symbol + 1, sum + probability) - start, PRECISION);
  }

  pop(stack: AnsStack, row: Float32Array, first: number, pixel: number): number {
    let probability = this.set(row, first, pixel);
    const slot = stack.peek(PRECISION);
    let [symbol, sum, start] = [0, 0, 0];
    for (;;) {
      const end = startOf(symbol + 1, sum + probability);
      if (slot < end) {
        stack.drop(start, end - start, PRECISION);
        return this.isMirrored ? MOST - symbol : symbol;
      }
      start = end;
      sum += probability;
      probability *= this.up(symbol++);
    }
  }
}

/** The first slot of a value; what rounding left out of the sum is the last one's. */
const startOf = (symbol: number, below: number): number => firstSlot(symbol, symbol === BYTES ? 1 : below, ROOM);

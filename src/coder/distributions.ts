// The distributions that pixels are coded by, from a network's integers: cumulative frequencies that sum exactly and are never 0,
// the same in every engine, since they come of sums, products and quotients of doubles alone.
import { LOG_SCALE, MIDDLE } from '../models/observation.ts';
import { LOG_SCALES } from '../ops/observation.ts';
import { exp, monotoneTable, sigmoid } from './exact_math.ts';
import type { AnsStack } from './rans.ts';
import { firstSlot } from './slots.ts';

/** Steps a unit of the integers that stand for logits. */
export const LOGIT_STEPS = 128;

const PIXEL_PRECISION = 16;
const PIXEL_TOTAL = 2 ** PIXEL_PRECISION;
/** Logits beyond this many units are no surer: 2⁻¹⁶ is the least probability. */
const MOST_LOGIT = 12 * LOGIT_STEPS;

/** What codes a pixel, given the decoder's integers of its image. */
export interface PixelCoder {
  /** Integers of the decoder for each pixel. */
  readonly parameters: number;
  /** Steps a unit of these. */
  readonly steps: number;
  /**
   * @param row the decoder's integers, of which those of an image begin at `first`
   * @param value the byte
   */
  push(stack: AnsStack, row: Float32Array, first: number, pixel: number, value: number): void;
  pop(stack: AnsStack, row: Float32Array, first: number, pixel: number): number;
}

/** Of binary images, 0 and 255, from a logit a pixel. */
export class BernoulliCoder implements PixelCoder {
  readonly parameters = 1;
  readonly steps = LOGIT_STEPS;
  /** The frequency of black by the logit, from the least on. */
  private readonly black = Float64Array.from({ length: 2 * MOST_LOGIT + 1 }, (_, i) => {
    const white = sigmoid((i - MOST_LOGIT) / LOGIT_STEPS);
    return 1 + Math.floor((1 - white) * (PIXEL_TOTAL - 2) + 0.5);
  });

  private blackOf(logit: number): number {
    return this.black[Math.min(MOST_LOGIT, Math.max(-MOST_LOGIT, logit)) + MOST_LOGIT]!;
  }

  push(stack: AnsStack, row: Float32Array, first: number, pixel: number, value: number): void {
    const black = this.blackOf(row[first + pixel]!);
    if (value === 0) stack.push(0, black, PIXEL_PRECISION);
    else stack.push(black, PIXEL_TOTAL - black, PIXEL_PRECISION);
  }

  pop(stack: AnsStack, row: Float32Array, first: number, pixel: number): number {
    const black = this.blackOf(row[first + pixel]!);
    const white = stack.peek(PIXEL_PRECISION) >= black;
    if (white) stack.drop(black, PIXEL_TOTAL - black, PIXEL_PRECISION);
    else stack.drop(0, black, PIXEL_PRECISION);
    return white ? 255 : 0;
  }
}

/** Steps a unit of what a decoder says of bytes. */
const BYTE_STEPS = 1024;
const BYTE_PRECISION = 20;
const BYTES = 256;
const BYTE_ROOM = 2 ** BYTE_PRECISION - BYTES;

/** Of bytes, from a logistic distribution that is cut into 256 values, or from a mixture of some: see `models/observation.ts`. */
export class LogisticCoder implements PixelCoder {
  readonly parameters: number;
  readonly steps = BYTE_STEPS;
  private readonly components: number;
  private readonly pixels: number;
  private readonly mixture: boolean;
  private readonly cdf = monotoneTable(sigmoid, -20, 20, 128);
  private readonly exps = new Map<number, number>();
  /** Of the pixel at hand. */
  private readonly shares: Float64Array;
  private readonly means: Float64Array;
  private readonly inverses: Float64Array;

  constructor(pixels: number, components: number, mixture: boolean) {
    this.pixels = pixels;
    this.components = components;
    this.mixture = mixture;
    this.parameters = mixture ? 3 * components : 2;
    this.shares = new Float64Array(components).fill(1);
    this.means = new Float64Array(components);
    this.inverses = new Float64Array(components);
  }

  /** e to the power of an integer's share of the steps. */
  private exp(integer: number): number {
    let value = this.exps.get(integer);
    if (value === undefined) {
      value = exp(integer / BYTE_STEPS);
      this.exps.set(integer, value);
    }
    return value;
  }

  private set(row: Float32Array, first: number, pixel: number): void {
    const { components, pixels, mixture, shares, means, inverses } = this;
    const at = (part: number, k: number) => row[first + (part * components + k) * pixels + pixel]!;
    const offset = mixture ? 1 : 0;
    let greatest = -Infinity;
    for (let k = 0; k < components; k++) {
      means[k] = MIDDLE + (MIDDLE * at(offset, k)) / BYTE_STEPS;
      const [low, high] = LOG_SCALES;
      const scale = Math.min(high * BYTE_STEPS, Math.max(low * BYTE_STEPS, at(offset + 1, k) + LOG_SCALE * BYTE_STEPS));
      inverses[k] = this.exp(-scale);
      if (mixture) greatest = Math.max(greatest, at(0, k));
    }
    if (!mixture) return;
    let total = 0;
    for (let k = 0; k < components; k++) {
      shares[k] = this.exp(Math.max(-30 * BYTE_STEPS, at(0, k) - greatest));
      total += shares[k]!;
    }
    for (let k = 0; k < components; k++) shares[k] = shares[k]! / total;
  }

  /** The first slot of a byte: a sum of terms that cannot fall, in one order. */
  private start(byte: number): number {
    if (byte === 0) return 0;
    if (byte === BYTES) return 2 ** BYTE_PRECISION;
    const { components, shares, means, inverses, cdf } = this;
    let sum = 0;
    for (let k = 0; k < components; k++) sum += shares[k]! * cdf((byte - 0.5 - means[k]!) * inverses[k]!);
    return firstSlot(byte, sum, BYTE_ROOM);
  }

  push(stack: AnsStack, row: Float32Array, first: number, pixel: number, value: number): void {
    this.set(row, first, pixel);
    const start = this.start(value);
    stack.push(start, this.start(value + 1) - start, BYTE_PRECISION);
  }

  pop(stack: AnsStack, row: Float32Array, first: number, pixel: number): number {
    this.set(row, first, pixel);
    const slot = stack.peek(BYTE_PRECISION);
    let [low, high] = [0, BYTES - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.start(middle) <= slot) low = middle;
      else high = middle - 1;
    }
    const start = this.start(low);
    stack.drop(start, this.start(low + 1) - start, BYTE_PRECISION);
    return low;
  }
}

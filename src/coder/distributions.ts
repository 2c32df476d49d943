// The distributions that symbols are coded by, from a network's integers: cumulative frequencies that sum exactly and are never 0,
// the same in every engine, since they come of sums, products and quotients of doubles alone.
import { LOG_SCALE, MIDDLE } from '../models/observation.ts';
import { LOG_SCALES } from '../ops/observation.ts';
import { exp, log, monotoneTable, normalCdf, normalQuantile, sigmoid } from './exact_math.ts';
import type { AnsStack } from './rans.ts';
import { firstSlot } from './slots.ts';

/** The numbers of a code fall into 2^10 bins that are equally likely under the prior. */
export const LATENT_BITS = 10;
const BINS = 2 ** LATENT_BITS;
/** Bits of the posterior's frequencies. Each bin has one slot at least: of 2^20, one code in a thousand would be none of the posterior's. */
const POSTERIOR_PRECISION = 26;
const POSTERIOR_ROOM = 2 ** POSTERIOR_PRECISION - BINS;
/** The decoder gets a bin's median, in units of 2⁻⁸. */
export const LATENT_STEPS = 256;
/** Steps a unit of the integers that stand for mean and log-variance, and for logits. */
export const CODE_STEPS = 1024;
export const LOGIT_STEPS = 128;

const PIXEL_PRECISION = 16;
const PIXEL_TOTAL = 2 ** PIXEL_PRECISION;
/** Logits beyond this many units are no surer: 2⁻¹⁶ is the least probability. */
const MOST_LOGIT = 12 * LOGIT_STEPS;

interface LatentTables {
  /** BINS + 1, from −∞ to ∞. */
  readonly edges: Float64Array;
  /** Integers. */
  readonly medians: Float32Array;
  readonly cdf: (x: number) => number;
}

let latentTables: LatentTables | undefined;

/** Made once, when first needed. */
function tables(): LatentTables {
  latentTables ??= {
    edges: Float64Array.from({ length: BINS + 1 }, (_, i) =>
      i === 0 ? -Infinity : i === BINS ? Infinity : normalQuantile(i / BINS),
    ),
    medians: Float32Array.from({ length: BINS }, (_, i) =>
      Math.floor(normalQuantile((i + 0.5) / BINS) * LATENT_STEPS + 0.5),
    ),
    cdf: monotoneTable(normalCdf, -8, 8, 256),
  };
  return latentTables;
}

/** What the decoder is given for a bin. */
export const medianOf = (bin: number): number => tables().medians[bin]!;
/** The greatest of these. */
export const mostMedian = (): number => tables().medians[BINS - 1]!;

/** The greatest number of a layer that is told to its decoder, where it is not the standard normal's. */
export const MOST_PLACE = 5 * LATENT_STEPS;
/** Log-variances beyond these, in steps of 1/1024, are taken as these: deviations from e⁻¹⁰ to e⁴. */
const LOGVARS = [-20 * CODE_STEPS, 8 * CODE_STEPS] as const;
const within = ([low, high]: readonly [number, number], x: number) => Math.min(high, Math.max(low, x));

/** A function of integers that is computed once for each. */
function kept<T>(f: (key: number) => T): (key: number) => T {
  const known = new Map<number, T>();
  return (key) => {
    let value = known.get(key);
    if (value === undefined) {
      value = f(key);
      known.set(key, value);
    }
    return value;
  };
}

/** e to the power of half a log-variance. */
const deviationOf = kept((logvar) => exp((0.5 * logvar) / CODE_STEPS));

/**
 * What a decoder is given for bins that are equally likely under normal distributions: their medians, in units of 2⁻⁸.
 *
 * @param prior means, then log-variances, [rows, 2·size], in steps of 1/1024; without, all are standard normal
 */
export function placeOf(bins: Uint16Array, prior: Float32Array | undefined, size: number): Float32Array {
  if (!prior) return Float32Array.from(bins, medianOf);
  return Float32Array.from(bins, (bin, i) => {
    const mean = Math.floor(i / size) * 2 * size + (i % size);
    const deviation = deviationOf(within(LOGVARS, prior[mean + size]!));
    const place = Math.floor((prior[mean]! * LATENT_STEPS) / CODE_STEPS + deviation * medianOf(bin) + 0.5);
    return within([-MOST_PLACE, MOST_PLACE], place);
  });
}

/** By how many steps the log-variance of a prior is above that of what an encoder says: the share of that, and how much surer both are. */
const weighed = kept((steps) => {
  const surer = exp(steps / CODE_STEPS);
  return { share: surer / (1 + surer), precision: exp(0.5 * log(1 + surer)) };
});

/** The normal distribution of one number of a code, over the bins. */
export class BinnedNormal {
  private readonly edges = tables().edges;
  private readonly cdf = tables().cdf;
  private mean = 0;
  private precision = 1;

  /** @param mean, logvar integers of the encoder, in steps of 1/1024 */
  set(mean: number, logvar: number): void {
    this.mean = mean / CODE_STEPS;
    this.precision = deviationOf(-within(LOGVARS, logvar));
  }

  /**
   * What an encoder says of the number, weighed with the prior that the bins are equally likely under: the product of both densities
   * (see `models/ladder_vae.ts`), as it lies to the prior.
   *
   * @param mean, logvar, priorMean, priorLogvar integers, in steps of 1/1024
   */
  weigh(mean: number, logvar: number, priorMean: number, priorLogvar: number): void {
    const prior = within(LOGVARS, priorLogvar);
    const { share, precision } = weighed(within(LOGVARS, prior - logvar));
    this.mean = (share * (mean - priorMean) * deviationOf(-prior)) / CODE_STEPS;
    this.precision = precision;
  }

  /** The first slot of a bin. */
  private start(bin: number): number {
    return bin + Math.floor(this.cdf((this.edges[bin]! - this.mean) * this.precision) * POSTERIOR_ROOM);
  }

  push(stack: AnsStack, bin: number): void {
    const start = this.start(bin);
    stack.push(start, this.end(bin) - start, POSTERIOR_PRECISION);
  }

  private end(bin: number): number {
    return bin + 1 === BINS ? 2 ** POSTERIOR_PRECISION : this.start(bin + 1);
  }

  pop(stack: AnsStack): number {
    const slot = stack.peek(POSTERIOR_PRECISION);
    let [low, high] = [0, BINS - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.start(middle) <= slot) low = middle;
      else high = middle - 1;
    }
    const start = this.start(low);
    stack.drop(start, this.end(low) - start, POSTERIOR_PRECISION);
    return low;
  }
}

export function pushPrior(stack: AnsStack, bin: number): void {
  stack.push(bin, 1, LATENT_BITS);
}

export function popPrior(stack: AnsStack): number {
  const bin = stack.peek(LATENT_BITS);
  stack.drop(bin, 1, LATENT_BITS);
  return bin;
}

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

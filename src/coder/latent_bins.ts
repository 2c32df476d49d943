// The numbers of a code as bins that are equally likely under their prior, the normal distributions that bins are coded by, and the
// integers that stand for them where a decoder is given them. All is the same in every engine, since it comes of sums, products and
// quotients of doubles alone.
import { evenQuantiles, exp, log, monotoneTable, normalCdf } from './exact_math.ts';
import type { AnsStack } from './rans.ts';

/** Steps a unit of the integers that stand for mean and log-variance. */
export const CODE_STEPS = 1024;
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

/** By how many steps the log-variance of a prior is above that of what an encoder says: the share of that, and how much surer both are. */
const weighed = kept((steps) => {
  const surer = exp(steps / CODE_STEPS);
  return { share: surer / (1 + surer), precision: exp(0.5 * log(1 + surer)) };
});

/**
 * 2^bits bins. Those far from the middle are wide, and a posterior that is narrower than its bin cannot say what it means: so there
 * must be the more of them the surer the posteriors are, which they are of many pixels of many values.
 */
export class LatentBins {
  readonly bits: number;
  /** A decoder gets a bin's median, in so many steps a unit. */
  readonly steps: number;
  /** Bits of the posterior's frequencies. Each bin has one slot at least: 2^−16 of all together, or now and then a code is none of the posterior's. */
  readonly precision: number;
  /** 2^bits + 1, from −∞ to ∞. */
  readonly edges: Float64Array;
  /** Integers. */
  private readonly medians: Float32Array;

  constructor(bits: number, steps: number) {
    this.bits = bits;
    this.steps = steps;
    this.precision = 16 + bits;
    const quantiles = evenQuantiles(2 ** (bits + 1));
    this.edges = Float64Array.from({ length: 2 ** bits + 1 }, (_, i) => quantiles[2 * i]!);
    this.medians = Float32Array.from({ length: 2 ** bits }, (_, i) => Math.floor(quantiles[2 * i + 1]! * steps + 0.5));
  }

  get count(): number {
    return this.medians.length;
  }

  /** What the decoder is given for a bin of a standard normal number. */
  readonly medianOf = (bin: number): number => this.medians[bin]!;

  mediansOf(bins: Uint16Array): Float32Array {
    return Float32Array.from(bins, this.medianOf);
  }

  /** The greatest of these. */
  get mostMedian(): number {
    return this.medians.at(-1)!;
  }

  /** The greatest number of a layer that is told to its decoder, where it is not the standard normal's. */
  get mostPlace(): number {
    return 5 * this.steps;
  }

  /**
   * What a decoder is given for bins that are equally likely under normal distributions.
   *
   * @param prior means, then log-variances, [rows, 2·size], in steps of 1/1024; without, all are standard normal
   */
  placesOf(bins: Uint16Array, prior: Float32Array | undefined, size: number): Float32Array {
    if (!prior) return this.mediansOf(bins);
    const { steps, mostPlace } = this;
    return Float32Array.from(bins, (bin, i) => {
      const mean = Math.floor(i / size) * 2 * size + (i % size);
      const deviation = deviationOf(within(LOGVARS, prior[mean + size]!));
      const place = Math.floor((prior[mean]! * steps) / CODE_STEPS + deviation * this.medianOf(bin) + 0.5);
      return within([-mostPlace, mostPlace], place);
    });
  }

  pushPrior(stack: AnsStack, bin: number): void {
    stack.push(bin, 1, this.bits);
  }

  popPrior(stack: AnsStack): number {
    const bin = stack.peek(this.bits);
    stack.drop(bin, 1, this.bits);
    return bin;
  }
}

let coarse: LatentBins | undefined;
let fine: LatentBins | undefined;

/** Of codes of binary images; made once, when first needed. */
export const coarseBins = (): LatentBins => {
  coarse ??= new LatentBins(10, 256);
  return coarse;
};

/** Of codes of images whose pixels are bytes. */
export const fineBins = (): LatentBins => {
  fine ??= new LatentBins(16, 1024);
  return fine;
};

let table: ((x: number) => number) | undefined;

/** The normal distribution of one number of a code, over the bins. */
export class BinnedNormal {
  private readonly edges: Float64Array;
  private readonly last: number;
  private readonly bits: number;
  private readonly room: number;
  private readonly cdf: (x: number) => number;
  private mean = 0;
  private precision = 1;

  constructor({ edges, count, precision }: LatentBins) {
    this.edges = edges;
    this.last = count - 1;
    this.bits = precision;
    this.room = 2 ** precision - count;
    table ??= monotoneTable(normalCdf, -8, 8, 256);
    this.cdf = table;
  }

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
    return bin + Math.floor(this.cdf((this.edges[bin]! - this.mean) * this.precision) * this.room);
  }

  push(stack: AnsStack, bin: number): void {
    const start = this.start(bin);
    stack.push(start, this.end(bin) - start, this.bits);
  }

  private end(bin: number): number {
    return bin === this.last ? 2 ** this.bits : this.start(bin + 1);
  }

  pop(stack: AnsStack): number {
    const slot = stack.peek(this.bits);
    let [low, high] = [0, this.last];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.start(middle) <= slot) low = middle;
      else high = middle - 1;
    }
    const start = this.start(low);
    stack.drop(start, this.end(low) - start, this.bits);
    return low;
  }
}

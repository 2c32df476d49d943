// Estimates from samples, in float64: log-likelihood bounds of several numbers of samples, and means with their errors.

/** A mean over images, with what it was taken over. */
export interface Estimate {
  readonly mean: number;
  /** Of the mean, over the images: s / √n. NaN for a single image. */
  readonly standardError: number;
  /** One value an image. */
  readonly values: Float64Array;
}

export function estimate(values: Float64Array): Estimate {
  const { length } = values;
  const mean = values.reduce((sum, value) => sum + value, 0) / length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, standardError: Math.sqrt(squares / (length - 1) / length), values };
}

/** The mean of a − b, image by image: its error is that of the difference, which is less than that of either. */
export function difference(a: Estimate, b: Estimate): Estimate {
  return estimate(a.values.map((value, i) => value - b.values[i]!));
}

/**
 * −log((1/k)·Σ w) over k importance weights w of an image (Burda, Grosse and Salakhutdinov, 2015, equation 8), averaged
 * over all whole groups of k among the samples. Samples come one for each image at a time, and only sums are kept.
 */
export class ImportanceBound {
  readonly samples: number;
  /** Of the group in progress: the greatest log weight, and the sum of all over it. */
  private readonly greatest: Float64Array;
  private readonly sums: Float64Array;
  private readonly totals: Float64Array;
  private taken = 0;
  private groups = 0;

  constructor(samples: number, images: number) {
    this.samples = samples;
    this.greatest = new Float64Array(images).fill(-Infinity);
    this.sums = new Float64Array(images);
    this.totals = new Float64Array(images);
  }

  /** @param logWeights one an image, finite */
  add(logWeights: ArrayLike<number>): void {
    const { greatest, sums, totals, samples } = this;
    for (let i = 0; i < sums.length; i++) {
      const over = logWeights[i]! - greatest[i]!;
      if (over > 0) {
        sums[i] = sums[i]! * Math.exp(-over) + 1;
        greatest[i] = logWeights[i]!;
      } else {
        sums[i]! += Math.exp(over);
      }
    }
    if (++this.taken < samples) return;
    for (let i = 0; i < sums.length; i++) totals[i]! += Math.log(samples) - greatest[i]! - Math.log(sums[i]!);
    this.groups++;
    this.taken = 0;
    greatest.fill(-Infinity);
    sums.fill(0);
  }

  /** One an image: the mean over the groups that are whole. */
  values(): Float64Array {
    return this.totals.map((total) => total / this.groups);
  }
}

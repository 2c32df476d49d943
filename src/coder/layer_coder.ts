// What coding a block keeps: its stack, the digest of all that its distributions were made of, and the time; and the coder of the
// numbers of one layer of a code.
import { BinnedNormal, type LatentBins } from './latent_bins.ts';
import type { AnsStack } from './rans.ts';

/** Integers of rows of integers, computed the same anywhere; see `ExactProgram`. */
export type Network = (x: Float32Array, rows: number) => Promise<Float32Array>;

export interface CodecLayer {
  /** Numbers of the code. */
  readonly size: number;
  /** From the images, or what lies below, to means, then log-variances: [rows, 2·size]. */
  readonly encoder: Network;
  /** From the layer's numbers to what is said of the pixels, [rows, pixels·parameters]; or of the layer below, as its encoder says it. */
  readonly decoder: Network;
}

/** Milliseconds, to tell where the time goes. */
export interface Times {
  /** Of which the networks take these, on a device or here. */
  networks: number;
  coder: number;
}

/** A hash of integers that does not depend on the order of the rows it is added up over. */
export function digestOf(integers: Float32Array, width: number): number {
  let total = 0;
  for (let first = 0; first < integers.length; first += width) {
    let hash = 0x811c9dc5;
    for (let i = first; i < first + width; i++) hash = Math.imul(hash ^ integers[i]!, 0x01000193);
    total = (total + (hash ^ (hash >>> 15))) >>> 0;
  }
  return total;
}

/** A block that is being coded. */
export class Work {
  readonly stack: AnsStack;
  private readonly times: Times;
  private total = 0;

  constructor(stack: AnsStack, times: Times) {
    this.stack = stack;
    this.times = times;
  }

  get digest(): number {
    return this.total;
  }

  /** What a network says of some rows, in the time of networks. */
  async ask(network: Network, x: Float32Array, rows: number): Promise<Float32Array> {
    const began = performance.now();
    try {
      return await network(x, rows);
    } finally {
      const took = performance.now() - began;
      this.times.networks += took;
      this.times.coder -= took;
    }
  }

  /** Integers that distributions are made of. */
  use(integers: Float32Array, rows: number): Float32Array {
    this.total = (this.total + digestOf(integers, integers.length / rows)) >>> 0;
    return integers;
  }

  /** Both. */
  async told(network: Network, x: Float32Array, rows: number): Promise<Float32Array> {
    return this.use(await this.ask(network, x, rows), rows);
  }
}

/** Numbers of a layer of a batch, as bins: [rows, size], by normal distributions, [rows, 2·size]. */
export class LayerCoder {
  private readonly normal: BinnedNormal;
  private readonly size: number;

  constructor(size: number, bins: LatentBins) {
    this.size = size;
    this.normal = new BinnedNormal(bins);
  }

  /** @param prior that the bins are of, where it is not the standard normal distribution; then `codes` are weighed with it */
  private set(codes: Float32Array, prior: Float32Array | undefined, at: number): void {
    const { size } = this;
    const mean = Math.floor(at / size) * 2 * size + (at % size);
    if (prior) this.normal.weigh(codes[mean]!, codes[mean + size]!, prior[mean]!, prior[mean + size]!);
    else this.normal.set(codes[mean]!, codes[mean + size]!);
  }

  pop(stack: AnsStack, codes: Float32Array, bins: Uint16Array, prior?: Float32Array): void {
    for (let i = 0; i < bins.length; i++) {
      this.set(codes, prior, i);
      bins[i] = this.normal.pop(stack);
    }
  }

  /** The last first, so that `pop` undoes it, and it `pop`. */
  push(stack: AnsStack, codes: Float32Array, bins: Uint16Array, prior?: Float32Array): void {
    for (let i = bins.length - 1; i >= 0; i--) {
      this.set(codes, prior, i);
      this.normal.push(stack, bins[i]!);
    }
  }
}

// Random numbers on the CPU, for initialisation: the same Philox as on the GPU.
import { philox } from '../ops/philox.ts';

/** A stream of numbers that depends on `seed` and `stream` alone. */
export class Generator {
  private readonly seed: number;
  private readonly stream: number;
  private block = 0;
  private words: Uint32Array = new Uint32Array(4);
  /** Words of the block that are not used yet, taken from the end. */
  private left = 0;

  constructor(seed: number, stream = 0) {
    this.seed = seed;
    this.stream = stream;
  }

  private word(): number {
    if (this.left === 0) {
      // The third word keeps these apart from what the GPU draws with the same seed.
      const key = [this.seed >>> 0, Math.floor(this.seed / 2 ** 32) >>> 0] as const;
      this.words = philox([this.block++, this.stream, 0x696e6974, 0], key);
      this.left = 4;
    }
    return this.words[--this.left]!;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return (this.word() >>> 8) * 2 ** -24;
  }

  /** Standard normal (Box and Muller, 1958). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
}

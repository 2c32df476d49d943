// In which order the layers of a code go onto the stack, and come off.
import type { LatentBins } from './latent_bins.ts';
import { type CodecLayer, LayerCoder, type Network, type Work } from './layer_coder.ts';

/** A batch of images: what is done with its pixels, given what the decoder says of them. */
export type Pixels<T> = (said: Float32Array) => T;

function popAll(work: Work, bins: LatentBins, count: number): Uint16Array {
  const popped = new Uint16Array(count);
  for (let i = count - 1; i >= 0; i--) popped[i] = bins.popPrior(work.stack);
  return popped;
}

function pushAll(work: Work, bins: LatentBins, pushed: Uint16Array): void {
  for (const bin of pushed) bins.pushPrior(work.stack, bin);
}

abstract class CodeOrder {
  /** Encoders that are given the images, so that what they say does not hang on the stack. */
  abstract readonly eyes: readonly Network[];
  protected readonly layers: readonly CodecLayer[];
  protected readonly bins: LatentBins;
  protected readonly coders: readonly LayerCoder[];

  constructor(layers: readonly CodecLayer[], bins: LatentBins) {
    this.layers = layers;
    this.bins = bins;
    this.coders = layers.map(({ size }) => new LayerCoder(size, bins));
  }

  /** Pops the code of a batch, has its pixels pushed, and pushes the code. @param seen what the eyes say, [rows, 2·size] each */
  abstract encode(work: Work, seen: readonly Float32Array[], rows: number, pixels: Pixels<void>): Promise<void>;
  /** Undoes that. @param pixels pops them, and says what the eyes see */
  abstract decode(work: Work, rows: number, pixels: Pixels<Promise<readonly Float32Array[]>>): Promise<void>;
}

/**
 * Of a code whose encoder goes up: each layer is popped when what lies below the one before it has been pushed
 * (Kingma, Abbeel and Ho, Bit-Swap, 2019), so that what the first image takes is one layer's bits. The last layer is standard normal.
 */
export class BitSwap extends CodeOrder {
  override readonly eyes = [this.layers[0]!.encoder];

  override async encode(
    work: Work,
    [seen]: readonly Float32Array[],
    rows: number,
    pixels: Pixels<void>,
  ): Promise<void> {
    let below = new Uint16Array(0);
    for (const [i, { size, encoder, decoder }] of this.layers.entries()) {
      const codes = i > 0 ? await work.told(encoder, this.bins.mediansOf(below), rows) : seen!;
      const bins = new Uint16Array(rows * size);
      this.coders[i]!.pop(work.stack, codes, bins);
      const said = await work.told(decoder, this.bins.mediansOf(bins), rows);
      if (i > 0) this.coders[i - 1]!.push(work.stack, said, below);
      else pixels(said);
      below = bins;
    }
    pushAll(work, this.bins, below);
  }

  override async decode(work: Work, rows: number, pixels: Pixels<Promise<readonly Float32Array[]>>): Promise<void> {
    let bins = popAll(work, this.bins, rows * this.layers.at(-1)!.size);
    for (let i = this.layers.length - 1; i >= 0; i--) {
      const { encoder, decoder } = this.layers[i]!;
      const said = await work.told(decoder, this.bins.mediansOf(bins), rows);
      const below = new Uint16Array(i > 0 ? rows * this.layers[i - 1]!.size : 0);
      if (i > 0) this.coders[i - 1]!.pop(work.stack, said, below);
      const codes = i > 0 ? await work.told(encoder, this.bins.mediansOf(below), rows) : (await pixels(said))[0]!;
      this.coders[i]!.push(work.stack, codes, bins);
      bins = below;
    }
  }
}

/**
 * Of a code whose encoder comes down with its decoder: all layers are popped, from the top on, and then pushed. The bins of a layer
 * are equally likely under what the layers above say of it, so that they are pushed as they are, and what is popped is the posterior
 * as it lies to that (as HiLLoC has it; Townsend, Bird, Kunze and Barber, 2020).
 */
export class TopDown extends CodeOrder {
  override readonly eyes = this.layers.map(({ encoder }) => encoder);

  /** What the decoders say, from the top on: of each layer but the first, and last of the pixels. @param bins gives those of a layer */
  private async descend(work: Work, rows: number, bins: (i: number, prior?: Float32Array) => Uint16Array) {
    const priors: (Float32Array | undefined)[] = [];
    let said: Float32Array | undefined;
    for (let i = this.layers.length - 1; i >= 0; i--) {
      priors.unshift(said);
      said = await work.told(
        this.layers[i]!.decoder,
        this.bins.placesOf(bins(i, said), said, this.layers[i]!.size),
        rows,
      );
    }
    return { said: said!, priors };
  }

  override async encode(work: Work, seen: readonly Float32Array[], rows: number, pixels: Pixels<void>): Promise<void> {
    const all: Uint16Array[] = [];
    const { said } = await this.descend(work, rows, (i, prior) => {
      const bins = new Uint16Array(rows * this.layers[i]!.size);
      this.coders[i]!.pop(work.stack, seen[i]!, bins, prior);
      all.unshift(bins);
      return bins;
    });
    pixels(said);
    for (const bins of all) pushAll(work, this.bins, bins);
  }

  override async decode(work: Work, rows: number, pixels: Pixels<Promise<readonly Float32Array[]>>): Promise<void> {
    const all: Uint16Array[] = [];
    const { said, priors } = await this.descend(work, rows, (i) => {
      const bins = popAll(work, this.bins, rows * this.layers[i]!.size);
      all.unshift(bins);
      return bins;
    });
    const seen = await pixels(said);
    for (const [i, bins] of all.entries()) this.coders[i]!.push(work.stack, seen[i]!, bins, priors[i]);
  }
}

// Bits back (Townsend, Bird and Barber, Practical Lossless Compression with Latent Variables, 2019): an image's code is popped from what
// the stack holds, by the posterior; then the image is pushed, given the code, and the code by the prior. Whoever undoes it gets the
// bits back that the code was popped from, so that an image takes −ELBO bits.
//
// Images go in batches that grow, since the codes of a batch are popped before its first pixel is pushed: so only the first image's
// code takes bits that nobody gets back. Of a code of several layers, each is popped when what lies below the one before it has been
// pushed (Bit-Swap; Kingma, Abbeel and Ho, 2019), so that what the first image takes is one layer's bits.
import { DataError } from '../errors.ts';
import { BinnedNormal, LATENT_BITS, medianOf, type PixelCoder, popPrior, pushPrior } from './distributions.ts';
import { AnsStack } from './rans.ts';

/** Integers of rows of integers, computed the same anywhere; see `ExactProgram`. */
export type Network = (x: Float32Array, rows: number) => Promise<Float32Array>;

export interface CodecLayer {
  /** Numbers of the code. */
  readonly size: number;
  /** From what lies below, bytes or the medians of the layer before, to means, then log-variances: [rows, 2·size]. */
  readonly encoder: Network;
  /** From medians to what is said of the pixels, [rows, pixels·parameters]; or of the layer before, as its encoder says it. */
  readonly decoder: Network;
}

export interface Codec {
  readonly pixels: number;
  /** Of the code, from the one that is nearest to the images on; the last is standard normal. */
  readonly layers: readonly CodecLayer[];
  readonly pixel: PixelCoder;
  /** What the first encoder is given for a byte. */
  readonly toInput: (byte: number) => number;
}

export interface CodedBlock {
  /** Sizes of the batches, in the order of coding. */
  readonly batches: readonly number[];
  /** See `AnsStack.encode`. */
  readonly stack: Uint8Array;
  /** Of all integers that the distributions were made of. */
  readonly digest: number;
}

/** Milliseconds, to tell where the time goes. */
export interface Times {
  /** Of which the networks take these, on a device or here. */
  networks: number;
  coder: number;
}

export const MOST_IN_BATCH = 512;

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

async function timed<T>(times: Times, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  try {
    return await work();
  } finally {
    const took = performance.now() - began;
    times.networks += took;
    times.coder -= took;
  }
}

function inputsOf({ toInput }: Codec, images: Uint8Array): Float32Array {
  const inputs = new Float32Array(images.length);
  for (let i = 0; i < inputs.length; i++) inputs[i] = toInput(images[i]!);
  return inputs;
}

/** Numbers of a layer of a batch, as bins: [rows, size], with the integers of the normal distributions that they are coded by. */
class LayerCoder {
  private readonly normal = new BinnedNormal();
  private readonly size: number;

  constructor({ size }: CodecLayer) {
    this.size = size;
  }

  private set(codes: Float32Array, at: number): void {
    const { size } = this;
    const mean = Math.floor(at / size) * 2 * size + (at % size);
    this.normal.set(codes[mean]!, codes[mean + size]!);
  }

  pop(stack: AnsStack, codes: Float32Array, bins: Uint16Array): void {
    for (let i = 0; i < bins.length; i++) {
      this.set(codes, i);
      bins[i] = this.normal.pop(stack);
    }
  }

  /** The last first, so that `pop` undoes it, and it `pop`. */
  push(stack: AnsStack, codes: Float32Array, bins: Uint16Array): void {
    for (let i = bins.length - 1; i >= 0; i--) {
      this.set(codes, i);
      this.normal.push(stack, bins[i]!);
    }
  }
}

/** @param images bytes, of whole images */
export async function encodeBlock(codec: Codec, images: Uint8Array, times: Times, tell?: (done: number) => void) {
  const { pixels, layers, pixel } = codec;
  const began = performance.now();
  const count = images.length / pixels;
  const stack = new AnsStack();
  const coders = layers.map((layer) => new LayerCoder(layer));
  const batches: number[] = [];
  let digest = 0;
  const width = pixels * pixel.parameters;
  const numbers = layers.reduce((sum, { size }) => sum + size, 0);
  // The first encoder's share does not hang on the stack: many images at once.
  const { encoder, size: firstSize } = layers[0]!;
  let ahead: Float32Array = new Float32Array(0);
  let aheadFrom = 0;
  for (let first = 0; first < count; first += batches.at(-1)!) {
    const room = Math.floor((16 * stack.length) / (numbers * LATENT_BITS));
    const size = Math.max(1, Math.min(MOST_IN_BATCH, room, count - first));
    batches.push(size);
    if ((first + size - aheadFrom) * 2 * firstSize > ahead.length) {
      const until = Math.min(count, first + MOST_IN_BATCH);
      ahead = await timed(times, () =>
        encoder(inputsOf(codec, images.subarray(first * pixels, until * pixels)), until - first),
      );
      aheadFrom = first;
    }
    const start = (first - aheadFrom) * 2 * firstSize;
    let codes = ahead.subarray(start, start + size * 2 * firstSize);
    let below = new Uint16Array(0);
    for (const [i, layer] of layers.entries()) {
      if (i > 0) codes = await timed(times, () => layer.encoder(Float32Array.from(below, medianOf), size));
      digest += digestOf(codes, 2 * layer.size);
      const bins = new Uint16Array(size * layer.size);
      coders[i]!.pop(stack, codes, bins);
      const said = await timed(times, () => layer.decoder(Float32Array.from(bins, medianOf), size));
      digest += digestOf(said, said.length / size);
      if (i > 0) coders[i - 1]!.push(stack, said, below);
      else {
        for (let row = 0; row < size; row++) {
          const from = (first + row) * pixels;
          for (let p = 0; p < pixels; p++) pixel.push(stack, said, row * width, p, images[from + p]!);
        }
      }
      below = bins;
    }
    for (const bin of below) pushPrior(stack, bin);
    tell?.(first + size);
  }
  times.coder += performance.now() - began;
  return { batches, stack: stack.encode(), digest: digest >>> 0 } satisfies CodedBlock;
}

/**
 * The images of a block.
 *
 * @throws DataError if the block is damaged, or was made with other distributions
 */
export async function decodeBlock(
  codec: Codec,
  { batches, stack: coded, digest: wanted }: CodedBlock,
  times: Times,
  tell?: (done: number) => void,
): Promise<Uint8Array> {
  const { pixels, layers, pixel } = codec;
  const began = performance.now();
  const stack = AnsStack.decode(coded);
  const coders = layers.map((layer) => new LayerCoder(layer));
  const count = batches.reduce((sum, size) => sum + size, 0);
  const images = new Uint8Array(count * pixels);
  const width = pixels * pixel.parameters;
  let digest = 0;
  let last = count;
  for (const size of [...batches].reverse()) {
    const first = last - size;
    let bins = new Uint16Array(size * layers.at(-1)!.size);
    for (let i = bins.length - 1; i >= 0; i--) bins[i] = popPrior(stack);
    for (let i = layers.length - 1; i >= 0; i--) {
      const layer = layers[i]!;
      const said = await timed(times, () => layer.decoder(Float32Array.from(bins, medianOf), size));
      digest += digestOf(said, said.length / size);
      const below = new Uint16Array(i > 0 ? size * layers[i - 1]!.size : 0);
      if (i > 0) coders[i - 1]!.pop(stack, said, below);
      else {
        for (let row = size - 1; row >= 0; row--) {
          const from = (first + row) * pixels;
          for (let p = pixels - 1; p >= 0; p--) images[from + p] = pixel.pop(stack, said, row * width, p);
        }
      }
      const given =
        i > 0 ? Float32Array.from(below, medianOf) : inputsOf(codec, images.subarray(first * pixels, last * pixels));
      const codes = await timed(times, () => layer.encoder(given, size));
      digest += digestOf(codes, 2 * layer.size);
      coders[i]!.push(stack, codes, bins);
      bins = below;
    }
    last = first;
    tell?.(count - first);
  }
  times.coder += performance.now() - began;
  if (digest >>> 0 !== wanted) {
    throw new DataError('its distributions are not those that it was made with: it is damaged, or of another model');
  }
  if (!stack.isFirst) throw new DataError('it does not end where it began: it is damaged');
  return images;
}

// Bits back (Townsend, Bird and Barber, Practical Lossless Compression with Latent Variables, 2019): an image's code is popped from what
// the stack holds, by the posterior; then the image is pushed, given the code, and the code by the prior. Whoever undoes it gets the
// bits back that the code was popped from, so that an image takes −ELBO bits.
//
// Images go in batches that grow, since the codes of a batch are popped before its first pixel is pushed: so only the first image's
// code takes bits that nobody gets back.
import { DataError } from '../errors.ts';
import { LATENT_BITS, medianOf, type PixelCoder, Posterior, popPrior, pushPrior } from './distributions.ts';
import { AnsStack } from './rans.ts';

/** Integers of rows of integers, computed the same anywhere; see `ExactProgram`. */
export type Network = (x: Float32Array, rows: number) => Promise<Float32Array>;

export interface Codec {
  readonly pixels: number;
  readonly latent: number;
  /** From bytes to means, then log-variances: [rows, 2·latent]. */
  readonly encoder: Network;
  /** From codes to what is said of the pixels: [rows, pixels·parameters]. */
  readonly decoder: Network;
  readonly pixel: PixelCoder;
  /** What the encoder is given for a byte. */
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

/** @param images bytes, of whole images */
export async function encodeBlock(codec: Codec, images: Uint8Array, times: Times, tell?: (done: number) => void) {
  const { pixels, latent, pixel, encoder, decoder } = codec;
  const began = performance.now();
  const count = images.length / pixels;
  const stack = new AnsStack();
  const posterior = new Posterior();
  const batches: number[] = [];
  let digest = 0;
  const width = pixels * pixel.parameters;
  // The encoder's share does not hang on the stack: many images at once.
  let codes: Float32Array = new Float32Array(0);
  let codesFrom = 0;
  for (let first = 0; first < count; first += batches.at(-1)!) {
    const room = Math.floor((16 * stack.length) / (latent * LATENT_BITS));
    const size = Math.max(1, Math.min(MOST_IN_BATCH, room, count - first));
    batches.push(size);
    if ((first + size - codesFrom) * 2 * latent > codes.length) {
      const until = Math.min(count, first + MOST_IN_BATCH);
      codes = await timed(times, () =>
        encoder(inputsOf(codec, images.subarray(first * pixels, until * pixels)), until - first),
      );
      codesFrom = first;
    }
    const bins = new Uint16Array(size * latent);
    const z = new Float32Array(size * latent);
    for (let i = 0; i < size; i++) {
      const row = (first + i - codesFrom) * 2 * latent;
      for (let j = 0; j < latent; j++) {
        posterior.set(codes[row + j]!, codes[row + latent + j]!);
        const bin = posterior.pop(stack);
        bins[i * latent + j] = bin;
        z[i * latent + j] = medianOf(bin);
      }
    }
    const start = (first - codesFrom) * 2 * latent;
    digest += digestOf(codes.subarray(start, start + size * 2 * latent), 2 * latent);
    const said = await timed(times, () => decoder(z, size));
    digest += digestOf(said, width);
    for (let i = 0; i < size; i++) {
      const from = (first + i) * pixels;
      for (let p = 0; p < pixels; p++) pixel.push(stack, said, i * width, p, images[from + p]!);
    }
    for (const bin of bins) pushPrior(stack, bin);
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
  const { pixels, latent, pixel, encoder, decoder } = codec;
  const began = performance.now();
  const stack = AnsStack.decode(coded);
  const posterior = new Posterior();
  const count = batches.reduce((sum, size) => sum + size, 0);
  const images = new Uint8Array(count * pixels);
  const width = pixels * pixel.parameters;
  let digest = 0;
  let last = count;
  for (const size of [...batches].reverse()) {
    const first = last - size;
    const bins = new Uint16Array(size * latent);
    for (let i = bins.length - 1; i >= 0; i--) bins[i] = popPrior(stack);
    const said = await timed(times, () => decoder(Float32Array.from(bins, medianOf), size));
    digest += digestOf(said, width);
    for (let i = size - 1; i >= 0; i--) {
      const from = (first + i) * pixels;
      for (let p = pixels - 1; p >= 0; p--) images[from + p] = pixel.pop(stack, said, i * width, p);
    }
    const codes = await timed(times, () =>
      encoder(inputsOf(codec, images.subarray(first * pixels, last * pixels)), size),
    );
    digest += digestOf(codes, 2 * latent);
    for (let i = size - 1; i >= 0; i--) {
      const row = i * 2 * latent;
      for (let j = latent - 1; j >= 0; j--) {
        posterior.set(codes[row + j]!, codes[row + latent + j]!);
        posterior.push(stack, bins[i * latent + j]!);
      }
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

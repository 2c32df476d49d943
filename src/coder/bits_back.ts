// Bits back (Townsend, Bird and Barber, Practical Lossless Compression with Latent Variables, 2019): an image's code is popped from what
// the stack holds, by the posterior; then the image is pushed, given the code, and the code by the prior. Whoever undoes it gets the
// bits back that the code was popped from, so that an image takes −ELBO bits.
//
// Images go in batches that grow, since the codes of a batch are popped before its first pixel is pushed: so only the first image's
// code takes bits that nobody gets back. Of a code of several layers, `orders.ts` says which goes when.
import { DataError } from '../errors.ts';
import type { PixelCoder } from './distributions.ts';
import type { LatentBins } from './latent_bins.ts';
import { type CodecLayer, type Times, Work } from './layer_coder.ts';
import { BitSwap, TopDown } from './orders.ts';
import { AnsStack } from './rans.ts';

export interface Codec {
  readonly pixels: number;
  /** Of the code, from the one that is nearest to the images on; the last is standard normal. */
  readonly layers: readonly CodecLayer[];
  /** Whether all encoders are given the images, and what they say is weighed with what the layers above say. */
  readonly topDown: boolean;
  /** Of all numbers of the code. */
  readonly bins: LatentBins;
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

export const MOST_IN_BATCH = 512;

/** Sizes that a batch may have, so that a byte tells them: from 1 to 128, and from there to 512 every third. */
export const batchSize = (code: number): number => (code < 128 ? code + 1 : 128 + 3 * (code - 127));
/** Of the greatest batch of at most so many images. */
export const batchCode = (most: number): number =>
  most <= 128 ? most - 1 : 127 + Math.floor((Math.min(most, MOST_IN_BATCH) - 128) / 3);

function inputsOf({ toInput }: Codec, images: Uint8Array): Float32Array {
  const inputs = new Float32Array(images.length);
  for (let i = 0; i < inputs.length; i++) inputs[i] = toInput(images[i]!);
  return inputs;
}

const orderOf = ({ layers, topDown, bins }: Codec) => (topDown ? new TopDown(layers, bins) : new BitSwap(layers, bins));

/** @param images bytes, of whole images */
export async function encodeBlock(codec: Codec, images: Uint8Array, times: Times, tell?: (done: number) => void) {
  const { pixels, layers, pixel } = codec;
  const began = performance.now();
  const count = images.length / pixels;
  const work = new Work(new AnsStack(), times);
  const { stack } = work;
  const order = orderOf(codec);
  const batches: number[] = [];
  const width = pixels * pixel.parameters;
  const numbers = layers.reduce((sum, { size }) => sum + size, 0);
  // What the eyes see does not hang on the stack: many images at once.
  let ahead: readonly Float32Array[] = [];
  let [from, until] = [0, 0];
  for (let first = 0; first < count; first += batches.at(-1)!) {
    const room = Math.floor((16 * stack.length) / (numbers * codec.bins.bits));
    const size = batchSize(batchCode(Math.max(1, Math.min(room, count - first))));
    batches.push(size);
    if (first + size > until) {
      [from, until] = [first, Math.min(count, first + MOST_IN_BATCH)];
      const inputs = inputsOf(codec, images.subarray(from * pixels, until * pixels));
      ahead = await allOf(order.eyes, (eye) => work.ask(eye, inputs, until - from));
    }
    const seen = ahead.map((all, i) => {
      const said = 2 * layers[i]!.size;
      return work.use(all.subarray((first - from) * said, (first + size - from) * said), size);
    });
    await order.encode(work, seen, size, (said) => {
      for (let row = 0; row < size; row++) {
        const at = (first + row) * pixels;
        for (let p = 0; p < pixels; p++) pixel.push(stack, said, row * width, p, images[at + p]!);
      }
    });
    tell?.(first + size);
  }
  times.coder += performance.now() - began;
  return { batches, stack: stack.encode(), digest: work.digest } satisfies CodedBlock;
}

/** One after the other. */
async function allOf<T, R>(list: readonly T[], f: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const one of list) results.push(await f(one));
  return results;
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
  const { pixels, pixel } = codec;
  const began = performance.now();
  const work = new Work(AnsStack.decode(coded), times);
  const { stack } = work;
  const order = orderOf(codec);
  const count = batches.reduce((sum, size) => sum + size, 0);
  const images = new Uint8Array(count * pixels);
  const width = pixels * pixel.parameters;
  let last = count;
  for (const size of [...batches].reverse()) {
    const first = last - size;
    await order.decode(work, size, (said) => {
      for (let row = size - 1; row >= 0; row--) {
        const at = (first + row) * pixels;
        for (let p = pixels - 1; p >= 0; p--) images[at + p] = pixel.pop(stack, said, row * width, p);
      }
      const inputs = inputsOf(codec, images.subarray(first * pixels, last * pixels));
      return allOf(order.eyes, (eye) => work.told(eye, inputs, size));
    });
    last = first;
    tell?.(count - first);
  }
  times.coder += performance.now() - began;
  if (work.digest !== wanted) {
    throw new DataError('its distributions are not those that it was made with: it is damaged, or of another model');
  }
  if (!stack.isFirst) throw new DataError('it does not end where it began: it is damaged');
  return images;
}

// Binary images, as the literature's likelihoods have them: each pixel drawn with its intensity as probability, or cut at one half.
import { philox } from '../ops/philox.ts';
import type { Dataset, ImageSet } from './images.ts';

/**
 * What is made of grey images. `dynamic`: the training images are drawn anew in each step (Salakhutdinov and Murray, 2008;
 * Burda, Grosse and Salakhutdinov, 2015), the test images once, by the seed. `threshold`: black below 128, white from there on.
 */
export const BINARIZATIONS = ['none', 'dynamic', 'threshold'] as const;
export type Binarization = (typeof BINARIZATIONS)[number];

/** Keeps these draws apart from all others of the same seed. */
const STREAM = 0x62696e61;

const withImages = (set: ImageSet, images: Uint8Array): ImageSet => ({ ...set, images });

/** 0 where a byte is below 128, else 255. */
export function threshold(set: ImageSet): ImageSet {
  return withImages(
    set,
    set.images.map((byte) => (byte < 128 ? 0 : 255)),
  );
}

/** 255 with the probability that a byte is of 255, else 0. The same seed gives the same pixels anywhere. */
export function drawBinary(set: ImageSet, seed: number): ImageSet {
  const { images } = set;
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0] as const;
  const drawn = new Uint8Array(images.length);
  for (let first = 0; first < images.length; first += 4) {
    // Most pixels of a drawing are black: nothing is drawn for four of these.
    if (!images[first] && !images[first + 1] && !images[first + 2] && !images[first + 3]) continue;
    const words = philox([first / 4, 0, STREAM, 0], key);
    for (let i = 0; i < 4 && first + i < images.length; i++) {
      drawn[first + i] = words[i]! < (images[first + i]! / 255) * 2 ** 32 ? 255 : 0;
    }
  }
  return withImages(set, drawn);
}

/** A data set as a run sees it in memory; of `dynamic`, the training images stay grey, to be drawn from in each step. */
export function binarized(dataset: Dataset, how: Binarization, seed: number): Dataset {
  const { train, test } = dataset;
  if (how === 'threshold') return { ...dataset, train: threshold(train), test: threshold(test) };
  return how === 'dynamic' ? { ...dataset, test: drawBinary(test, seed) } : dataset;
}

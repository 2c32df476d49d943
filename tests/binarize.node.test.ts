// Binary images: as likely as their intensities say, the same by the same seed, and whole where nothing is left to draw.
import { describe, expect, test } from 'vitest';
import { binarized, drawBinary, threshold } from '../src/data/binarize.ts';
import type { ImageSet } from '../src/data/images.ts';
import { completeOptions } from '../src/train/options.ts';

const setOf = (images: Uint8Array, width = images.length): ImageSet => ({
  images,
  count: images.length / width,
  ...{ height: 1, width, channels: 1, classes: 0 },
});

describe('binarization', () => {
  test('a pixel is white as often as its intensity says', () => {
    const set = setOf(Uint8Array.from({ length: 4 * 4096 }, (_, i) => [0, 51, 204, 255][i % 4]!));
    const { images } = drawBinary(set, 7);
    const share = (k: number) => images.filter((_, i) => i % 4 === k).reduce((sum, byte) => sum + byte, 0) / 4096 / 255;
    expect(share(0)).toBe(0);
    expect(share(3)).toBe(1);
    // Four standard deviations of a share of 4096 draws.
    expect(Math.abs(share(1) - 0.2)).toBeLessThan(0.025);
    expect(Math.abs(share(2) - 0.8)).toBeLessThan(0.025);
    expect(new Set(images)).toEqual(new Set([0, 255]));
  });

  test('the seed is what the draw hangs on, and a part of a set is drawn as in the whole', () => {
    const set = setOf(Uint8Array.from({ length: 1003 }, (_, i) => (37 * i) % 256));
    const { images } = drawBinary(set, 3);
    expect(drawBinary(set, 3).images).toEqual(images);
    expect(drawBinary(set, 4).images).not.toEqual(images);
    expect(drawBinary(setOf(set.images.subarray(0, 400)), 3).images).toEqual(images.subarray(0, 400));
    // What is binary stays as it is.
    expect(drawBinary(setOf(images), 9).images).toEqual(images);
  });

  test('the threshold is 128, and dynamic leaves the training images grey', () => {
    const set = setOf(Uint8Array.of(0, 127, 128, 255));
    expect([...threshold(set).images]).toEqual([0, 0, 255, 255]);
    const data = { name: 'four', train: set, test: set };
    expect(binarized(data, 'none', 0)).toBe(data);
    expect(binarized(data, 'dynamic', 0).train).toBe(set);
    expect(new Set(binarized(data, 'dynamic', 0).test.images)).toEqual(new Set([0, 255]));
    expect(completeOptions({ model: 'burda', binarize: 'dynamic' }).binarize).toBe('dynamic');
  });
});

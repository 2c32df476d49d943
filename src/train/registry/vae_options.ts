// What the VAEs have in common: options and pictures.
import type { HierarchicalVAE } from '../../models/hierarchical.ts';
import type { ImageBatch } from '../../models/model.ts';
import type { VAE } from '../../models/vae.ts';
import type { RandomKey } from '../../ops/random.ts';
import { manifold, type Picture, reconstructions, samples } from '../pictures.ts';
import { choice, real, whole } from '../rules.ts';

export const hidden = whole('width of the hidden layers', 400);
export const latent = whole('size of the code z', 20);
const pixel = 'what a pixel is to the decoder';
/** Of the 256 values of a grey or coloured pixel. */
const BYTES = ['logistic', 'logistic-mixture', 'categorical', 'beta-binomial'] as const;
export const likelihood = choice(pixel, ['bernoulli', 'gaussian', ...BYTES]);
/** Of probabilities of pixels. */
export const ofBytes = choice(pixel, ['bernoulli', ...BYTES]);
/** Of convolutions, which give one number a pixel. */
export const oneNumber = choice(pixel, ['bernoulli', 'gaussian']);
export const beta = (value: number) => real('weight of the KL term', value);
export const warmup = (value: number) =>
  whole('steps in which the weight of the KL term rises from 0', value, { min: 0, max: 1e9 });
export const freeBits = real('nats of each number of the code that cost nothing (free bits)', 0, { max: 100 });

export function vaePictures(vae: VAE, { images }: ImageBatch, key: RandomKey): Record<string, Picture> {
  return {
    reconstructions: reconstructions(images, vae.reconstruct(images)),
    samples: samples(vae, key),
    manifold: manifold(vae, images),
  };
}

export function hierarchicalPictures(
  vae: HierarchicalVAE,
  { images }: ImageBatch,
  key: RandomKey,
): Record<string, Picture> {
  return { reconstructions: reconstructions(images, vae.reconstruct(images)), samples: samples(vae, key) };
}

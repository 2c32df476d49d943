// What the VAEs have in common: options and pictures.
import type { ImageBatch } from '../../models/model.ts';
import type { VAE } from '../../models/vae.ts';
import type { RandomKey } from '../../ops/random.ts';
import { manifold, type Picture, reconstructions, samples } from '../pictures.ts';
import { choice, real, whole } from '../rules.ts';

export const hidden = whole('width of the hidden layers', 400);
export const latent = whole('size of the code z', 20);
const pixel = 'what a pixel is to the decoder';
export const likelihood = choice(pixel, ['bernoulli', 'gaussian', 'logistic', 'logistic-mixture']);
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

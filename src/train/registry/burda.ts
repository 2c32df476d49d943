// `burda`: the network of one stochastic layer that the literature's likelihoods of binary MNIST are of: 784-200-200-50, tanh.
import type { Dataset } from '../../data/images.ts';
import { tanhNetworks } from '../../models/networks.ts';
import { outputsOf, VAE } from '../../models/vae.ts';
import { type Initialiser, zeros } from '../../nn/init.ts';
import { vaeAbilities } from '../abilities.ts';
import { whole } from '../rules.ts';
import { defineModel, pixelsOf } from './entry.ts';
import { beta, freeBits, likelihood, vaePictures, warmup } from './vae_options.ts';

/** The logit of each pixel's mean over the training images: what a decoder says that knows nothing else. */
export function meanLogits({ train: { images, count } }: Dataset): Initialiser {
  return ([pixels = 0]) => {
    const sums = new Float64Array(pixels);
    for (let first = 0; first < images.length; first += pixels) {
      for (let i = 0; i < pixels; i++) sums[i]! += images[first + i]!;
    }
    const mean = (sum: number) => Math.min(0.999, Math.max(0.001, sum / (255 * count)));
    return Float32Array.from(sums, (sum) => Math.log(mean(sum) / (1 - mean(sum))));
  };
}

export const burda = defineModel({
  name: 'burda',
  options: {
    hidden: whole('width of the hidden layers', 200),
    latent: whole('size of the code z', 50),
    likelihood,
    particles: whole('samples of z an image', 1),
    beta: beta(1),
    warmup: warmup(0),
    freeBits,
  },
  create(data, options) {
    const pixels = pixelsOf(data);
    const { likelihood, latent } = options;
    const sizes = { pixels, ...options, outputs: pixels * outputsOf(likelihood), codes: 2 * latent };
    return new VAE({ ...sizes, networks: tanhNetworks(sizes, likelihood === 'bernoulli' ? meanLogits(data) : zeros) });
  },
  pictures: vaePictures,
  abilities: vaeAbilities,
});

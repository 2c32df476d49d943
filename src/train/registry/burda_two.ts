// `burda-2`: the network of two stochastic layers of the literature's likelihoods of binary MNIST: 784-200-200-100-100-100-50, tanh.
import { DeepVAE } from '../../models/deep_vae.ts';
import { zeros } from '../../nn/init.ts';
import { hierarchicalAbilities } from '../abilities.ts';
import { whole } from '../rules.ts';
import { meanLogits } from './burda.ts';
import { defineModel, pixelsOf } from './entry.ts';
import { beta, freeBits, hierarchicalPictures, ofBytes as likelihood, warmup } from './vae_options.ts';

export const burdaTwo = defineModel({
  name: 'burda-2',
  options: {
    likelihood,
    particles: whole('samples of z an image', 1),
    beta: beta(1),
    warmup: warmup(0),
    freeBits,
  },
  create: (data, options) =>
    new DeepVAE({
      ...options,
      pixels: pixelsOf(data),
      latents: [100, 50],
      hidden: [200, 100],
      bias: options.likelihood === 'bernoulli' ? meanLogits(data) : zeros,
    }),
  pictures: hierarchicalPictures,
  abilities: hierarchicalAbilities,
});

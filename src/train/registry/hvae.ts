// `hvae`: the hierarchical VAE of convolutions, for images whose sides are multiples of 4.
import { Hvae } from '../../models/hvae.ts';
import { hierarchicalAbilities } from '../abilities.ts';
import { whole } from '../rules.ts';
import { defineModel } from './entry.ts';
import { beta, freeBits, hierarchicalPictures, ofBytes as likelihood, warmup } from './vae_options.ts';

export const hvae = defineModel({
  name: 'hvae',
  options: {
    layers: whole('layers of the code', 6, { min: 3, max: 48 }),
    width: whole('channels of the features', 32),
    latent: whole('channels of the code at each position of a layer; eight times as many where there is one', 4),
    likelihood,
    particles: whole('samples of z an image', 1),
    beta: beta(1),
    warmup: warmup(2000),
    freeBits,
  },
  // As that literature trains: steps that become smaller, an average of the weights, and no gradient that leaps.
  decay: 20_000,
  defaults: { average: 0.999, skip: 20 },
  create: ({ train }, options) => new Hvae({ ...options, shape: train }),
  pictures: hierarchicalPictures,
  abilities: hierarchicalAbilities,
});

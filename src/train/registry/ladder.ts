// `ladder`: the ladder VAE of linear layers, three layers of a code whose encoder comes down from what the layers above say.
import { LadderVAE } from '../../models/ladder_vae.ts';
import { zeros } from '../../nn/init.ts';
import { hierarchicalAbilities } from '../abilities.ts';
import { whole } from '../rules.ts';
import { meanLogits } from './burda.ts';
import { defineModel, pixelsOf } from './entry.ts';
import { beta, freeBits, hierarchicalPictures, ofBytes as likelihood, warmup } from './vae_options.ts';

export const ladder = defineModel({
  name: 'ladder',
  options: {
    hidden: whole('width of the hidden layers that are nearest to the image; of each next, half', 320, { min: 4 }),
    latent: whole('numbers of the layer of the code that is nearest to the image; of each next, half', 64, { min: 4 }),
    likelihood,
    particles: whole('samples of z an image', 1),
    beta: beta(1),
    warmup: warmup(2000),
    freeBits,
  },
  decay: 20_000,
  defaults: { average: 0.999, skip: 20 },
  create: (data, { hidden, latent, ...options }) => {
    const halved = (size: number) => [size, size >> 1, size >> 2];
    return new LadderVAE({
      ...options,
      pixels: pixelsOf(data),
      latents: halved(latent),
      hidden: halved(hidden),
      bias: options.likelihood === 'bernoulli' ? meanLogits(data) : zeros,
    });
  },
  pictures: hierarchicalPictures,
  abilities: hierarchicalAbilities,
});

// `beta-vae`: a VAE whose KL term weighs more (Higgins et al., 2017).

import { VAE } from '../../models/vae.ts';
import { vaeAbilities } from '../abilities.ts';
import { defineModel, pixelsOf } from './entry.ts';
import { beta, hidden, latent, likelihood, vaePictures, warmup } from './vae_options.ts';

export const betaVae = defineModel({
  name: 'beta-vae',
  options: { hidden, latent, likelihood, beta: beta(4), warmup: warmup(500) },
  create: (data, options) => new VAE({ pixels: pixelsOf(data), ...options }),
  pictures: vaePictures,
  abilities: vaeAbilities,
});

// `vae`: the variational autoencoder of multilayer perceptrons.

import { VAE } from '../../models/vae.ts';
import { vaeAbilities } from '../abilities.ts';
import { defineModel, pixelsOf } from './entry.ts';
import { beta, hidden, latent, likelihood, vaePictures, warmup } from './vae_options.ts';

export const vae = defineModel({
  name: 'vae',
  options: { hidden, latent, likelihood, beta: beta(1), warmup: warmup(0) },
  create: (data, options) => new VAE({ pixels: pixelsOf(data), ...options }),
  pictures: vaePictures,
  abilities: vaeAbilities,
});

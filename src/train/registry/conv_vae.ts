// `conv-vae`: the VAE of convolutions, with batch norm.

import { convNetworks } from '../../models/networks.ts';
import { VAE } from '../../models/vae.ts';
import { vaeAbilities } from '../abilities.ts';
import { defineModel, pixelsOf } from './entry.ts';
import { beta, latent, oneNumber as likelihood, vaePictures, warmup } from './vae_options.ts';

export const convVae = defineModel({
  name: 'conv-vae',
  options: { latent, likelihood, beta: beta(1), warmup: warmup(0) },
  create(data, options) {
    const networks = convNetworks({ shape: data.train, latent: options.latent, codes: 2 * options.latent, norm: true });
    return new VAE({ pixels: pixelsOf(data), ...options, networks });
  },
  pictures: vaePictures,
  abilities: vaeAbilities,
});

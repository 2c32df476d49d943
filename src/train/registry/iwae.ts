// `iwae`: a VAE that is trained by the importance-weighted bound (Burda, Grosse and Salakhutdinov, 2015).

import { VAE } from '../../models/vae.ts';
import { vaeAbilities } from '../abilities.ts';
import { whole } from '../rules.ts';
import { defineModel, pixelsOf } from './entry.ts';
import { hidden, latent, likelihood, vaePictures } from './vae_options.ts';

export const iwae = defineModel({
  name: 'iwae',
  options: { hidden, latent, likelihood, particles: whole('samples of z an image', 5) },
  create: (data, options) => new VAE({ pixels: pixelsOf(data), ...options }),
  pictures: vaePictures,
  abilities: vaeAbilities,
});

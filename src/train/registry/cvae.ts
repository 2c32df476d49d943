// `cvae`: a VAE that is told an image's class (Sohn, Lee and Yan, 2015).

import { VAE } from '../../models/vae.ts';
import { vaeAbilities } from '../abilities.ts';
import { reconstructions, samplesByClass } from '../pictures.ts';
import { classesOf, defineModel, pixelsOf } from './entry.ts';
import { beta, hidden, latent, likelihood, warmup } from './vae_options.ts';

export const cvae = defineModel({
  name: 'cvae',
  options: { hidden, latent, likelihood, beta: beta(1), warmup: warmup(0) },
  create: (data, options) => new VAE({ pixels: pixelsOf(data), ...options, classes: classesOf(data, 'cvae') }),
  pictures: (vae, { images, labels }, key) => ({
    reconstructions: reconstructions(images, vae.reconstruct(images, labels)),
    samples: samplesByClass(vae, key),
  }),
  abilities: vaeAbilities,
});

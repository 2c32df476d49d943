// `vq-vae`: a convolutional autoencoder whose code is a grid of entries of a table (van den Oord et al., 2017).

import { VqVae } from '../../models/vq_vae.ts';
import { vqVaeAbilities } from '../abilities.ts';
import { codes, reconstructions, usage } from '../pictures.ts';
import { real, whole } from '../rules.ts';
import { defineModel } from './entry.ts';

export const vqVae = defineModel({
  name: 'vq-vae',
  options: {
    latent: whole('numbers in an entry of the table', 20),
    codes: whole('entries of the table', 64),
    beta: real('weight of the commitment', 0.25),
  },
  withoutDensity: 'its code is looked up, not drawn, and it has no prior over codes, so p(x) is not defined',
  create: (data, options) => new VqVae({ shape: data.train, ...options }),
  pictures: (model, { images }) => ({
    reconstructions: reconstructions(images, model.reconstruct(images)),
    codes: codes(model),
    usage: usage(model, images),
  }),
  abilities: vqVaeAbilities,
});

// `denoising`: an autoencoder that gets images of which pixels are missing, and gives them whole (Vincent et al., Extracting
// and Composing Robust Features with Denoising Autoencoders, 2008).
import { type ImageBatch, Model, type Terms } from '../../models/model.ts';
import { mlpNetworks } from '../../models/networks.ts';
import type { Sequential } from '../../nn/layers.ts';
import { bernoulliNll } from '../../ops/composite.ts';
import { greater, mul, sigmoid } from '../../ops/elementwise.ts';
import { type RandomKey, uniform } from '../../ops/random.ts';
import { sum } from '../../ops/reduce.ts';
import { scope, type Tensor } from '../../ops/tensor.ts';
import { reconstructions } from '../pictures.ts';
import { real } from '../rules.ts';
import { defineModel, pixelsOf } from './entry.ts';
import { hidden, latent } from './vae_options.ts';

class Denoising extends Model {
  readonly encoder: Sequential;
  readonly decoder: Sequential;
  readonly missing: number;

  constructor({ pixels, hidden, latent, missing }: Record<'pixels' | 'hidden' | 'latent' | 'missing', number>) {
    super();
    const { encoder, decoder } = mlpNetworks({ pixels, hidden, latent, codes: latent });
    this.encoder = encoder;
    this.decoder = decoder;
    this.missing = missing;
  }

  corrupt(images: Tensor, key: RandomKey): Tensor {
    return mul(images, greater(uniform(images.shape, key), this.missing));
  }

  /** Logits of the pixels of whole images: [batch, pixels]. */
  forward(corrupted: Tensor): Tensor {
    const code = scope('encoder', () => this.encoder.forward(corrupted));
    return scope('decoder', () => this.decoder.forward(code));
  }

  override terms({ images }: ImageBatch, key: RandomKey): Terms {
    const logits = this.forward(this.corrupt(images, key));
    return { loss: scope('loss', () => sum(bernoulliNll(logits, images), { axis: 1 })) };
  }
}

export const denoising = defineModel({
  name: 'denoising',
  options: { hidden, latent, missing: real('share of the pixels that are missing', 0.5, { max: 0.99 }) },
  withoutDensity: 'it mends images, and does not say how likely they are',
  create: (data, options) => new Denoising({ pixels: pixelsOf(data), ...options }),
  pictures(model, { images }, key) {
    const corrupted = model.corrupt(images, key);
    return {
      mended: {
        ...reconstructions(corrupted, sigmoid(model.forward(corrupted))),
        caption: 'test images with pixels missing, and below each what the model makes of it',
      },
    };
  },
  abilities: (model) => ({ reconstruct: (images) => sigmoid(model.forward(images)), toldClasses: 0 }),
});

// The variational autoencoder (Kingma and Welling, Auto-Encoding Variational Bayes, 2013), as a multilayer perceptron.
import { OptionError } from '../errors.ts';
import { zeros } from '../nn/init.ts';
import { Linear, ReLU, Sequential } from '../nn/layers.ts';
import { Parameter } from '../nn/module.ts';
import { bernoulliNll, gaussianKl, gaussianNll } from '../ops/composite.ts';
import { add, exp, mul, sigmoid } from '../ops/elementwise.ts';
import { normal, type RandomKey } from '../ops/random.ts';
import { sum } from '../ops/reduce.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, slice } from '../ops/view.ts';
import { type Batch, Model, type Terms } from './model.ts';

export type Likelihood = 'bernoulli' | 'gaussian';

export interface VAEOptions {
  /** Numbers in one image. */
  readonly pixels: number;
  /** Width of the hidden layers. */
  readonly hidden?: number;
  /** Size of the code z. */
  readonly latent?: number;
  /** Weight of the KL term (Higgins et al., beta-VAE, 2017). */
  readonly beta?: number;
  /** What an image is under the decoder: Bernoulli intensities, or Gaussian with one variance that is learned. */
  readonly likelihood?: Likelihood;
}

/** The parameters of q(z | x), [batch, latent] each. */
export interface Posterior {
  readonly mean: Tensor;
  readonly logvar: Tensor;
}

export interface ElboTerms extends Terms {
  /** reconstruction + β·kl */
  readonly loss: Tensor;
  /** −log p(x | z), nats per image */
  readonly reconstruction: Tensor;
  /** KL(q(z | x) ‖ p(z)), nats per image */
  readonly kl: Tensor;
}

export class VAE extends Model {
  readonly encoder: Sequential;
  readonly decoder: Sequential;
  /** Logarithm of the pixels' variance, for the Gaussian likelihood. */
  readonly logvar: Parameter | undefined;
  readonly latent: number;
  readonly beta: number;

  constructor({ pixels, hidden = 400, latent = 20, beta = 1, likelihood = 'bernoulli' }: VAEOptions) {
    super();
    for (const [name, value] of Object.entries({ pixels, hidden, latent })) {
      if (!Number.isInteger(value) || value < 1)
        throw new OptionError(`VAE: ${name} must be a positive integer, got ${value}`);
    }
    this.latent = latent;
    this.beta = beta;
    // Mean and logvar are the two halves of one product: one dispatch where two layers would be two.
    this.encoder = new Sequential(new Linear(pixels, hidden), new ReLU(), new Linear(hidden, 2 * latent));
    this.decoder = new Sequential(new Linear(latent, hidden), new ReLU(), new Linear(hidden, pixels));
    if (likelihood === 'gaussian') this.logvar = new Parameter([1], zeros);
  }

  /** q(z | x) of images [batch, pixels]. */
  encode(images: Tensor): Posterior {
    return scope('encoder', () => {
      const code = this.encoder.forward(images);
      return { mean: slice(code, 1, 0, this.latent), logvar: slice(code, 1, this.latent) };
    });
  }

  /** z = mean + exp(logvar / 2)·ε, through which gradients flow (Kingma and Welling, 2013, section 2.4). */
  reparameterize({ mean, logvar }: Posterior, noise: Tensor): Tensor {
    return scope('reparameterize', () => add(mean, mul(exp(mul(logvar, 0.5)), noise)));
  }

  /** What the decoder says of codes [batch, latent]: logits for Bernoulli pixels, means for Gaussian ones. */
  decodeRaw(z: Tensor): Tensor {
    return scope('decoder', () => this.decoder.forward(z));
  }

  /** The mean image of codes: [batch, pixels], intensities. */
  decode(z: Tensor): Tensor {
    const raw = this.decodeRaw(z);
    return this.logvar ? raw : sigmoid(raw);
  }

  /** Images of codes drawn from the prior. */
  sample(count: number, key: RandomKey): Tensor {
    return this.decode(normal([count, this.latent], key));
  }

  /** Images, through the mean of their code and back. */
  reconstruct(images: Tensor): Tensor {
    return this.decode(this.encode(images).mean);
  }

  /**
   * The evidence lower bound of each image, negated, with its two terms; one sample of z an image.
   *
   * @param noise standard normal, [batch, latent]
   */
  elbo(images: Tensor, noise: Tensor): ElboTerms {
    const posterior = this.encode(images);
    const raw = this.decodeRaw(this.reparameterize(posterior, noise));
    return scope('elbo', () => {
      const nll = this.logvar
        ? gaussianNll(raw, broadcastTo(this.logvar.tensor, raw.shape), images)
        : bernoulliNll(raw, images);
      const reconstruction = sum(nll, { axis: 1 });
      const kl = sum(gaussianKl(posterior.mean, posterior.logvar), { axis: 1 });
      return { loss: add(reconstruction, mul(kl, this.beta)), reconstruction, kl };
    });
  }

  override terms({ images }: Batch, key: RandomKey): ElboTerms {
    return this.elbo(images, normal([images.shape[0]!, this.latent], key));
  }
}

// The variational autoencoder (Kingma and Welling, Auto-Encoding Variational Bayes, 2013) and what is one change away:
// another weight of the KL term, a condition, and the importance-weighted bound.
import { OptionError } from '../errors.ts';
import { zeros } from '../nn/init.ts';
import type { Sequential } from '../nn/layers.ts';
import { Parameter } from '../nn/module.ts';
import { gaussianKl, gaussianNll } from '../ops/composite.ts';
import { add, exp, maximum, mul, type Operand, square, sub } from '../ops/elementwise.ts';
import { oneHot } from '../ops/gather.ts';
import { normal, type RandomKey } from '../ops/random.ts';
import { mean, sum } from '../ops/reduce.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, concat, reshape, slice } from '../ops/view.ts';
import {
  type ElboTerms,
  type ImportanceTerms,
  type LatentLayer,
  LatentModel,
  type LatentOptions,
  type Prepared,
} from './latent_model.ts';
import type { ImageBatch } from './model.ts';
import { checkSizes, mlpNetworks, type Networks } from './networks.ts';
import { OBSERVATIONS, type Observation } from './observation.ts';

export type Likelihood = keyof typeof OBSERVATIONS | 'gaussian';

export interface VAEOptions extends LatentOptions {
  /** Numbers in one image. */
  readonly pixels: number;
  /** Width of the hidden layers. */
  readonly hidden?: number;
  /** Size of the code z. */
  readonly latent?: number;
  /**
   * What a pixel is under the decoder: Bernoulli intensities, Gaussian with one variance that is learned, or one of 256 bytes: cut
   * from a logistic distribution or from a mixture of three, by a logit each, or beta-binomial. Only these are probabilities of grey images.
   */
  readonly likelihood?: Likelihood;
  /** Number of classes, if encoder and decoder are told an image's class (Sohn, Lee and Yan, 2015). */
  readonly classes?: number;
  /** Other networks than a multilayer perceptron each: the encoder gives 2 · latent numbers. */
  readonly networks?: Networks;
}

/** The parameters of q(z | x), [batch, latent] each. */
export interface Posterior {
  readonly mean: Tensor;
  readonly logvar: Tensor;
}

export interface ElboOptions {
  readonly labels?: Tensor | undefined;
  /** Weight of the KL term. */
  readonly beta?: Operand;
  /** See `VAEOptions`; none by default. */
  readonly freeBits?: number;
}

/** Numbers that a decoder gives for each pixel. */
export const outputsOf = (likelihood: Likelihood) =>
  likelihood === 'gaussian' ? 1 : OBSERVATIONS[likelihood].parameters;

const LOG_TWO_PI = Math.log(2 * Math.PI);

export class VAE extends LatentModel {
  readonly encoder: Sequential;
  readonly decoder: Sequential;
  /** Logarithm of the pixels' variance, for the Gaussian likelihood. */
  readonly logvar: Parameter | undefined;
  /** What the decoder's numbers say of the pixels; undefined for the Gaussian likelihood. */
  readonly observation: Observation | undefined;
  readonly latent: number;
  readonly classes: number;

  constructor(options: VAEOptions) {
    super(options);
    const { pixels, hidden = 400, latent = 20, likelihood = 'bernoulli', classes = 0, particles = 1 } = options;
    checkSizes('VAE', { pixels, hidden, latent, particles });
    this.latent = latent;
    this.classes = classes;
    // Mean and logvar are the two halves of one product: one dispatch where two layers would be two.
    const outputs = pixels * outputsOf(likelihood);
    const sizes = { pixels, outputs, hidden, latent, codes: 2 * latent, condition: classes };
    const { encoder, decoder } = options.networks ?? mlpNetworks(sizes);
    this.encoder = encoder;
    this.decoder = decoder;
    if (likelihood === 'gaussian') this.logvar = new Parameter([1], zeros);
    else this.observation = OBSERVATIONS[likelihood];
  }

  /** With the class beside it, where there is one. */
  private conditioned(x: Tensor, labels: Tensor | undefined): Tensor {
    if (this.classes === 0) return x;
    if (!labels) throw new OptionError('the model is told labels, and there are none');
    return concat([x, oneHot(labels, this.classes)], 1);
  }

  /** q(z | x) of images [batch, pixels]; of a conditional model, q(z | x, label), with labels u32 [batch]. */
  encode(images: Tensor, labels?: Tensor): Posterior {
    return scope('encoder', () => {
      const code = this.encoder.forward(this.conditioned(images, labels));
      return { mean: slice(code, 1, 0, this.latent), logvar: slice(code, 1, this.latent) };
    });
  }

  /** z = mean + exp(logvar / 2)·ε, through which gradients flow (Kingma and Welling, 2013, section 2.4). */
  reparameterize({ mean, logvar }: Posterior, noise: Tensor): Tensor {
    return scope('reparameterize', () => add(mean, mul(exp(mul(logvar, 0.5)), noise)));
  }

  /** What the decoder says of codes [batch, latent]: logits for Bernoulli pixels, means for Gaussian ones. */
  decodeRaw(z: Tensor, labels?: Tensor): Tensor {
    return scope('decoder', () => this.decoder.forward(this.conditioned(z, labels)));
  }

  /** The mean image of codes: [batch, pixels], intensities. */
  decode(z: Tensor, labels?: Tensor): Tensor {
    const raw = this.decodeRaw(z, labels);
    return this.observation ? this.observation.mean(raw) : raw;
  }

  /** Images of codes drawn from the prior. */
  override sample(count: number, key: RandomKey, labels?: Tensor): Tensor {
    return this.decode(normal([count, this.latent], key), labels);
  }

  /** Images, through the mean of their code and back. */
  reconstruct(images: Tensor, labels?: Tensor): Tensor {
    return this.decode(this.encode(images, labels).mean, labels);
  }

  /** −log p(x | z) of each image, from what the decoder says of it. */
  private negativeLogLikelihood(raw: Tensor, images: Tensor): Tensor {
    const { observation, logvar } = this;
    const nll = observation
      ? observation.nll(raw, images)
      : gaussianNll(raw, broadcastTo(logvar!.tensor, raw.shape), images);
    return sum(nll, { axis: 1 });
  }

  /**
   * The evidence lower bound of each image, negated, with its two terms; one sample of z an image.
   *
   * @param noise standard normal, [batch, latent]
   */
  elbo(images: Tensor, noise: Tensor, { labels, beta = this.klWeight(), freeBits = 0 }: ElboOptions = {}): ElboTerms {
    const posterior = this.encode(images, labels);
    const raw = this.decodeRaw(this.reparameterize(posterior, noise), labels);
    return scope('elbo', () => {
      const reconstruction = this.negativeLogLikelihood(raw, images);
      const each = gaussianKl(posterior.mean, posterior.logvar);
      const kl = sum(each, { axis: 1 });
      const charged = freeBits > 0 ? sum(maximum(mean(each, { axis: 0 }), freeBits)) : kl;
      return { loss: add(reconstruction, mul(charged, beta)), reconstruction, kl };
    });
  }

  get layers(): readonly LatentLayer[] {
    return [{ name: 'code', size: this.latent }];
  }

  /** The parameters of q(z | x): `encode` by another name. */
  override prepare(images: Tensor, labels?: Tensor): Prepared {
    return { ...this.encode(images, labels) };
  }

  override klOfEach({ mean, logvar }: Prepared): Tensor {
    return gaussianKl(mean!, logvar!);
  }

  override importance(images: Tensor, prepared: Prepared, noise: Tensor, labels?: Tensor): ImportanceTerms {
    const [k, batch, latent] = noise.shape as [number, number, number];
    const posterior = prepared as unknown as Posterior;
    const z = this.reparameterize(posterior, noise);
    const repeated = (x: Tensor) => reshape(broadcastTo(x, [k, ...x.shape]), [k * batch, ...x.shape.slice(1)]);
    const raw = this.decodeRaw(reshape(z, [k * batch, latent]), labels && repeated(labels));
    return scope('importance', () => {
      const reconstruction = reshape(this.negativeLogLikelihood(raw, repeated(images)), [k, batch]);
      const logPrior = mul(sum(add(square(z), LOG_TWO_PI), { axis: 2 }), -0.5);
      // (z − mean)² / var is the noise itself, squared.
      const logQ = mul(sum(add(add(square(noise), posterior.logvar), LOG_TWO_PI), { axis: 2 }), -0.5);
      return { reconstruction, divergence: sub(logQ, logPrior) };
    });
  }

  override terms({ images, labels }: ImageBatch, key: RandomKey, step?: Tensor): ElboTerms {
    const batch = images.shape[0]!;
    if (this.particles > 1)
      return this.importanceBound(images, normal([this.particles, batch, this.latent], key), labels);
    // A test is told what it is, without free bits.
    const freeBits = step ? this.freeBits : 0;
    return this.elbo(images, normal([batch, this.latent], key), { labels, beta: this.klWeight(step), freeBits });
  }
}

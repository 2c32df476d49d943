// VAEs whose code has several layers, each of which says where the next lies: what such models have in common, whichever way their
// networks go.
import { OptionError } from '../errors.ts';
import { add, exp, maximum, mul, square, sub } from '../ops/elementwise.ts';
import { normal, type RandomKey } from '../ops/random.ts';
import { mean, sum } from '../ops/reduce.ts';
import { constant } from '../ops/source.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, concat, reshape, slice } from '../ops/view.ts';
import {
  type ElboTerms,
  type ImportanceTerms,
  LatentModel,
  type LatentOptions,
  type Prepared,
  repeatedFor,
} from './latent_model.ts';
import type { ImageBatch } from './model.ts';
import { OBSERVATIONS, type Observation } from './observation.ts';

/** Independent normal distributions, f32 of one shape each. */
export interface Gaussian {
  readonly mean: Tensor;
  readonly logvar: Tensor;
}

/** What one layer of a code is drawn from, [rows, size] each. */
export interface DrawnLayer {
  /** q, given the image and the layers that were drawn before. */
  readonly posterior: Gaussian;
  /** p, given the layers above; standard normal where there is none. */
  readonly prior: Gaussian | undefined;
  readonly z: Tensor;
  /** (z − mean) / deviation of the posterior. */
  readonly noise: Tensor;
}

export interface Drawn {
  /** What the decoder says of the pixels, [rows, pixels · parameters]. */
  readonly raw: Tensor;
  /** As `LatentModel.layers`. */
  readonly layers: readonly DrawnLayer[];
}

export interface HierarchicalOptions extends LatentOptions {
  readonly likelihood?: keyof typeof OBSERVATIONS;
}

/** z = mean + exp(logvar / 2)·noise. */
export const drawFrom = ({ mean, logvar }: Gaussian, noise: Tensor): Tensor =>
  add(mean, mul(exp(mul(logvar, 0.5)), noise));

/** log q(z) − log p(z) of each number: the logarithms of 2π cancel. */
function sampledKl({ posterior, prior, z, noise }: DrawnLayer): Tensor {
  const fromPrior = prior ? mul(square(sub(z, prior.mean)), exp(mul(prior.logvar, -1))) : square(z);
  const under = prior ? add(fromPrior, prior.logvar) : fromPrior;
  return mul(sub(under, add(square(noise), posterior.logvar)), 0.5);
}

/** KL(q ‖ p) of each number, where p does not depend on what q draws. */
function exactKl({ posterior, prior }: DrawnLayer): Tensor {
  const { mean: m, logvar } = posterior;
  if (!prior) return mul(sub(add(square(m), exp(logvar)), add(logvar, 1)), 0.5);
  const ratio = sub(logvar, prior.logvar);
  const distance = mul(square(sub(m, prior.mean)), exp(mul(prior.logvar, -1)));
  return mul(sub(add(distance, exp(ratio)), add(ratio, 1)), 0.5);
}

export abstract class HierarchicalVAE extends LatentModel {
  readonly observation: Observation;
  readonly classes = 0;
  /** Whether each layer's prior is known before it is drawn, so that its KL term can be exact. */
  protected abstract readonly topDown: boolean;

  constructor({ likelihood = 'bernoulli', ...options }: HierarchicalOptions) {
    super(options);
    const observation = OBSERVATIONS[likelihood];
    if (!observation) throw new OptionError(`a hierarchical VAE has no ${likelihood} likelihood`);
    this.observation = observation;
  }

  /**
   * Draws the code of images, layer by layer, and says what it says of their pixels.
   *
   * @param prepared of the images, [rows, …] each
   * @param noise standard normal, one tensor a layer, [rows, size]
   */
  protected abstract draw(prepared: Prepared, noise: readonly Tensor[]): Drawn;

  /** What the decoder says of codes from the prior, from such noise. */
  protected abstract drawFromPrior(noise: readonly Tensor[]): Tensor;

  get latent(): number {
    return this.layers.reduce((total, { size }) => total + size, 0);
  }

  /** [rows, latent], layer by layer. */
  private noiseOf(noise: Tensor): Tensor[] {
    let at = 0;
    return this.layers.map(({ size }) => {
      at += size;
      return slice(noise, 1, at - size, at);
    });
  }

  private klOf(layers: readonly DrawnLayer[]): Tensor[] {
    const last = layers.length - 1;
    return layers.map((layer, i) => (this.topDown || i === last ? exactKl(layer) : sampledKl(layer)));
  }

  override klOfEach(prepared: Prepared, noise: Tensor): Tensor {
    return concat(this.klOf(this.draw(prepared, this.noiseOf(noise)).layers), 1);
  }

  override importance(images: Tensor, prepared: Prepared, noise: Tensor): ImportanceTerms {
    const [k, batch, latent] = noise.shape as [number, number, number];
    const all = Object.fromEntries(Object.entries(prepared).map(([name, x]) => [name, repeatedFor(k, x)]));
    const { raw, layers } = this.draw(all, this.noiseOf(reshape(noise, [k * batch, latent])));
    return scope('importance', () => {
      const nll = sum(this.observation.nll(raw, repeatedFor(k, images)), { axis: 1 });
      const divergences = layers.map((layer) => sum(sampledKl(layer), { axis: 1 }));
      const divergence = divergences.reduce((total, one) => add(total, one));
      return { reconstruction: reshape(nll, [k, batch]), divergence: reshape(divergence, [k, batch]) };
    });
  }

  /**
   * The evidence lower bound of each image, negated, with its two terms; one sample of z an image.
   *
   * @param noise standard normal, [batch, latent]
   */
  elbo(images: Tensor, noise: Tensor, { beta = this.klWeight(), freeBits = 0 } = {}): ElboTerms {
    const { raw, layers } = this.draw(this.prepare(images), this.noiseOf(noise));
    return scope('elbo', () => {
      const reconstruction = sum(this.observation.nll(raw, images), { axis: 1 });
      const each = concat(this.klOf(layers), 1);
      const kl = sum(each, { axis: 1 });
      const charged = freeBits > 0 ? sum(maximum(mean(each, { axis: 0 }), freeBits)) : kl;
      return { loss: add(reconstruction, mul(charged, beta)), reconstruction, kl };
    });
  }

  override terms({ images }: ImageBatch, key: RandomKey, step?: Tensor): ElboTerms {
    const batch = images.shape[0]!;
    if (this.particles > 1) return this.importanceBound(images, normal([this.particles, batch, this.latent], key));
    // A test is told what it is, without free bits.
    const freeBits = step ? this.freeBits : 0;
    return this.elbo(images, normal([batch, this.latent], key), { beta: this.klWeight(step), freeBits });
  }

  override sample(count: number, key: RandomKey): Tensor {
    return this.observation.mean(this.drawFromPrior(this.noiseOf(normal([count, this.latent], key))));
  }

  /** Images, through the mean of each layer given the means before it, and back. */
  reconstruct(images: Tensor): Tensor {
    const noise = this.layers.map(({ size }) => broadcastTo(constant(0), [images.shape[0]!, size]));
    return this.observation.mean(this.draw(this.prepare(images), noise).raw);
  }
}

// Models of images with a code z: what training and estimates of likelihood need of them, however many layers the code has.
import { ModuleBuffer } from '../nn/module.ts';
import { add, minimum, mul, type Operand, sub, toF32 } from '../ops/elementwise.ts';
import type { RandomKey } from '../ops/random.ts';
import { logsumexp, mean } from '../ops/reduce.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, reshape, slice } from '../ops/view.ts';
import { Model, type Terms } from './model.ts';

export interface ElboTerms extends Terms {
  /** reconstruction + β·kl, or the importance-weighted bound; negative, to be minimised */
  readonly loss: Tensor;
  /** −log p(x | z), nats per image */
  readonly reconstruction: Tensor;
  /** KL(q(z | x) ‖ p(z)), nats per image */
  readonly kl: Tensor;
}

/** The parts of an importance weight, of k samples an image: [k, batch] each. */
export interface ImportanceTerms {
  /** −log p(x | z) */
  readonly reconstruction: Tensor;
  /** log q(z | x) − log p(z) */
  readonly divergence: Tensor;
}

/** What of images is the same for all samples of their codes, by name: [batch, …] each. */
export type Prepared = Readonly<Record<string, Tensor>>;

/** Numbers of the code that belong together. */
export interface LatentLayer {
  readonly name: string;
  readonly size: number;
}

export interface LatentOptions {
  /** Weight of the KL term (Higgins et al., beta-VAE, 2017). */
  readonly beta?: number;
  /** Steps in which that weight rises from 0 (Bowman et al., 2015); 0 for none. */
  readonly warmup?: number;
  /**
   * Nats of each number of the code that cost nothing: its KL term, averaged over the batch, counts from there on
   * (Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016, equation 15). 0 by default.
   */
  readonly freeBits?: number;
  /** Samples of z an image; more than one makes the bound tighter (Burda, Grosse and Salakhutdinov, 2015). */
  readonly particles?: number;
}

/** For k samples an image: [batch, …] as [k · batch, …]. */
export function repeatedFor(k: number, x: Tensor): Tensor {
  return k === 1 ? x : reshape(broadcastTo(x, [k, ...x.shape]), [k * x.shape[0]!, ...x.shape.slice(1)]);
}

export abstract class LatentModel extends Model {
  readonly beta: number;
  readonly warmup: number;
  readonly particles: number;
  readonly freeBits: number;
  /** β and its rise a step, on the GPU, so that others are the same program; none where β is 1 from the beginning. */
  private readonly weight: ModuleBuffer | undefined;
  /** Numbers in a code, of all layers together. */
  abstract readonly latent: number;
  /** Classes of which it is told one; 0 for none. */
  abstract readonly classes: number;

  constructor({ beta = 1, warmup = 0, freeBits = 0, particles = 1 }: LatentOptions) {
    super();
    this.beta = beta;
    this.warmup = warmup;
    this.freeBits = freeBits;
    this.particles = particles;
    if (beta !== 1 || warmup > 0) {
      const rise = warmup > 0 ? 1 / warmup : 0;
      this.weight = new ModuleBuffer([2], () => Float32Array.of(beta, rise), { persistent: false });
    }
  }

  /** From the one that is nearest to the images on; their numbers lie in this order in `noise`. */
  abstract get layers(): readonly LatentLayer[];

  /** What of images [batch, pixels] is the same for all samples of their codes. */
  abstract prepare(images: Tensor, labels?: Tensor): Prepared;

  /**
   * What makes the importance weight p(x, z) / q(z | x) of samples of z, [k, batch] each: the weight's logarithm is
   * minus the sum of both.
   *
   * @param prepared of the same images
   * @param noise standard normal, [k, batch, latent]
   */
  abstract importance(images: Tensor, prepared: Prepared, noise: Tensor, labels?: Tensor): ImportanceTerms;

  /**
   * The KL term of each number of the code, given those that it depends on: [batch, latent]. Exact where it can be, else
   * log q − log p of one sample, whose mean it is.
   *
   * @param noise standard normal, [batch, latent]
   */
  abstract klOfEach(prepared: Prepared, noise: Tensor): Tensor;

  /** Images of codes drawn from the prior. */
  abstract sample(count: number, key: RandomKey): Tensor;

  /**
   * −log of the mean importance weight of k samples: an upper bound of −log p(x) that falls with k. Beside it the means
   * of its parts over the samples.
   *
   * @param noise standard normal, [k, batch, latent]
   */
  importanceBound(images: Tensor, noise: Tensor, labels?: Tensor): ElboTerms {
    const { reconstruction, divergence } = this.importance(images, this.prepare(images, labels), noise, labels);
    return scope('importance', () => {
      const loss = sub(Math.log(noise.shape[0]!), logsumexp(mul(add(reconstruction, divergence), -1), { axis: 0 }));
      return { loss, reconstruction: mean(reconstruction, { axis: 0 }), kl: mean(divergence, { axis: 0 }) };
    });
  }

  /** The weight of the KL term, at a step of the training or after its rise. */
  protected klWeight(step?: Tensor): Operand {
    if (!this.weight) return this.beta;
    const [beta, rise] = [0, 1].map((i) => reshape(slice(this.weight!.tensor, 0, i, i + 1), []));
    return step && this.warmup > 0 ? mul(minimum(mul(add(toF32(step), 1), rise!), 1), beta!) : beta!;
  }
}

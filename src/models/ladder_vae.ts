// The ladder VAE: of the form of `deep_vae.ts` from the top of the code down, while its encoder also comes down. What the network says of
// an image at each layer is weighed with what the layers above say of it, each by how sure it is
// (Sønderby, Raiko, Maaløe, Sønderby and Winther, Ladder Variational Autoencoders, 2016, equations 13 to 17).
import { type Initialiser, xavierUniform, zeros } from '../nn/init.ts';
import { Linear, Sequential, Tanh } from '../nn/layers.ts';
import { add, mul, sigmoid, softplus, sub } from '../ops/elementwise.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { slice } from '../ops/view.ts';
import {
  type Drawn,
  type DrawnLayer,
  drawFrom,
  type Gaussian,
  type HierarchicalOptions,
  HierarchicalVAE,
} from './hierarchical.ts';
import type { LatentLayer, Prepared } from './latent_model.ts';
import { checkSizes, tanhLayers } from './networks.ts';
import { outputsOf } from './vae.ts';

export interface LadderVAEOptions extends HierarchicalOptions {
  /** Numbers in one image. */
  readonly pixels: number;
  /** Numbers of each layer of the code, from the one that is nearest to the image on. */
  readonly latents: readonly number[];
  /** Width of the two hidden layers of tanh of each network, in the same order. */
  readonly hidden: readonly number[];
  /** What is said of the pixels at first. */
  readonly bias?: Initialiser;
}

/** [rows, 2·size] as means and log-variances. */
const halves = (code: Tensor): Gaussian => {
  const size = code.shape[1]! / 2;
  return { mean: slice(code, 1, 0, size), logvar: slice(code, 1, size) };
};

/** The product of two normal densities, normalised: its precision is the sum of theirs. */
function weighed(seen: Gaussian, prior: Gaussian): Gaussian {
  const surer = sub(prior.logvar, seen.logvar);
  return {
    mean: add(prior.mean, mul(sigmoid(surer), sub(seen.mean, prior.mean))),
    logvar: sub(prior.logvar, softplus(surer)),
  };
}

export class LadderVAE extends HierarchicalVAE {
  /** From the image or the features of the layer below to the features of a layer. */
  readonly encoders: readonly Sequential[];
  /** From the features of a layer to what they say of its numbers. */
  readonly heads: readonly Linear[];
  /** From a layer to the one below or to the image. */
  readonly decoders: readonly Sequential[];
  private readonly latents: readonly number[];
  protected readonly topDown = true;

  constructor({ pixels, latents, hidden, bias = zeros, ...options }: LadderVAEOptions) {
    super(options);
    const sizes = Object.fromEntries([...latents, ...hidden].map((size, i) => [`width ${i}`, size]));
    checkSizes('LadderVAE', { pixels, ...sizes });
    this.latents = latents;
    const outputs = pixels * outputsOf(options.likelihood ?? 'bernoulli');
    this.encoders = hidden.map((width, i) => {
      return new Sequential(...tanhLayers([hidden[i - 1] ?? pixels, width, width]), new Tanh());
    });
    this.heads = latents.map((size, i) => new Linear(hidden[i]!, 2 * size, { weight: xavierUniform, bias: zeros }));
    this.decoders = latents.map((size, i) => {
      const width = hidden[i]!;
      const below = latents[i - 1];
      return new Sequential(...tanhLayers([size, width, width, below ? 2 * below : outputs], below ? zeros : bias));
    });
  }

  get layers(): readonly LatentLayer[] {
    return this.latents.map((size, i) => ({ name: `layer ${i + 1}`, size }));
  }

  private decode(i: number, z: Tensor): Tensor {
    return scope(`decoders.${i}`, () => this.decoders[i]!.forward(z));
  }

  /** What the image says of each layer, by its number, [rows, 2·size]. */
  override prepare(images: Tensor): Prepared {
    let features = images;
    const said = this.latents.map((_, i) => {
      features = scope(`encoders.${i}`, () => this.encoders[i]!.forward(features));
      return [String(i), scope(`heads.${i}`, () => this.heads[i]!.forward(features))];
    });
    return Object.fromEntries(said);
  }

  private descend(prepared: Prepared | undefined, noise: readonly Tensor[]): Drawn {
    const layers: DrawnLayer[] = [];
    let prior: Gaussian | undefined;
    for (let i = noise.length - 1; i >= 0; i--) {
      const seen = prepared && halves(prepared[i]!);
      const posterior = seen && prior ? weighed(seen, prior) : (seen ?? prior);
      const z = posterior ? drawFrom(posterior, noise[i]!) : noise[i]!;
      if (posterior) layers.unshift({ posterior, prior, z, noise: noise[i]! });
      const said = this.decode(i, z);
      if (i === 0) return { raw: said, layers };
      prior = halves(said);
    }
    throw new Error('a ladder has a layer at least');
  }

  protected override draw(prepared: Prepared, noise: readonly Tensor[]): Drawn {
    return this.descend(prepared, noise);
  }

  protected override drawFromPrior(noise: readonly Tensor[]): Tensor {
    return this.descend(undefined, noise).raw;
  }
}

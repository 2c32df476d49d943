// The ladder VAE: of the form of `deep_vae.ts` from the top of the code down, while its encoder also comes down. What the network says of
// an image at each layer is weighed with what the layers above say of it, each by how sure it is
// (Sønderby, Raiko, Maaløe, Sønderby and Winther, Ladder Variational Autoencoders, 2016, equations 13 to 17).
import { xavierUniform, zeros } from '../nn/init.ts';
import { Linear, Sequential, Tanh } from '../nn/layers.ts';
import { add, mul, sigmoid, softplus, sub } from '../ops/elementwise.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { ChainVAE, checkDeep, type DeepVAEOptions, decodersOf, halves } from './deep_vae.ts';
import { type Drawn, type DrawnLayer, drawFrom, type Gaussian } from './hierarchical.ts';
import type { Prepared } from './latent_model.ts';
import { tanhLayers } from './networks.ts';

/** The product of two normal densities, normalised: its precision is the sum of theirs. */
function weighed(seen: Gaussian, prior: Gaussian): Gaussian {
  const surer = sub(prior.logvar, seen.logvar);
  return {
    mean: add(prior.mean, mul(sigmoid(surer), sub(seen.mean, prior.mean))),
    logvar: sub(prior.logvar, softplus(surer)),
  };
}

export class LadderVAE extends ChainVAE {
  /** From the image or the features of the layer below to the features of a layer. */
  readonly encoders: readonly Sequential[];
  /** From the features of a layer to what they say of its numbers. */
  readonly heads: readonly Linear[];
  /** From a layer to the one below or to the image. */
  readonly decoders: readonly Sequential[];
  protected readonly latents: readonly number[];
  protected readonly topDown = true;

  constructor(options: DeepVAEOptions) {
    super(options);
    checkDeep('LadderVAE', options);
    const { pixels, latents, hidden } = options;
    this.latents = latents;
    this.encoders = latents.map((_, i) => {
      const width = hidden[i]!;
      return new Sequential(...tanhLayers([hidden[i - 1] ?? pixels, width, width]), new Tanh());
    });
    this.heads = latents.map((size, i) => new Linear(hidden[i]!, 2 * size, { weight: xavierUniform, bias: zeros }));
    this.decoders = decodersOf(options);
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

  protected override draw(prepared: Prepared, noise: readonly Tensor[]): Drawn {
    const layers: DrawnLayer[] = [];
    let said: Tensor | undefined;
    for (let i = noise.length - 1; i >= 0; i--) {
      const seen = halves(prepared[i]!);
      const prior = said && halves(said);
      const posterior = prior ? weighed(seen, prior) : seen;
      const z = drawFrom(posterior, noise[i]!);
      layers.unshift({ posterior, prior, z, noise: noise[i]! });
      said = this.decode(i, z);
    }
    return { raw: said!, layers };
  }
}

// The VAE of several stochastic layers whose encoder goes up as its decoder comes down: q(z₁ | x)·q(z₂ | z₁)…, and p(x | z₁)·p(z₁ | z₂)…
// (Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, section 2 and, for the widths, section 5).
import { type Initialiser, zeros } from '../nn/init.ts';
import { Sequential } from '../nn/layers.ts';
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

export interface DeepVAEOptions extends HierarchicalOptions {
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
export const halves = (code: Tensor): Gaussian => {
  const size = code.shape[1]! / 2;
  return { mean: slice(code, 1, 0, size), logvar: slice(code, 1, size) };
};

/** From each layer to the one below or to the image. */
export function decodersOf({
  pixels,
  latents,
  hidden,
  bias = zeros,
  likelihood = 'bernoulli',
}: DeepVAEOptions): Sequential[] {
  return latents.map((size, i) => {
    const width = hidden[i]!;
    const below = latents[i - 1];
    const outputs = below ? 2 * below : pixels * outputsOf(likelihood);
    return new Sequential(...tanhLayers([size, width, width, outputs], below ? zeros : bias));
  });
}

export function checkDeep(name: string, { pixels, latents, hidden }: DeepVAEOptions): void {
  const sizes = Object.fromEntries([...latents, ...hidden].map((size, i) => [`width ${i}`, size]));
  checkSizes(name, { pixels, ...sizes });
}

/** A VAE whose decoders go from each layer to the one below. */
export abstract class ChainVAE extends HierarchicalVAE {
  abstract readonly decoders: readonly Sequential[];
  protected abstract readonly latents: readonly number[];

  get layers(): readonly LatentLayer[] {
    return this.latents.map((size, i) => ({ name: `layer ${i + 1}`, size }));
  }

  protected decode(i: number, z: Tensor): Tensor {
    return scope(`decoders.${i}`, () => this.decoders[i]!.forward(z));
  }

  protected override drawFromPrior(noise: readonly Tensor[]): Tensor {
    let z = noise.at(-1)!;
    for (let i = noise.length - 1; i > 0; i--) z = drawFrom(halves(this.decode(i, z)), noise[i - 1]!);
    return this.decode(0, z);
  }
}

export class DeepVAE extends ChainVAE {
  /** From the image or the layer below to a layer. */
  readonly encoders: readonly Sequential[];
  /** From a layer to the one below or to the image. */
  readonly decoders: readonly Sequential[];
  protected readonly latents: readonly number[];
  protected readonly topDown = false;

  constructor(options: DeepVAEOptions) {
    super(options);
    checkDeep('DeepVAE', options);
    const { pixels, latents, hidden } = options;
    this.latents = latents;
    this.encoders = latents.map((size, i) => {
      const width = hidden[i]!;
      return new Sequential(...tanhLayers([latents[i - 1] ?? pixels, width, width, 2 * size]));
    });
    this.decoders = decodersOf(options);
  }

  private encode(i: number, x: Tensor): Gaussian {
    return scope(`encoders.${i}`, () => halves(this.encoders[i]!.forward(x)));
  }

  override prepare(images: Tensor): Prepared {
    return { ...this.encode(0, images) };
  }

  protected override draw(prepared: Prepared, noise: readonly Tensor[]): Drawn {
    const drawn: DrawnLayer[] = [];
    let posterior = prepared as unknown as Gaussian;
    for (const [i, one] of noise.entries()) {
      if (i > 0) posterior = this.encode(i, drawn[i - 1]!.z);
      drawn.push({ posterior, prior: undefined, z: drawFrom(posterior, one), noise: one });
    }
    const layers = drawn.map((layer, i) => {
      const above = drawn[i + 1];
      return above ? { ...layer, prior: halves(this.decode(i + 1, above.z)) } : layer;
    });
    return { raw: this.decode(0, drawn[0]!.z), layers };
  }
}

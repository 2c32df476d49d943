// A hierarchical VAE of convolutions. The encoder goes up from the image and leaves what it saw at three sizes: half, a quarter, and
// one position. The decoder comes down from a constant, and draws a layer of the code at each step, from where the layers above say
// it lies (the prior) and, in encoding, from what the encoder saw there as well (the posterior). Of the family of the ladder VAE
// (Sønderby et al., 2016), NVAE (Vahdat and Kautz, 2020) and very deep VAEs (Child, 2021), whose form of the steps this has.
import { OptionError } from '../errors.ts';
import { Conv2d, type Conv2dOptions } from '../nn/conv.ts';
import { normal, zeros } from '../nn/init.ts';
import { Layer } from '../nn/layers.ts';
import { Module, Parameter } from '../nn/module.ts';
import { add, mul, relu, sub, tanh } from '../ops/elementwise.ts';
import { upsample2d } from '../ops/pool.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, concat, reshape, slice, transpose } from '../ops/view.ts';
import {
  type Drawn,
  type DrawnLayer,
  drawFrom,
  type Gaussian,
  type HierarchicalOptions,
  HierarchicalVAE,
} from './hierarchical.ts';
import type { LatentLayer, Prepared } from './latent_model.ts';
import { checkSizes, type ImageShape } from './networks.ts';
import { outputsOf } from './vae.ts';

export interface HvaeOptions extends HierarchicalOptions {
  readonly shape: ImageShape;
  /** Layers of the code, shared out over the three sizes, the smaller first. */
  readonly layers?: number;
  /** Channels of the features. */
  readonly width?: number;
  /** Channels of the code at each position of a layer; at the single position, eight times as many. */
  readonly latent?: number;
}

/** Where a logarithm of a variance may lie; the nearer to these, the slower it moves. */
const MOST_LOGVAR = 6;
const bounded = (x: Tensor) => mul(tanh(mul(x, 1 / MOST_LOGVAR)), MOST_LOGVAR);
/** At the single position a layer has so many times the channels. */
const GLOBAL = 8;

/** A convolution that keeps the size: 3 × 3, or 1 × 1 where there is one position. */
const same = (inputs: number, outputs: number, kernel: number, options: Conv2dOptions = {}) =>
  new Conv2d(inputs, outputs, kernel, { padding: (kernel - 1) / 2, ...options });

/** x + f(x), which is x at first. */
class Residual extends Layer {
  readonly inner: Conv2d;
  readonly outer: Conv2d;

  constructor(width: number, kernel: number) {
    super();
    this.inner = same(width, width, kernel);
    this.outer = same(width, width, 1, { weight: zeros });
  }

  override forward(x: Tensor): Tensor {
    const hidden = scope('inner', () => relu(this.inner.forward(relu(x))));
    return add(
      x,
      scope('outer', () => this.outer.forward(hidden)),
    );
  }
}

/** Two convolutions whose result is 0 at first. */
class Head extends Layer {
  readonly inner: Conv2d;
  readonly outer: Conv2d;

  constructor(inputs: number, width: number, outputs: number, kernel: number) {
    super();
    this.inner = same(inputs, width, kernel);
    this.outer = same(width, outputs, 1, { weight: zeros });
  }

  override forward(x: Tensor): Tensor {
    const hidden = scope('inner', () => relu(this.inner.forward(relu(x))));
    return scope('outer', () => this.outer.forward(hidden));
  }
}

interface Stage {
  readonly name: string;
  readonly height: number;
  readonly width: number;
  readonly kernel: number;
  readonly latent: number;
  readonly layers: number;
}

/** One step of the decoder: a layer of the code. */
class Step extends Module {
  readonly stage: Stage;
  readonly prior: Head;
  readonly posterior: Head;
  readonly spread: Conv2d;
  readonly after: Residual;

  constructor(stage: Stage, width: number) {
    super();
    const { kernel, latent } = stage;
    this.stage = stage;
    this.prior = new Head(width, width, 2 * latent + width, kernel);
    this.posterior = new Head(2 * width, width, 2 * latent, kernel);
    this.spread = same(latent, width, 1);
    this.after = new Residual(width, kernel);
  }

  /**
   * @param state of the decoder, [rows, width, height, width]
   * @param seen by the encoder at this size; without, the layer is drawn from the prior
   * @param noise [rows, size]
   */
  forward(state: Tensor, seen: Tensor | undefined, noise: Tensor): { state: Tensor; layer: DrawnLayer } {
    const { latent, height, width } = this.stage;
    const rows = state.shape[0]!;
    const flat = (x: Tensor) => reshape(x, [rows, x.size / rows]);
    const said = scope('prior', () => this.prior.forward(state));
    const prior: Gaussian = {
      mean: flat(slice(said, 1, 0, latent)),
      logvar: flat(bounded(slice(said, 1, latent, 2 * latent))),
    };
    const posterior = seen
      ? scope('posterior', () => {
          const change = this.posterior.forward(concat([state, seen], 1));
          return {
            mean: add(prior.mean, flat(slice(change, 1, 0, latent))),
            logvar: add(prior.logvar, flat(bounded(slice(change, 1, latent)))),
          };
        })
      : prior;
    const z = drawFrom(posterior, noise);
    const told = scope('spread', () => this.spread.forward(reshape(z, [rows, latent, height, width])));
    const next = add(add(state, slice(said, 1, 2 * latent)), told);
    return { state: scope('after', () => this.after.forward(next)), layer: { posterior, prior, z, noise } };
  }
}

/** What is at two by two pixels, as channels of one position: [rows, height·width·channels] to [rows, 4·channels, height/2, width/2]. */
function toBlocks(images: Tensor, { height, width, channels }: ImageShape): Tensor {
  const rows = images.shape[0]!;
  const cut = reshape(images, [rows, height / 2, 2, width / 2, 2, channels]);
  return reshape(transpose(cut, [0, 2, 4, 5, 1, 3]), [rows, 4 * channels, height / 2, width / 2]);
}

/** And back, for so many numbers of each pixel: [rows, 4·channels·parts, height/2, width/2] to [rows, parts·height·width·channels]. */
function fromBlocks(blocks: Tensor, { height, width, channels }: ImageShape): Tensor {
  const rows = blocks.shape[0]!;
  const parts = blocks.shape[1]! / (4 * channels);
  const cut = reshape(blocks, [rows, parts, 2, 2, channels, height / 2, width / 2]);
  return reshape(transpose(cut, [0, 1, 5, 2, 6, 3, 4]), [rows, parts * height * width * channels]);
}

export class Hvae extends HierarchicalVAE {
  readonly shape: ImageShape;
  protected readonly topDown = true;
  /** Of the image's blocks. */
  readonly stem: Conv2d;
  readonly half: Residual;
  readonly down: Conv2d;
  readonly quarter: Residual;
  readonly collect: Conv2d;
  /** What the decoder begins with. */
  readonly start: Parameter;
  /** What tells the positions of the quarter apart. */
  readonly places: Parameter;
  readonly steps: readonly Step[];
  /** What is said of the image's blocks. */
  readonly end: Conv2d;

  constructor({ shape, layers = 6, width = 32, latent = 4, likelihood = 'bernoulli', ...options }: HvaeOptions) {
    super({ likelihood, ...options });
    checkSizes('Hvae', { layers, width, latent });
    const { channels } = shape;
    if (layers < 3) throw new OptionError(`Hvae: layers must be at least 3, one for each size; got ${layers}`);
    if (shape.height % 4 || shape.width % 4) {
      const size = `${shape.height} × ${shape.width}`;
      throw new OptionError(`Hvae wants images whose sides are multiples of 4, got ${size}: resize them`);
    }
    this.shape = shape;
    const [height, across] = [shape.height / 4, shape.width / 4];
    const share = (i: number) => Math.floor((layers + 2 - i) / 3);
    const stages: Stage[] = [
      { name: 'single', height: 1, width: 1, kernel: 1, latent: GLOBAL * latent, layers: share(0) },
      { name: 'quarter', height, width: across, kernel: 3, latent, layers: share(1) },
      { name: 'half', height: 2 * height, width: 2 * across, kernel: 3, latent, layers: share(2) },
    ];
    this.stem = same(4 * channels, width, 3);
    this.half = new Residual(width, 3);
    this.down = new Conv2d(width, width, 3, { stride: 2, padding: 1 });
    this.quarter = new Residual(width, 3);
    this.collect = new Conv2d(width, width, [height, across]);
    this.start = new Parameter([1, width, 1, 1], normal(0.5));
    this.places = new Parameter([1, width, height, across], normal(0.5));
    this.steps = stages.flatMap((stage) => Array.from({ length: stage.layers }, () => new Step(stage, width)));
    this.end = same(width, 4 * channels * outputsOf(likelihood), 3);
  }

  /** From the last that is drawn on, which is the nearest to the image. */
  get layers(): readonly LatentLayer[] {
    return this.steps
      .map(({ stage: { height, width, latent } }) => ({
        name: `${height}×${width}×${latent}`,
        size: height * width * latent,
      }))
      .reverse();
  }

  override prepare(images: Tensor): Prepared {
    const blocks = toBlocks(sub(mul(images, 2), 1), this.shape);
    const half = scope('half', () => this.half.forward(scope('stem', () => this.stem.forward(blocks))));
    const less = scope('down', () => this.down.forward(relu(half)));
    const quarter = scope('quarter', () => this.quarter.forward(less));
    return { half, quarter, single: scope('collect', () => this.collect.forward(relu(quarter))) };
  }

  private descend(seen: Prepared | undefined, noise: readonly Tensor[]): Drawn {
    const rows = noise[0]!.shape[0]!;
    const { steps, start, places } = this;
    let state = broadcastTo(start.tensor, [rows, ...start.shape.slice(1)]);
    const layers: DrawnLayer[] = [];
    for (const [i, step] of steps.entries()) {
      const before = steps[i - 1]?.stage;
      if (before && before.name !== step.stage.name) {
        const scale: [number, number] = [step.stage.height / before.height, step.stage.width / before.width];
        state = upsample2d(state, scale, 'nearest');
        if (before.name === 'single') state = add(state, places.tensor);
      }
      const made = scope(`steps.${i}`, () => step.forward(state, seen?.[step.stage.name], noise.at(-1 - i)!));
      state = made.state;
      layers.unshift(made.layer);
    }
    const raw = scope('end', () => this.end.forward(relu(state)));
    return { raw: fromBlocks(raw, this.shape), layers };
  }

  protected override draw(prepared: Prepared, noise: readonly Tensor[]): Drawn {
    return this.descend(prepared, noise);
  }

  protected override drawFromPrior(noise: readonly Tensor[]): Tensor {
    return this.descend(undefined, noise).raw;
  }
}

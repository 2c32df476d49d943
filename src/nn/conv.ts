// Convolutional layers and changes of shape, under PyTorch's names; images are [N, C, H, W].
import { OptionError, ShapeError } from '../errors.ts';
import { both, type ConvOptions, conv2d, convTranspose2d } from '../ops/conv.ts';
import { add } from '../ops/elementwise.ts';
import type { Pair } from '../ops/patches.ts';
import { type Shape, show, sizeOf, type Tensor } from '../ops/tensor.ts';
import { reshape } from '../ops/view.ts';
import { type Initialiser, kaimingUniform, uniform, zeros } from './init.ts';
import { Layer } from './layers.ts';
import { Parameter } from './module.ts';

export interface Conv2dOptions extends ConvOptions {
  readonly bias?: boolean;
  /** What the weight is at first; the bias is 0 then. */
  readonly weight?: Initialiser;
}

export interface ConvTranspose2dOptions extends Conv2dOptions {
  readonly outputPadding?: number | Pair;
}

function checkChannels(name: string, groups: number, ...channels: number[]): void {
  if (channels.every((count) => Number.isInteger(count) && count >= 1 && count % groups === 0)) return;
  throw new OptionError(`${name}: channels ${channels.join(' and ')} must be whole multiples of groups ${groups}`);
}

/** Weight and bias uniform in ±1/√fan-in at first, as in PyTorch, which for both layers takes the weight's second axis. */
abstract class Convolution extends Layer {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(weight: Shape, outChannels: number, bias: boolean, initialise: Initialiser | undefined) {
    super();
    this.weight = new Parameter(weight, initialise ?? kaimingUniform());
    const first = initialise ? zeros : uniform(1 / Math.sqrt(sizeOf(weight.slice(1))));
    if (bias) this.bias = new Parameter([outChannels], first);
  }

  protected withBias(y: Tensor): Tensor {
    return this.bias ? add(y, reshape(this.bias.tensor, [y.shape[1]!, 1, 1])) : y;
  }
}

/** Cross-correlation: weight [out, in / groups, KH, KW], bias [out]. */
export class Conv2d extends Convolution {
  private readonly options: ConvOptions;

  constructor(inChannels: number, outChannels: number, kernel: number | Pair, options: Conv2dOptions = {}) {
    const { bias = true, weight, ...rest } = options;
    const { groups = 1 } = rest;
    checkChannels('Conv2d', groups, inChannels, outChannels);
    super([outChannels, inChannels / groups, ...both(kernel)], outChannels, bias, weight);
    this.options = rest;
  }

  override forward(x: Tensor): Tensor {
    return this.withBias(conv2d(x, this.weight.tensor, this.options));
  }
}

/** The transpose of a convolution: weight [in, out / groups, KH, KW], bias [out]. */
export class ConvTranspose2d extends Convolution {
  private readonly options: ConvOptions & { readonly outputPadding?: number | Pair };

  constructor(inChannels: number, outChannels: number, kernel: number | Pair, options: ConvTranspose2dOptions = {}) {
    const { bias = true, weight, ...rest } = options;
    const { groups = 1 } = rest;
    checkChannels('ConvTranspose2d', groups, inChannels, outChannels);
    super([inChannels, outChannels / groups, ...both(kernel)], outChannels, bias, weight);
    this.options = rest;
  }

  override forward(x: Tensor): Tensor {
    return this.withBias(convTranspose2d(x, this.weight.tensor, this.options));
  }
}

/** All axes but the first become one. */
export class Flatten extends Layer {
  override forward(x: Tensor): Tensor {
    return reshape(x, [x.shape[0]!, x.size / x.shape[0]!]);
  }
}

/** The last axis becomes several. */
export class Unflatten extends Layer {
  readonly shape: Shape;

  constructor(shape: Shape) {
    super();
    this.shape = shape;
  }

  override forward(x: Tensor): Tensor {
    if (x.shape.at(-1) !== sizeOf(this.shape)) {
      throw new ShapeError(
        `Unflatten to ${show(this.shape)} got ${show(x.shape)}: its last axis must be ${sizeOf(this.shape)}`,
      );
    }
    return reshape(x, [...x.shape.slice(0, -1), ...this.shape]);
  }
}

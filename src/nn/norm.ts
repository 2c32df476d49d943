// Normalising layers, under PyTorch's names.
import { OptionError, ShapeError } from '../errors.ts';
import { add, mul, rsqrt, sub } from '../ops/elementwise.ts';
import { affine, groupNorm, layerNorm, moments, normalize, perChannel } from '../ops/norm.ts';
import { type Shape, show, type Tensor } from '../ops/tensor.ts';
import { reshape, stopGradient } from '../ops/view.ts';
import { ones, zeros } from './init.ts';
import { Layer } from './layers.ts';
import { ModuleBuffer, Parameter } from './module.ts';
import { isTraining, noteUpdate } from './training.ts';

const fill = (value: number) => (shape: Shape) => new Float32Array(shape[0]!).fill(value);

export interface BatchNormOptions {
  readonly epsilon?: number;
  /** What of the batch's statistics enters the running ones each step. */
  readonly momentum?: number;
  /** Whether a scale and a shift are learned. */
  readonly affine?: boolean;
}

/**
 * Mean 0 and variance 1 of each channel of images [N, C, H, W] (Ioffe and Szegedy, 2015): over the batch in training, by the
 * running statistics in evaluation (see `inTraining`). Weight and bias [C]; buffers running_mean and running_var.
 */
export class BatchNorm2d extends Layer {
  readonly weight: Parameter | undefined;
  readonly bias: Parameter | undefined;
  readonly running_mean: ModuleBuffer;
  readonly running_var: ModuleBuffer;
  private readonly epsilon: number;
  private readonly momentum: number;

  constructor(channels: number, { epsilon = 1e-5, momentum = 0.1, affine = true }: BatchNormOptions = {}) {
    super();
    if (affine) {
      this.weight = new Parameter([channels], ones);
      this.bias = new Parameter([channels], zeros);
    }
    this.running_mean = new ModuleBuffer([channels], fill(0));
    this.running_var = new ModuleBuffer([channels], fill(1));
    this.epsilon = epsilon;
    this.momentum = momentum;
  }

  override forward(x: Tensor): Tensor {
    const channels = this.running_mean.size;
    if (x.shape.length !== 4 || x.shape[1] !== channels) {
      throw new ShapeError(`BatchNorm2d(${channels}) got ${show(x.shape)}, and wants [N, ${channels}, H, W]`);
    }
    return affine(
      isTraining('BatchNorm2d') ? this.byBatch(x) : this.byRunning(x),
      perChannel(this.weight?.tensor),
      perChannel(this.bias?.tensor),
    );
  }

  private byBatch(x: Tensor): Tensor {
    const axes = [0, 2, 3];
    const { mean, variance } = moments(stopGradient(x), axes, this.epsilon);
    const count = x.size / this.running_mean.size;
    // Running statistics are of the population, as in PyTorch; the batch is normalised by its own.
    const unbiased = mul(variance, count / Math.max(1, count - 1));
    this.follow(this.running_mean, mean);
    this.follow(this.running_var, unbiased);
    return normalize(x, axes, this.epsilon);
  }

  private follow(buffer: ModuleBuffer, now: Tensor): void {
    const value = reshape(now, buffer.shape);
    const next = add(mul(buffer.tensor, 1 - this.momentum), mul(value, this.momentum));
    noteUpdate({ variable: buffer, value: next });
  }

  private byRunning(x: Tensor): Tensor {
    const scale = rsqrt(add(this.running_var.tensor, this.epsilon));
    return mul(sub(x, perChannel(this.running_mean.tensor)), perChannel(scale));
  }
}

/** Mean 0 and variance 1 over height, width and each group of channels of an image (Wu and He, 2018). */
export class GroupNorm extends Layer {
  readonly weight: Parameter;
  readonly bias: Parameter;
  private readonly groups: number;
  private readonly epsilon: number;

  constructor(groups: number, channels: number, { epsilon = 1e-5 } = {}) {
    super();
    if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
      throw new OptionError(`GroupNorm: ${channels} channels do not fall into ${groups} groups`);
    }
    this.weight = new Parameter([channels], ones);
    this.bias = new Parameter([channels], zeros);
    this.groups = groups;
    this.epsilon = epsilon;
  }

  override forward(x: Tensor): Tensor {
    return groupNorm(x, this.groups, this.weight.tensor, this.bias.tensor, this.epsilon);
  }
}

/** Mean 0 and variance 1 over the last axes (Ba, Kiros and Hinton, 2016); weight and bias of their shape. */
export class LayerNorm extends Layer {
  readonly weight: Parameter;
  readonly bias: Parameter;
  private readonly epsilon: number;

  constructor(shape: number | Shape, { epsilon = 1e-5 } = {}) {
    super();
    const axes = typeof shape === 'number' ? [shape] : shape;
    this.weight = new Parameter(axes, ones);
    this.bias = new Parameter(axes, zeros);
    this.epsilon = epsilon;
  }

  override forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight.shape, this.weight.tensor, this.bias.tensor, this.epsilon);
  }
}

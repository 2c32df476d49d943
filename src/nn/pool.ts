// Layers without parameters on images, a table of vectors, and dropout, under PyTorch's names.
import { OptionError } from '../errors.ts';
import { greater, mul } from '../ops/elementwise.ts';
import { embedding } from '../ops/embedding.ts';
import type { Pair } from '../ops/patches.ts';
import { avgPool2d, maxPool2d, type PoolOptions, type UpsampleMode, upsample2d } from '../ops/pool.ts';
import { uniform } from '../ops/random.ts';
import type { Tensor } from '../ops/tensor.ts';
import { stopGradient } from '../ops/view.ts';
import { type Initialiser, normal } from './init.ts';
import { Layer } from './layers.ts';
import { Module, Parameter } from './module.ts';
import { nextKey } from './training.ts';

/** What both poolings take. */
abstract class Pool2d extends Layer {
  readonly kernel: number | Pair;
  readonly options: PoolOptions;

  /** @param options the stride, the kernel's size by default, and padding */
  constructor(kernel: number | Pair, options: PoolOptions = {}) {
    super();
    this.kernel = kernel;
    this.options = options;
  }
}

export class MaxPool2d extends Pool2d {
  override forward(x: Tensor): Tensor {
    return maxPool2d(x, this.kernel, this.options);
  }
}

export class AvgPool2d extends Pool2d {
  override forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernel, this.options);
  }
}

/** Images of `scale` times the height and width. */
export class Upsample extends Layer {
  private readonly scale: number | Pair;
  private readonly mode: UpsampleMode;

  constructor(scale: number | Pair = 2, mode: UpsampleMode = 'nearest') {
    super();
    this.scale = scale;
    this.mode = mode;
  }

  override forward(x: Tensor): Tensor {
    return upsample2d(x, this.scale, this.mode);
  }
}

/** Rows of a weight [count, size], standard normal at first, by index; the gradient adds rows up in a fixed order. */
export class Embedding extends Module {
  readonly weight: Parameter;

  constructor(count: number, size: number, initialise: Initialiser = normal(1)) {
    super();
    this.weight = new Parameter([count, size], initialise);
  }

  /** @param indices u32 […]; the result is […, size] */
  forward(indices: Tensor): Tensor {
    return embedding(this.weight.tensor, indices);
  }
}

/**
 * In training, each number is 0 with probability `p`, and the others grow by 1 / (1 − p) (Srivastava et al., 2014); in
 * evaluation it does nothing. Trace it within `inTraining`, with a key, or `inEvaluation`.
 */
export class Dropout extends Layer {
  private readonly p: number;

  constructor(p = 0.5) {
    super();
    if (!(p >= 0 && p < 1)) throw new OptionError(`Dropout: the probability must lie in [0, 1), got ${p}`);
    this.p = p;
  }

  override forward(x: Tensor): Tensor {
    const key = nextKey('Dropout');
    if (!key || this.p === 0) return x;
    const kept = stopGradient(greater(uniform(x.shape, key), this.p));
    return mul(mul(x, kept), 1 / (1 - this.p));
  }
}

// RMS norm, under PyTorch's name.
import { rmsNorm } from '../ops/norm.ts';
import type { Tensor } from '../ops/tensor.ts';
import { ones } from './init.ts';
import { Layer } from './layers.ts';
import { Parameter } from './module.ts';

/** x / √(mean of x² + ε) · weight over the last axis: weight [width] (Zhang and Sennrich, 2019). */
export class RMSNorm extends Layer {
  readonly weight: Parameter;
  private readonly epsilon: number;

  constructor(width: number, { epsilon = 1e-6 } = {}) {
    super();
    this.weight = new Parameter([width], ones);
    this.epsilon = epsilon;
  }

  override forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight.tensor, this.epsilon);
  }
}

// Layers: Linear, Sequential, and the activations, under PyTorch's names.
import { ShapeError } from '../errors.ts';
import { gelu, leakyRelu, silu } from '../ops/composite.ts';
import { add, relu, sigmoid, softplus, tanh } from '../ops/elementwise.ts';
import { matmul } from '../ops/matmul.ts';
import { scope, show, type Tensor } from '../ops/tensor.ts';
import { reshape } from '../ops/view.ts';
import { type Initialiser, kaimingUniform, uniform } from './init.ts';
import { Module, Parameter } from './module.ts';

/** A module of one tensor to one tensor. */
export abstract class Layer extends Module {
  abstract forward(x: Tensor): Tensor;
}

export interface LinearOptions {
  /** Whether it adds one, or what that is at first. */
  readonly bias?: boolean | Initialiser;
  /** What the weight is at first. */
  readonly weight?: Initialiser;
}

/** y = x·Wᵀ + b over the last axis: weight [out, in], bias [out], both uniform in ±1/√in at first by default, as in PyTorch. */
export class Linear extends Layer {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    const { bias = uniform(1 / Math.sqrt(inFeatures)), weight = kaimingUniform() } = options;
    this.weight = new Parameter([outFeatures, inFeatures], weight);
    if (bias) this.bias = new Parameter([outFeatures], bias === true ? uniform(1 / Math.sqrt(inFeatures)) : bias);
  }

  /** @throws ShapeError if the last axis of `x` is not `in` */
  override forward(x: Tensor): Tensor {
    const [outFeatures, inFeatures] = this.weight.shape as [number, number];
    if (x.shape.at(-1) !== inFeatures) {
      throw new ShapeError(
        `Linear(${inFeatures}, ${outFeatures}) got ${show(x.shape)}: its last axis must be ${inFeatures}`,
      );
    }
    const rows = reshape(x, [x.size / inFeatures, inFeatures]);
    const product = matmul(rows, this.weight.tensor, { transposeB: true });
    return reshape(this.bias ? add(product, this.bias.tensor) : product, [...x.shape.slice(0, -1), outFeatures]);
  }
}

/** Layers one after the other; their names are their positions. */
export class Sequential extends Layer {
  readonly layers: readonly Layer[];

  constructor(...layers: Layer[]) {
    super();
    this.layers = layers;
  }

  override members(): [string, unknown][] {
    return this.layers.map((layer, i) => [String(i), layer]);
  }

  override forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer, i) => scope(String(i), () => layer.forward(value)), x);
  }
}

function activation(f: (x: Tensor) => Tensor) {
  return class extends Layer {
    override forward(x: Tensor): Tensor {
      return f(x);
    }
  };
}

export class ReLU extends activation(relu) {}
export class Sigmoid extends activation(sigmoid) {}
export class Tanh extends activation(tanh) {}
export class Softplus extends activation(softplus) {}
export class GELU extends activation(gelu) {}
export class SiLU extends activation(silu) {}

export class LeakyReLU extends Layer {
  readonly slope: number;

  constructor(slope = 0.01) {
    super();
    this.slope = slope;
  }

  override forward(x: Tensor): Tensor {
    return leakyRelu(x, this.slope);
  }
}

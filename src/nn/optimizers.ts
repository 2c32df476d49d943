// Optimizers: SGD, Adam, AdamW. Each step is elementwise over the packed parameters, hence one dispatch.
import { OptionError } from '../errors.ts';
import { gradients } from '../graph/autodiff.ts';
import type { Update } from '../graph/graph.ts';
import { add, div, expm1, isFinite, minimum, mul, neg, sqrt, square, sub, toF32, where } from '../ops/elementwise.ts';
import { sum } from '../ops/reduce.ts';
import { constant, Variable } from '../ops/source.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { pack } from '../ops/view.ts';
import type { Parameters } from './module.ts';
import { constantSchedule, type Schedule } from './schedules.ts';

export interface OptimizerOptions {
  /** Learning rate: a number, or a function of the step. */
  readonly lr?: number | Schedule;
  readonly weightDecay?: number;
  /** Scales the gradient down to this global norm where it is longer. */
  readonly maxNorm?: number;
  /** Factor of the loss while gradients are computed, so that few vanish where they are stored as f16; 1 unless told. */
  readonly lossScale?: number;
}

export interface Step {
  /** What a program must update to make the step. */
  readonly updates: readonly Update[];
  /** 1 if loss and gradient were finite; if not, the step leaves everything as it was. */
  readonly finite: Tensor;
  /** Euclidean norm of the whole gradient, before clipping. */
  readonly gradientNorm: Tensor;
}

/** An optimizer's state lies beside the parameters, in the same layout, on the GPU. */
export abstract class Optimizer {
  readonly parameters: Parameters;
  /** Steps made, u32. */
  readonly step = new Variable('step', [], { dtype: 'u32' });
  /** Moments by PyTorch's names, each laid out as the parameters. */
  abstract readonly state: Readonly<Record<string, Variable>>;
  protected readonly lr: Schedule;
  protected readonly weightDecay: number;
  private readonly maxNorm: number | undefined;
  private readonly lossScale: number;

  constructor(parameters: Parameters, { lr = 1e-3, weightDecay = 0, maxNorm, lossScale = 1 }: OptimizerOptions) {
    if (typeof lr === 'number' && !(lr >= 0 && lr < Infinity)) {
      throw new OptionError(`the learning rate must be a number from 0, got ${lr}`);
    }
    if (maxNorm !== undefined && !(maxNorm > 0)) throw new OptionError(`maxNorm must be above 0, got ${maxNorm}`);
    if (!(lossScale > 0 && lossScale < Infinity)) throw new OptionError(`lossScale must be above 0, got ${lossScale}`);
    this.parameters = parameters;
    this.lossScale = lossScale;
    this.lr = typeof lr === 'number' ? constantSchedule(lr) : lr;
    this.weightDecay = weightDecay;
    this.maxNorm = maxNorm;
  }

  /** New values of the parameters and of the state, given the gradient; t is the number of this step, from 1. */
  protected abstract rule(parameters: Tensor, gradient: Tensor, t: Tensor, lr: Tensor): Map<Variable, Tensor>;

  /** One step down the gradient of `loss`. */
  minimize(loss: Tensor): Step {
    return scope('optimizer', () => {
      const { named, flat } = this.parameters;
      const scaled = gradients(
        mul(loss, this.lossScale),
        [...named.values()].map(({ tensor }) => tensor),
      );
      const gradient = mul(pack(scaled), 1 / this.lossScale);
      const squares = sum(square(gradient));
      const gradientNorm = sqrt(squares);
      const finite = mul(isFinite(loss), isFinite(squares));
      const step = toF32(this.step.tensor);
      const scale = this.maxNorm === undefined ? undefined : minimum(div(this.maxNorm, add(gradientNorm, 1e-6)), 1);
      const clipped = scale ? mul(gradient, scale) : gradient;
      const values = this.rule(flat.tensor, clipped, add(step, 1), this.lr(step));
      values.set(this.step, add(this.step.tensor, 1));
      const updates = [...values].map(([variable, value]) => ({
        variable,
        value: where(finite, value, variable.tensor),
      }));
      return { updates, finite, gradientNorm };
    });
  }

  protected moment(name: string): Variable {
    return new Variable(name, this.parameters.flat.shape);
  }
}

export interface SGDOptions extends OptimizerOptions {
  readonly momentum?: number;
  readonly nesterov?: boolean;
}

/** Stochastic gradient descent with momentum, as PyTorch's (without dampening). */
export class SGD extends Optimizer {
  override readonly state: Record<string, Variable> = {};
  private readonly momentum: number;
  private readonly nesterov: boolean;

  constructor(parameters: Parameters, { momentum = 0, nesterov = false, ...options }: SGDOptions = {}) {
    super(parameters, options);
    this.momentum = momentum;
    this.nesterov = nesterov;
    if (momentum !== 0) this.state.momentum_buffer = this.moment('momentum_buffer');
  }

  protected override rule(p: Tensor, gradient: Tensor, _: Tensor, lr: Tensor): Map<Variable, Tensor> {
    const g = this.weightDecay ? add(gradient, mul(p, this.weightDecay)) : gradient;
    const { momentum_buffer: buffer } = this.state;
    if (!buffer) return new Map([[this.parameters.flat, sub(p, mul(g, lr))]]);
    const velocity = add(mul(buffer.tensor, this.momentum), g);
    const direction = this.nesterov ? add(g, mul(velocity, this.momentum)) : velocity;
    return new Map([
      [this.parameters.flat, sub(p, mul(direction, lr))],
      [buffer, velocity],
    ]);
  }
}

export interface AdamOptions extends OptimizerOptions {
  /** Decay rates of the two moments. */
  readonly betas?: readonly [number, number];
  readonly eps?: number;
}

/** Adam (Kingma and Ba, 2014, algorithm 1), as PyTorch computes it. */
export class Adam extends Optimizer {
  override readonly state = { exp_avg: this.moment('exp_avg'), exp_avg_sq: this.moment('exp_avg_sq') };
  private readonly betas: readonly [number, number];
  private readonly eps: number;
  /** Whether the weight decay is taken from the weights themselves rather than added to the gradient. */
  protected readonly decoupled: boolean = false;

  constructor(parameters: Parameters, { betas = [0.9, 0.999], eps = 1e-8, ...options }: AdamOptions = {}) {
    super(parameters, options);
    for (const beta of betas) {
      if (!(beta >= 0 && beta < 1)) throw new OptionError(`betas must lie in [0, 1), got ${betas.join(', ')}`);
    }
    this.betas = betas;
    this.eps = eps;
  }

  protected override rule(p: Tensor, gradient: Tensor, t: Tensor, lr: Tensor): Map<Variable, Tensor> {
    const [beta1, beta2] = this.betas;
    const decay = this.weightDecay;
    const g = decay && !this.decoupled ? add(gradient, mul(p, decay)) : gradient;
    const base = decay && this.decoupled ? mul(p, sub(1, mul(lr, decay))) : p;
    const mean = add(mul(this.state.exp_avg.tensor, beta1), mul(g, 1 - beta1));
    const square2 = add(mul(this.state.exp_avg_sq.tensor, beta2), mul(square(g), 1 - beta2));
    const stepSize = div(lr, correction(beta1, t));
    const denominator = add(mul(sqrt(square2), div(constant(1), sqrt(correction(beta2, t)))), this.eps);
    return new Map([
      [this.parameters.flat, sub(base, mul(div(mean, denominator), stepSize))],
      [this.state.exp_avg, mean],
      [this.state.exp_avg_sq, square2],
    ]);
  }
}

/** 1 − βᵗ, without cancellation in f32 where βᵗ is near 1. */
function correction(beta: number, t: Tensor): Tensor {
  return beta === 0 ? constant(1) : neg(expm1(mul(t, Math.log(beta))));
}

/** Adam with decoupled weight decay (Loshchilov and Hutter, 2017), 0.01 unless told. */
export class AdamW extends Adam {
  protected override readonly decoupled = true;

  constructor(parameters: Parameters, { weightDecay = 0.01, ...options }: AdamOptions = {}) {
    super(parameters, { weightDecay, ...options });
  }
}

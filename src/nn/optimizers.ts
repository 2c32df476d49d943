// Optimizers: SGD, Adam, AdamW. Each step is elementwise over the packed parameters, hence one dispatch.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { gradients } from '../graph/autodiff.ts';
import type { Update } from '../graph/graph.ts';
import {
  add,
  div,
  divideFloor,
  equal,
  expm1,
  greater,
  isFinite,
  less,
  minimum,
  modulo,
  mul,
  neg,
  sqrt,
  square,
  sub,
  toF32,
  where,
} from '../ops/elementwise.ts';
import { sum } from '../ops/reduce.ts';
import { ALIGNMENT, alignedSize, constant, Variable } from '../ops/source.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, pack, reshape, slice } from '../ops/view.ts';
import { writeVariable } from '../runtime/variables.ts';
import { Module, type Parameter, type Parameters } from './module.ts';
import { constantSchedule, type LearningRateSchedule } from './schedules.ts';

/** Parameters that differ from the rest in their learning rate or weight decay. */
export interface ParameterGroup {
  /** Which: a part of the model, names as `namedParameters` gives them, or a test of name and parameter. */
  readonly parameters: Module | readonly string[] | ((name: string, parameter: Parameter) => boolean);
  /** In place of the optimizer's `lr`. Where that is a schedule, this follows it in proportion. */
  readonly lr?: number;
  readonly weightDecay?: number;
}

export interface OptimizerOptions {
  /** Learning rate: a number, a schedule, or a function of the step (f32, the first step is 0). */
  readonly lr?: number | LearningRateSchedule | ((step: Tensor) => Tensor);
  readonly weightDecay?: number;
  /** As PyTorch's parameter groups. A parameter belongs to the first that names it; for the others the options hold. */
  readonly groups?: readonly ParameterGroup[];
  /** Scales the gradient down to this global norm where it is longer. */
  readonly maxNorm?: number;
  /**
   * Decay of a moving average of the weights, kept beside them as `state.average`; none by default. Early steps weigh more:
   * the decay of step t is at most t / (t + 9).
   */
  readonly average?: number | undefined;
  /** Leaves the weights as they are where the gradient's norm is above so many times its moving average; never by default. */
  readonly skip?: number | undefined;
  /**
   * Batches whose gradients are averaged for one step; 1 by default. `step` then counts batches, and schedules go by steps. Memory is
   * that of one batch, and one gradient more.
   */
  readonly accumulate?: number;
  /** Factor of the loss while gradients are computed, so that few vanish where they are stored as f16; 1 by default. */
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

/** How a step differs along the packed parameters: tensors of their length, or numbers where it does not. */
interface Factors {
  /** Of the learning rate; undefined if it is one for all. */
  readonly lr: Tensor | undefined;
  /** Undefined if nothing decays. */
  readonly weightDecay: Tensor | number | undefined;
}

/** An optimizer's state lies beside the parameters, in the same layout, on the GPU. */
export abstract class Optimizer {
  readonly parameters: Parameters;
  /** Batches that gradients were taken of, u32: steps made, but where several make one. */
  readonly step = new Variable('step', [], { dtype: 'u32' });
  /** Moments by PyTorch's names, each laid out as the parameters. */
  abstract readonly state: Readonly<Record<string, Variable>>;
  private readonly schedule: LearningRateSchedule | ((step: Tensor) => Tensor);
  /** The numbers of the schedule. */
  private readonly rate: Variable | undefined;
  /** Factor of the learning rate, and weight decay, of each ALIGNMENT numbers of the packed parameters. */
  private readonly table: Variable | undefined;
  private readonly weightDecay: number;
  private readonly maxNorm: number | undefined;
  private readonly lossScale: number;
  private readonly averageDecay: number;
  /** The moving average of the weights, laid out as they are. */
  readonly average: Variable | undefined;
  private readonly skip: number;
  private readonly accumulate: number;
  /** The gradient of the batches since the last step, where several make one. */
  readonly accumulated: Variable | undefined;
  /** The moving average of the gradient's norm, f32 scalar, where leaps of it are skipped. */
  readonly usualNorm: Variable | undefined;

  constructor(parameters: Parameters, options: OptimizerOptions) {
    const { lr = 1e-3, weightDecay = 0, groups = [], maxNorm, lossScale = 1, average = 0, skip = 0 } = options;
    const { accumulate = 1 } = options;
    if (!(Number.isSafeInteger(accumulate) && accumulate >= 1)) {
      throw new OptionError(`accumulate must be a positive whole number, got ${accumulate}`);
    }
    if (!(average >= 0 && average < 1)) throw new OptionError(`average must lie in [0, 1), got ${average}`);
    if (!(skip === 0 || skip > 1)) throw new OptionError(`skip must be above 1, or 0 for never, got ${skip}`);
    if (maxNorm !== undefined && !(maxNorm > 0)) throw new OptionError(`maxNorm must be above 0, got ${maxNorm}`);
    if (!(lossScale > 0 && lossScale < Infinity)) throw new OptionError(`lossScale must be above 0, got ${lossScale}`);
    const schedule = typeof lr === 'number' ? constantSchedule(lr) : lr;
    if (typeof schedule !== 'function') {
      const numbers = numbersOf(schedule, schedule.lr);
      this.rate = new Variable('learning rate', [numbers.length], { init: () => numbers });
    }
    this.parameters = parameters;
    this.schedule = schedule;
    this.weightDecay = weightDecay;
    this.maxNorm = maxNorm;
    this.lossScale = lossScale;
    this.averageDecay = average;
    this.skip = skip;
    this.accumulate = accumulate;
    if (accumulate > 1) this.accumulated = this.moment('accumulated');
    if (average) this.average = this.moment('average');
    if (skip) this.usualNorm = new Variable('usual norm of the gradient', []);
    if (groups.length > 0) this.table = groupTable(parameters, groups, schedule, weightDecay);
  }

  /** All that lies beside the parameters in their layout: the moments and, where they are kept, average and gradient so far. */
  get blocks(): Readonly<Record<string, Variable>> {
    const { state, average, accumulated } = this;
    return { ...state, ...(average && { average }), ...(accumulated && { accumulated }) };
  }

  /** Its own variables, beside the parameters: what `freeVariables` takes when it is done with. */
  get variables(): Variable[] {
    const { step, rate, table, usualNorm, blocks } = this;
    return [step, rate, table, usualNorm, ...Object.values(blocks)].filter((variable) => variable !== undefined);
  }

  /**
   * Sets the learning rate that the schedule is made from, before all that is submitted later. Programs stay as they
   * are, and groups with a rate of their own keep its proportion to this one.
   *
   * @throws OptionError if it is no number from 0, or if the rate is a function of the caller's own
   */
  setLearningRate(gpu: Gpu, lr: number): void {
    if (typeof gpu === 'number') throw new OptionError('setLearningRate takes the device first: (gpu, rate)');
    if (typeof this.schedule === 'function' || !this.rate) {
      throw new OptionError('the learning rate is a function of your own: have it read a Variable, and write that');
    }
    writeVariable(gpu, this.rate, numbersOf(this.schedule, lr));
  }

  /** New values of the parameters and of the state, given the gradient; t is the number of this step, from 1. */
  protected abstract rule(
    parameters: Tensor,
    gradient: Tensor,
    t: Tensor,
    lr: Tensor,
    factors: Factors,
  ): Map<Variable, Tensor>;

  /**
   * One step down the gradient of `loss`; with `accumulate`, one in so many is, and the others add their gradient up.
   *
   * @param others what else changes with the step, as running statistics do: like the weights, they stay as they are
   * when the step is not made
   */
  minimize(loss: Tensor, others: readonly Update[] = []): Step {
    return scope('optimizer', () => {
      const { named, flat } = this.parameters;
      const scaled = gradients(
        mul(loss, this.lossScale),
        [...named.values()].map(({ tensor }) => tensor),
      );
      const { accumulated, accumulate } = this;
      const own = mul(pack(scaled), 1 / (this.lossScale * accumulate));
      const gradient = accumulated ? add(accumulated.tensor, own) : own;
      const squares = sum(square(gradient));
      const gradientNorm = sqrt(squares);
      const finite = mul(isFinite(loss), isFinite(squares));
      const count = constant(accumulate, 'u32');
      const step = toF32(accumulated ? divideFloor(this.step.tensor, count) : this.step.tensor);
      const scale = this.maxNorm === undefined ? undefined : minimum(div(this.maxNorm, add(gradientNorm, 1e-6)), 1);
      const clipped = scale ? mul(gradient, scale) : gradient;
      const values = this.rule(flat.tensor, clipped, add(step, 1), this.rateAt(step), this.factors());
      if (this.usualNorm) this.skipLeaps(values, this.usualNorm, gradientNorm);
      if (this.average) {
        const decay = minimum(div(step, add(step, 9)), this.averageDecay);
        const before = this.average.tensor;
        values.set(this.average, add(mul(before, decay), mul(values.get(flat)!, sub(1, decay))));
      }
      if (accumulated) {
        const isLast = equal(modulo(this.step.tensor, count), constant(accumulate - 1, 'u32'));
        for (const [variable, value] of values) values.set(variable, where(isLast, value, variable.tensor));
        values.set(accumulated, where(isLast, 0, gradient));
      }
      values.set(this.step, add(this.step.tensor, 1));
      const all = [...[...values].map(([variable, value]) => ({ variable, value })), ...others];
      const updates = all.map(({ variable, value }) => ({ variable, value: where(finite, value, variable.tensor) }));
      return { updates, finite, gradientNorm };
    });
  }

  /** Where the gradient's norm leaps, its step is not made; the average of norms follows, but no further than that. */
  private skipLeaps(values: Map<Variable, Tensor>, usual: Variable, norm: Tensor): void {
    const first = less(this.step.tensor, constant(this.accumulate, 'u32'));
    const most = where(first, norm, mul(usual.tensor, this.skip));
    const leaps = greater(norm, most);
    for (const [variable, value] of values) values.set(variable, where(leaps, variable.tensor, value));
    const before = where(first, norm, usual.tensor);
    values.set(usual, add(mul(before, 0.99), mul(minimum(norm, most), 0.01)));
  }

  private rateAt(step: Tensor): Tensor {
    const { schedule, rate } = this;
    if (typeof schedule === 'function') return schedule(step);
    const numbers = Array.from({ length: rate!.size }, (_, i) => reshape(slice(rate!.tensor, 0, i, i + 1), []));
    return schedule.rate(step, numbers);
  }

  private factors(): Factors {
    const { table, weightDecay } = this;
    if (!table) return { lr: undefined, weightDecay: weightDecay || undefined };
    const [rows, blocks] = table.shape as [number, number];
    const row = (i: number) => {
      const column = reshape(slice(table.tensor, 0, i, i + 1), [blocks, 1]);
      return reshape(broadcastTo(column, [blocks, ALIGNMENT]), [blocks * ALIGNMENT]);
    };
    return { lr: row(0), weightDecay: rows > 1 ? row(1) : undefined };
  }

  protected moment(name: string): Variable {
    return new Variable(name, this.parameters.flat.shape);
  }
}

function checkRate(lr: number): void {
  if (!(lr >= 0 && lr < Infinity)) throw new OptionError(`the learning rate must be a number from 0, got ${lr}`);
}

function numbersOf(schedule: LearningRateSchedule, lr: number): Float32Array {
  checkRate(lr);
  return Float32Array.from(schedule.numbers(lr));
}

/**
 * What each ALIGNMENT numbers of the packed parameters are updated with: a row of factors of the learning rate and,
 * where anything decays, one of weight decays. A block is of one parameter alone, since each begins at a boundary.
 */
function groupTable(
  { named, flat }: Parameters,
  groups: readonly ParameterGroup[],
  schedule: LearningRateSchedule | ((step: Tensor) => Tensor),
  weightDecay: number,
): Variable {
  const members = groups.map((group) => membersOf(group, named));
  const base = typeof schedule === 'function' ? undefined : schedule.lr;
  for (const { lr } of groups) {
    if (lr === undefined) continue;
    checkRate(lr);
    if (base) continue;
    const why = base === 0 ? 'is 0' : 'is a function of your own';
    throw new OptionError(`a group has the learning rate ${lr} in proportion to that of the rest, and that ${why}`);
  }
  const decays = weightDecay !== 0 || groups.some((group) => group.weightDecay);
  const blocks = flat.size / ALIGNMENT;
  const values = new Float32Array(blocks * (decays ? 2 : 1));
  for (const parameter of named.values()) {
    const group = groups[members.findIndex((set) => set.has(parameter))];
    const start = parameter.offset / ALIGNMENT;
    const end = start + alignedSize(parameter.size) / ALIGNMENT;
    values.fill(group?.lr === undefined ? 1 : group.lr / base!, start, end);
    if (decays) values.fill(group?.weightDecay ?? weightDecay, blocks + start, blocks + end);
  }
  return new Variable('parameter groups', [values.length / blocks, blocks], { init: () => values });
}

function membersOf({ parameters: wanted }: ParameterGroup, named: ReadonlyMap<string, Parameter>): Set<Parameter> {
  if (Array.isArray(wanted)) {
    const unknown = wanted.find((name) => !named.has(name));
    if (unknown !== undefined) {
      throw new OptionError(`a group names the parameter ${unknown}; there are: ${[...named.keys()].join(', ')}`);
    }
    return new Set((wanted as readonly string[]).map((name) => named.get(name)!));
  }
  const own = wanted instanceof Module ? new Set(wanted.namedParameters().values()) : undefined;
  const test = wanted as (name: string, parameter: Parameter) => boolean;
  const found = [...named].filter(([name, parameter]) => (own ? own.has(parameter) : test(name, parameter)));
  if (found.length === 0)
    throw new OptionError(`a group has no parameters; there are: ${[...named.keys()].join(', ')}`);
  return new Set(found.map(([, parameter]) => parameter));
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

  protected override rule(
    p: Tensor,
    gradient: Tensor,
    _: Tensor,
    rate: Tensor,
    { lr: factor, weightDecay }: Factors,
  ): Map<Variable, Tensor> {
    const lr = factor ? mul(rate, factor) : rate;
    const g = weightDecay ? add(gradient, mul(p, weightDecay)) : gradient;
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

  protected override rule(
    p: Tensor,
    gradient: Tensor,
    t: Tensor,
    lr: Tensor,
    { lr: factor, weightDecay: decay }: Factors,
  ): Map<Variable, Tensor> {
    const [beta1, beta2] = this.betas;
    const scaled = (rate: Tensor) => (factor ? mul(rate, factor) : rate);
    const g = decay && !this.decoupled ? add(gradient, mul(p, decay)) : gradient;
    const base = decay && this.decoupled ? mul(p, sub(1, mul(scaled(lr), decay))) : p;
    const mean = add(mul(this.state.exp_avg.tensor, beta1), mul(g, 1 - beta1));
    const square2 = add(mul(this.state.exp_avg_sq.tensor, beta2), mul(square(g), 1 - beta2));
    const stepSize = scaled(div(lr, correction(beta1, t)));
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

/** Adam with decoupled weight decay (Loshchilov and Hutter, 2017), 0.01 by default. */
export class AdamW extends Adam {
  protected override readonly decoupled = true;

  constructor(parameters: Parameters, { weightDecay = 0.01, ...options }: AdamOptions = {}) {
    super(parameters, { weightDecay, ...options });
  }
}

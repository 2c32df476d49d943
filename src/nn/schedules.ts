// Learning-rate schedules. The rate is computed on the GPU, from the step and from numbers that lie in GPU memory: another
// rate is the same program.
import { add, cos, div, minimum, mul, sub } from '../ops/elementwise.ts';
import type { Tensor } from '../ops/tensor.ts';

export interface LearningRateSchedule {
  /** The learning rate that it is made from; `Optimizer.setLearningRate` replaces it. */
  readonly lr: number;
  /** The numbers that the rate is computed from, for a learning rate. */
  numbers(lr: number): readonly number[];
  /** The rate at a step (f32, the first step is 0), from these numbers, a scalar each. */
  rate(step: Tensor, numbers: readonly Tensor[]): Tensor;
}

export function constantSchedule(lr: number): LearningRateSchedule {
  return { lr, numbers: (lr) => [lr], rate: (_, [lr]) => lr! };
}

/** From `lr` down to `min` along half a cosine over `steps` (Loshchilov and Hutter, SGDR, 2016, equation 5). */
export function cosineSchedule({
  lr,
  steps,
  min = 0,
}: {
  lr: number;
  steps: number;
  min?: number;
}): LearningRateSchedule {
  return {
    lr,
    numbers: (lr) => [1 / steps, (lr - min) / 2, min],
    rate(step, [perStep, amplitude, least]) {
      const angle = mul(minimum(mul(step, perStep!), 1), Math.PI);
      return add(mul(add(cos(angle), 1), amplitude!), least!);
    },
  };
}

/** lr / (1 + step / steps): half of `lr` after `steps`, and never nothing (Robbins and Monro, 1951, section 2). */
export function inverseTimeSchedule({ lr, steps }: { lr: number; steps: number }): LearningRateSchedule {
  return {
    lr,
    numbers: (lr) => [lr, 1 / steps],
    rate: (step, [lr, perStep]) => div(lr!, add(mul(step, perStep!), 1)),
  };
}

/** Rises linearly over `steps`, then goes on with `schedule` from its beginning. */
export function warmup(steps: number, schedule: LearningRateSchedule): LearningRateSchedule {
  return {
    lr: schedule.lr,
    numbers: (lr) => [steps, 1 / steps, ...schedule.numbers(lr)],
    rate(step, [start, perStep, ...inner]) {
      const rise = minimum(mul(add(step, 1), perStep!), 1);
      return mul(schedule.rate(sub(step, minimum(step, start!)), inner), rise);
    },
  };
}

// Learning-rate schedules: functions from the step, a tensor, so that the rate is computed on the GPU.
import { add, cos, div, minimum, mul, sub } from '../ops/elementwise.ts';
import { constant } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';

/** The learning rate at a step (f32, the first step is 0). */
export type Schedule = (step: Tensor) => Tensor;

export const constantSchedule =
  (lr: number): Schedule =>
  () =>
    constant(lr);

/** From `lr` down to `min` along half a cosine over `steps` (Loshchilov and Hutter, SGDR, 2016, equation 5). */
export function cosineSchedule({ lr, steps, min = 0 }: { lr: number; steps: number; min?: number }): Schedule {
  return (step) => {
    const angle = mul(minimum(mul(step, 1 / steps), 1), Math.PI);
    return add(mul(add(cos(angle), 1), (lr - min) / 2), min);
  };
}

/** lr / (1 + step / steps): half of `lr` after `steps`, and never nothing (Robbins and Monro, 1951, section 2). */
export function inverseTimeSchedule({ lr, steps }: { lr: number; steps: number }): Schedule {
  return (step) => div(lr, add(mul(step, 1 / steps), 1));
}

/** Rises linearly over `steps`, then goes on with `schedule` from its beginning. */
export function warmup(steps: number, schedule: Schedule): Schedule {
  return (step) => {
    const rise = minimum(mul(add(step, 1), 1 / steps), 1);
    return mul(schedule(relative(step, steps)), rise);
  };
}

/** max(step − start, 0) */
function relative(step: Tensor, start: number): Tensor {
  return sub(step, minimum(step, start));
}

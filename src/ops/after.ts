// The same value, but not read before other values are there: who wants a part of a graph to run late says so by this.
import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { apply, elementType, type Tensor } from './tensor.ts';

export const afterOp = defineOp<object>({
  name: 'after',
  traits: { flops: 0, view: true },
  infer([x]) {
    if (!x) throw new ShapeError('wants a tensor, and those that are to be there before');
    return { shape: x.shape, dtype: elementType(x.dtype) };
  },
  grad: ({ inputs }, g) => [g, ...inputs.slice(1).map(() => undefined)],
  // What it waits for is never read: that it is an input is enough for the order of dispatches.
  emit: (emitter, { inputs: [x] }, coords) => emitter.value(x!, coords),
  wide: () => true,
  check: CHECKS && {
    reference: ([x]) => x!.data.slice(),
    samples: [{ inputs: [{ shape: [3, 8] }, { shape: [5] }], attrs: {} }],
  },
});

/**
 * `x`, read only once `others` are computed, as JAX's `optimization_barrier` orders what is not to be alive at one time. It costs
 * nothing, and what is computed from it is never taken for what is computed from `x`.
 */
export function after(x: Tensor, others: readonly Tensor[]): Tensor {
  return others.length > 0 ? apply(afterOp, [x, ...others], {}) : x;
}

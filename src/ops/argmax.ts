// Where the greatest element of a row stands.

import shader from '../../shaders/reduce/argmax.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { Affine } from './affine.ts';
import { defineOp } from './define.ts';
import { apply, axisOf, elementType, show, sizeOf, type Tensor, type TensorOf } from './tensor.ts';
import { transpose } from './view.ts';

export const argmaxOp = defineOp<object>({
  name: 'argmax',
  infer([x]) {
    if (elementType(x!.dtype) !== 'f32' || !x!.shape.at(-1))
      throw new ShapeError(`wants f32 […, 1 or more], got ${x!.dtype}${show(x!.shape)}`);
    return { shape: x!.shape.slice(0, -1), dtype: 'u32' };
  },
  variants: [
    {
      name: 'one thread a row',
      kernel(node, writer) {
        const [x] = node.inputs;
        const length = x!.shape.at(-1)!;
        const row = Affine.variable('o', node.size);
        const at = Affine.variable('r', length);
        return {
          source: shader,
          constants: { OUTPUTS: node.size, STEPS: length },
          hooks: {
            load: writer.load(x!, (_, split) => [...split(row, node.shape), at], 1),
            store: writer.store(() => row, [['value']]),
          },
          workgroups: writer.grid(Math.ceil(node.size / 64)),
          flops: x!.size,
        };
      },
    },
  ],
  check: CHECKS && {
    reference([x], _, shape) {
      const length = x!.shape.at(-1)!;
      return Float64Array.from({ length: sizeOf(shape) }, (_item, row) => {
        const values = x!.data.subarray(row * length, (row + 1) * length);
        const nan = values.findIndex(Number.isNaN);
        return nan >= 0 ? nan : values.indexOf(values.reduce((a, b) => Math.max(a, b)));
      });
    },
    samples: [
      { inputs: [{ shape: [5, 7] }], attrs: {} },
      { inputs: [{ shape: [3, 4, 8] }], attrs: {} },
      { inputs: [{ shape: [6] }], attrs: {} },
      { inputs: [{ shape: [2, 1] }], attrs: {} },
    ],
    random: (int) => ({ inputs: [{ shape: Array.from({ length: int(1, 3) }, () => int(1, 12)) }], attrs: {} }),
  },
});

/** The position of the greatest element along an axis, the last by default; of equal ones, the first; a NaN counts as greatest. u32. */
export function argmax(x: Tensor, axis = -1): TensorOf<'u32'> {
  const along = axisOf(axis, x.shape.length);
  const axes = x.shape.map((_, i) => i);
  return apply(argmaxOp, [transpose(x, [...axes.filter((i) => i !== along), along])], {}) as TensorOf<'u32'>;
}

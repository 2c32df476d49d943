// From f32 to u32: an index from a number that was computed.
import { defineOp } from './define.ts';
import { apply, type Tensor, type TensorOf } from './tensor.ts';

export const toU32Op = defineOp({
  name: 'toU32',
  wgsl: (a) => `u32(${a})`,
  reference: Math.trunc,
  dtypes: ['f32'],
  result: 'u32',
  range: [0, 255],
  grad: () => [undefined],
});

/** What stands before the point of numbers in [0, 2³²), as u32. */
export const toU32 = (a: Tensor): TensorOf<'u32'> => apply(toU32Op, [a], {}) as TensorOf<'u32'>;

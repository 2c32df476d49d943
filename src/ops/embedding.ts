// Look-up of rows of a large table: `gather`, with a gradient that sorts the indices first, so that each row of it reads its own
// terms alone.
import orderShader from '../../shaders/segment/order.wgsl?raw';
import sumShader from '../../shaders/segment/sum.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { gather, scatterAdd } from './gather.ts';
import { spreadWorkgroups } from './spread_workgroups.ts';
import { apply, applyAll, type Sample, show, sizeOf, type Tensor, zeroGrad } from './tensor.ts';
import { reshape } from './view.ts';

const spread = (threads: number) => spreadWorkgroups(Math.max(1, Math.ceil(threads / 64)));

const places = (indices: Float64Array) =>
  Array.from(indices, (_, i) => i).sort((a, b) => indices[a]! - indices[b]! || a - b);

export const sortIndicesOp = defineOp({
  name: 'sortIndices',
  infer([indices]) {
    const { dtype, shape } = indices!;
    if (dtype !== 'u32' || shape.length !== 1)
      throw new ShapeError(`wants indices u32 [n], got ${dtype}${show(shape)}`);
    return [
      { shape, dtype: 'u32' },
      { shape, dtype: 'u32' },
    ];
  },
  kernel: {
    name: 'one thread an index',
    ...{ wgsl: orderShader, inputs: ['indices'], outputs: ['order', 'sorted'] },
    constants: ({ inputs: [indices] }) => ({ COUNT: indices!.size }),
    workgroups: ({ inputs: [indices] }) => spread(indices!.size),
  },
  grad: zeroGrad,
  check: CHECKS && {
    reference([indices]) {
      const order = places(indices!.data);
      return [Float64Array.from(order), Float64Array.from(order, (i) => indices!.data[i]!)];
    },
    samples: [sorting(70), sorting(1)],
  },
});

function sorting(count: number): Sample<object> {
  return { inputs: [{ shape: [count], dtype: 'u32', min: 0, max: 9 }], attrs: {} };
}

export const segmentSumOp = defineOp<{ rows: number }>({
  name: 'segmentSum',
  infer([values, order, sorted], { rows }) {
    const { shape, dtype } = values!;
    const fits = [order!, sorted!].every((one) => one.dtype === 'u32' && String(one.shape) === String([shape[0]]));
    if (dtype !== 'f32' || shape.length !== 2 || !fits) {
      const got = [values!, order!, sorted!].map((one) => `${one.dtype}${show(one.shape)}`).join(', ');
      throw new ShapeError(`wants values f32 [n, width], and their order and sorted indices u32 [n], got ${got}`);
    }
    return { shape: [rows, shape[1]!], dtype: 'f32' };
  },
  kernel: {
    name: 'one thread an element',
    ...{ wgsl: sumShader, inputs: ['values', 'order', 'sorted'], outputs: ['y'] },
    constants: ({ inputs: [values], shape }) => ({ COUNT: values!.shape[0]!, ROWS: shape[0]!, WIDTH: shape[1]! }),
    workgroups: ({ size }) => spread(size),
    flops: ({ inputs: [values] }) => values!.size,
  },
  // Each value's cotangent is that of its own row.
  grad: ({ inputs: [values, order, sorted] }, g) => [
    reshape(scatterAdd(gather(g!, sorted!), order!, values!.shape[0]!), values!.shape),
    undefined,
    undefined,
  ],
  check: CHECKS && {
    reference([values, order, sorted], { rows }) {
      const width = values!.shape[1]!;
      const y = new Float64Array(rows * width);
      sorted!.data.forEach((row, p) => {
        for (let j = 0; j < width; j++) y[row * width + j]! += values!.data[order!.data[p]! * width + j]!;
      });
      return y;
    },
    // Of one index alone, whatever is drawn is sorted.
    samples: [
      {
        inputs: [
          { shape: [1, 5] },
          { shape: [1], dtype: 'u32', min: 0, max: 0 },
          { shape: [1], dtype: 'u32', min: 0, max: 3 },
        ],
        attrs: { rows: 4 },
      },
    ],
  },
});

export const embeddingOp = defineOp({
  name: 'embedding',
  infer([table, indices]) {
    if (table!.dtype !== 'f32' || table!.shape.length !== 2 || indices!.dtype !== 'u32') {
      const got = `${table!.dtype}${show(table!.shape)} and ${indices!.dtype}`;
      throw new ShapeError(`wants a table f32 [count, width] and indices u32, got ${got}`);
    }
    return { shape: [...indices!.shape, table!.shape[1]!], dtype: 'f32' };
  },
  decompose: ([table, indices]) => gather(table!, indices!),
  grad({ inputs: [table, indices] }, g) {
    const [rows, width] = table!.shape as [number, number];
    const count = indices!.size;
    const [order, sorted] = applyAll(sortIndicesOp, [reshape(indices!, [count])], {}) as readonly [Tensor, Tensor];
    return [apply(segmentSumOp, [reshape(g!, [count, width]), order, sorted], { rows }), undefined];
  },
  check: CHECKS && {
    reference([table, indices]) {
      const width = table!.shape[1]!;
      return Float64Array.from({ length: indices!.data.length * width }, (_, at) => {
        return table!.data[indices!.data[Math.floor(at / width)]! * width + (at % width)]!;
      });
    },
    samples: [sample(7, 3, [5, 13]), sample(3, 8, [66])],
  },
});

function sample(rows: number, width: number, indices: readonly number[]): Sample<object> {
  const input = { shape: indices, dtype: 'u32', min: 0, max: rows - 1 } as const;
  return { inputs: [{ shape: [rows, width] }, input], attrs: {} };
}

/**
 * Rows of a table [count, width] at indices u32 […]: […, width]. As `gather`; its gradient adds the terms of each row up in their
 * order, whatever there are of others.
 */
export function embedding(table: Tensor, indices: Tensor): Tensor {
  const fits =
    table.shape.length === 2 && table.dtype === 'f32' && indices.dtype === 'u32' && sizeOf(indices.shape) > 0;
  return fits ? apply(embeddingOp, [table, indices], {}) : gather(table, indices);
}

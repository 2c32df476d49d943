// Look-up of rows by index, and its transpose: adding rows up by index, in a fixed order.

import functions from '../../shaders/functions.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { equal, less, where } from './elementwise.ts';
import { wgsl } from './expression.ts';
import { iota } from './source.ts';
import { apply, elementType, show, sizeOf, type Tensor } from './tensor.ts';
import { reshape } from './view.ts';

function checkIndices({ dtype }: Tensor): void {
  if (elementType(dtype) !== 'u32') throw new ShapeError(`wants indices of u32 or u8, got ${dtype}`);
}

export const gatherOp = defineOp<object>({
  name: 'gather',
  traits: { flops: 10 },
  infer([table, indices]) {
    if (table!.shape.length < 1) throw new ShapeError('wants a table of at least one axis, got a scalar');
    checkIndices(indices!);
    return { shape: [...indices!.shape, ...table!.shape.slice(1)], dtype: elementType(table!.dtype) };
  },
  grad(node, g) {
    const [table, indices] = node.inputs as [Tensor, Tensor];
    return [scatterAdd(g, indices, table.shape[0]!), undefined];
  },
  emit(emitter, { inputs }, coords) {
    const [table, indices] = inputs as [Tensor, Tensor];
    const rank = indices.shape.length;
    const count = table.shape[0]!;
    const index = emitter.value(indices, coords.slice(0, rank));
    const value = emitter.value(table, [emitter.index(index, count), ...coords.slice(rank)]);
    if (elementType(table.dtype) !== 'f32') return value;
    return emitter.use(wgsl`nan_unless(${index} < ${count}u, ${value})`, functions);
  },
  check: CHECKS && {
    reference([table, indices]) {
      const width = sizeOf(table!.shape.slice(1));
      const count = table!.shape[0]!;
      return Float64Array.from({ length: indices!.data.length * width }, (_, flat) => {
        const row = indices!.data[Math.floor(flat / width)]!;
        return row < count ? table!.data[row * width + (flat % width)]! : Number.NaN;
      });
    },
    samples: [
      { inputs: [{ shape: [5, 8] }, { shape: [7], dtype: 'u32', min: 0, max: 4 }], attrs: {} },
      { inputs: [{ shape: [4, 3] }, { shape: [2, 3], dtype: 'u8', min: 0, max: 3 }], attrs: {} },
      { inputs: [{ shape: [9] }, { shape: [6], dtype: 'u32', min: 0, max: 8 }], attrs: {} },
      {
        inputs: [
          { shape: [6, 12], dtype: 'u8', min: 0, max: 255 },
          { shape: [5], dtype: 'u32', min: 0, max: 5 },
        ],
        attrs: {},
      },
    ],
    random(int) {
      const rows = int(1, 12);
      const table = { shape: [rows, int(1, 9)] };
      return { inputs: [table, { shape: [int(1, 12)], dtype: 'u32', min: 0, max: rows - 1 }], attrs: {} };
    },
  },
});

/**
 * Rows of `table` [V, …] at `indices` (u32 or u8): [...indices, …]. An index beyond the table gives NaN, so that a loss
 * shows it; of a table of u32 or u8, which have no NaN, it gives the last row.
 */
export function gather(table: Tensor, indices: Tensor): Tensor {
  return apply(gatherOp, [table, indices], {});
}

export const scatterAddOp = defineOp<{ rows: number }>({
  name: 'scatterAdd',
  // Each element looks at every index: no atomics, so the order of the additions is fixed.
  traits: { flops: 1000, rereads: true, isolated: true, long: true },
  infer([values, indices], { rows }) {
    checkIndices(indices!);
    const rank = indices!.shape.length;
    if (indices!.shape.some((dim, axis) => dim !== values!.shape[axis])) {
      throw new ShapeError(
        `values ${show(values!.shape)} do not begin with the shape of indices ${show(indices!.shape)}`,
      );
    }
    return { shape: [rows, ...values!.shape.slice(rank)], dtype: 'f32' };
  },
  // An index that adds to none has no slope, and not the NaN that `gather` gives it.
  grad({ inputs: [values, indices], attrs: { rows } }, g) {
    const valid = reshape(less(indices!, rows), [
      ...indices!.shape,
      ...values!.shape.slice(indices!.shape.length).map(() => 1),
    ]);
    return [where(valid, gather(g, indices!), 0), undefined];
  },
  emit(emitter, { inputs }, coords) {
    const [values, indices] = inputs as [Tensor, Tensor];
    const rank = indices.shape.length;
    if (indices.size === 0) return wgsl`0.0`;
    return emitter.sum(indices.size, (k) => {
      const at = emitter.unflatten(k, indices.shape);
      const value = emitter.value(values, [...at, ...coords.slice(1)]);
      return wgsl`select(0.0, ${value}, ${emitter.value(indices, at.slice(0, rank))} == ${coords[0]!})`;
    });
  },
  check: CHECKS && {
    reference([values, indices], _, shape) {
      const out = new Float64Array(sizeOf(shape));
      const width = sizeOf(shape.slice(1));
      indices!.data.forEach((row, i) => {
        for (let j = 0; j < width && row < shape[0]!; j++) out[row * width + j]! += values!.data[i * width + j]!;
      });
      return out;
    },
    samples: [
      { inputs: [{ shape: [7, 8] }, { shape: [7], dtype: 'u32', min: 0, max: 4 }], attrs: { rows: 5 } },
      { inputs: [{ shape: [2, 3, 5] }, { shape: [2, 3], dtype: 'u32', min: 0, max: 3 }], attrs: { rows: 4 } },
      { inputs: [{ shape: [5, 8] }, { shape: [5], dtype: 'u8', min: 0, max: 4 }], attrs: { rows: 3 } },
      { inputs: [{ shape: [0, 5] }, { shape: [0], dtype: 'u32', min: 0, max: 0 }], attrs: { rows: 4 } },
    ],
    random(int) {
      const rows = int(1, 9);
      const count = int(1, 12);
      return {
        inputs: [{ shape: [count, int(1, 9)] }, { shape: [count], dtype: 'u32', min: 0, max: rows - 1 }],
        attrs: { rows },
      };
    },
  },
});

/**
 * Sums rows of `values` that share an index (u32 or u8): the result's row r is Σ values[i] over indices[i] = r. An index
 * from `rows` on adds to none.
 */
export function scatterAdd(values: Tensor, indices: Tensor, rows: number): Tensor {
  return apply(scatterAddOp, [values, indices], { rows });
}

/**
 * Rows with a 1 at each index (u32 or u8, […]) and 0 elsewhere: f32 […, classes]. An index from `classes` on gives a row of
 * zeros.
 */
export function oneHot(indices: Tensor, classes: number): Tensor {
  const { shape } = indices;
  return equal(iota([...shape, classes], shape.length, 'u32'), reshape(indices, [...shape, 1]));
}

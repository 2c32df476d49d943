// Look-up of rows by index, and its transpose: adding rows up by index, in a fixed order.
import { ShapeError } from '../errors.ts';
import { equal } from './elementwise.ts';
import { iota } from './source.ts';
import { apply, elementType, type Op, show, sizeOf, type Tensor } from './tensor.ts';
import { reshape } from './view.ts';

export const gatherOp: Op<object> = {
  name: 'gather',
  traits: { flops: 10 },
  infer([table, indices]) {
    if (table!.shape.length < 1) throw new ShapeError('wants a table of at least one axis, got a scalar');
    if (indices!.dtype !== 'u32') throw new ShapeError(`wants indices of u32, got ${indices!.dtype}`);
    return { shape: [...indices!.shape, ...table!.shape.slice(1)], dtype: elementType(table!.dtype) };
  },
  grad(node, g) {
    const [table, indices] = node.inputs as [Tensor, Tensor];
    return [scatterAdd(g, indices, table.shape[0]!), undefined];
  },
  emit(emitter, { inputs }, coords) {
    const [table, indices] = inputs as [Tensor, Tensor];
    const rank = indices.shape.length;
    const row = emitter.index(emitter.value(indices, coords.slice(0, rank)), table.shape[0]!);
    return emitter.value(table, [row, ...coords.slice(rank)]);
  },
  check: CHECKS && {
    reference([table, indices]) {
      const width = sizeOf(table!.shape.slice(1));
      const rows = Array.from(indices!.data, (row) => Array.from(table!.data.subarray(row * width, (row + 1) * width)));
      return Float64Array.from(rows.flat());
    },
    samples: [
      { inputs: [{ shape: [5, 8] }, { shape: [7], dtype: 'u32', min: 0, max: 4 }], attrs: {} },
      { inputs: [{ shape: [4, 3] }, { shape: [2, 3], dtype: 'u32', min: 0, max: 3 }], attrs: {} },
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
};

/** Rows of `table` [V, …] at `indices` (u32): [...indices, …]. An index beyond the table reads its last row. */
export function gather(table: Tensor, indices: Tensor): Tensor {
  return apply(gatherOp, [table, indices], {});
}

export const scatterAddOp: Op<{ rows: number }> = {
  name: 'scatterAdd',
  // Each element looks at every index: no atomics, so the order of the additions is fixed.
  traits: { flops: 1000, rereads: true, isolated: true, long: true },
  infer([values, indices], { rows }) {
    if (indices!.dtype !== 'u32') throw new ShapeError(`wants indices of u32, got ${indices!.dtype}`);
    const rank = indices!.shape.length;
    if (indices!.shape.some((dim, axis) => dim !== values!.shape[axis])) {
      throw new ShapeError(
        `values ${show(values!.shape)} do not begin with the shape of indices ${show(indices!.shape)}`,
      );
    }
    return { shape: [rows, ...values!.shape.slice(rank)], dtype: 'f32' };
  },
  grad: (node, g) => [gather(g, node.inputs[1]!), undefined],
  emit(emitter, { inputs }, coords) {
    const [values, indices] = inputs as [Tensor, Tensor];
    const rank = indices.shape.length;
    return emitter.sum(indices.size, (k) => {
      const at = emitter.unflatten(k, indices.shape);
      const value = emitter.value(values, [...at, ...coords.slice(1)]);
      return `select(0.0, ${value}, ${emitter.value(indices, at.slice(0, rank))} == ${coords[0]})`;
    });
  },
  check: CHECKS && {
    reference([values, indices], _, shape) {
      const out = new Float64Array(sizeOf(shape));
      const width = sizeOf(shape.slice(1));
      indices!.data.forEach((row, i) => {
        for (let j = 0; j < width; j++) out[row * width + j]! += values!.data[i * width + j]!;
      });
      return out;
    },
    samples: [
      { inputs: [{ shape: [7, 8] }, { shape: [7], dtype: 'u32', min: 0, max: 4 }], attrs: { rows: 5 } },
      { inputs: [{ shape: [2, 3, 5] }, { shape: [2, 3], dtype: 'u32', min: 0, max: 3 }], attrs: { rows: 4 } },
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
};

/** Sums rows of `values` that share an index: the result's row r is Σ values[i] over indices[i] = r. */
export function scatterAdd(values: Tensor, indices: Tensor, rows: number): Tensor {
  return apply(scatterAddOp, [values, indices], { rows });
}

/** Rows with a 1 at each index (u32 […]) and 0 elsewhere: f32 […, classes]. */
export function oneHot(indices: Tensor, classes: number): Tensor {
  const { shape } = indices;
  return equal(iota([...shape, classes], shape.length, 'u32'), reshape(indices, [...shape, 1]));
}

// Ops that only change where an element is found: they cost no arithmetic and are fused into whoever reads them.

import { ShapeError } from '../errors.ts';
import { Affine } from './affine.ts';
import { defineOp } from './define.ts';
import { type Expr, wgsl } from './expression.ts';
import { ALIGNMENT, alignedSize } from './source.ts';
import {
  apply,
  axisOf,
  broadcastShapes,
  type DType,
  elementType,
  type NdArray,
  type Shape,
  sameShape,
  show,
  sizeOf,
  stridesOf,
  type Tensor,
  type TensorOf,
} from './tensor.ts';

/** Builds a reference result from a rule that says which element of which input stands at some coordinates. */
function pick(shape: Shape, rule: (coords: number[]) => number): Float64Array {
  const strides = stridesOf(shape);
  return Float64Array.from({ length: sizeOf(shape) }, (_, flat) =>
    rule(shape.map((dim, axis) => Math.floor(flat / strides[axis]!) % dim)),
  );
}

function at(array: NdArray, coords: readonly number[]): number {
  const strides = stridesOf(array.shape);
  return array.data[coords.reduce((sum, coord, axis) => sum + coord * strides[axis]!, 0)]!;
}

const elementDtype = (tensor: Tensor) => elementType(tensor.dtype);

export const reshapeOp = defineOp<{ shape: Shape }>({
  name: 'reshape',
  traits: { view: true, aligned: true },
  infer([x], { shape }) {
    if (sizeOf(shape) !== x!.size) throw new ShapeError(`${show(x!.shape)} does not fit into ${show(shape)}`);
    return { shape, dtype: x!.dtype };
  },
  grad: (node, g) => [reshape(g, node.inputs[0]!.shape)],
  emit(emitter, node, coords) {
    const [x] = node.inputs;
    return emitter.value(x!, emitter.unflatten(emitter.flatten(coords, node.shape), x!.shape));
  },
  check: CHECKS && {
    reference: ([x]) => x!.data.slice(),
    samples: [
      { inputs: [{ shape: [4, 6] }], attrs: { shape: [3, 8] } },
      { inputs: [{ shape: [5, 7] }], attrs: { shape: [35] } },
      { inputs: [{ shape: [1] }], attrs: { shape: [] } },
    ],
  },
});

/** The same elements in row-major order under another shape; one size may be −1. */
export function reshape<D extends DType>(x: TensorOf<D>, shape: Shape): TensorOf<D> {
  const known = shape.filter((dim) => dim !== -1).reduce((product, dim) => product * dim, 1);
  const resolved = shape.map((dim) => (dim === -1 ? x.size / known : dim));
  return apply(reshapeOp, [x], { shape: resolved }) as TensorOf<D>;
}

export const transposeOp = defineOp<{ axes: readonly number[] }>({
  name: 'transpose',
  traits: { view: true },
  // Rows stay rows.
  wide: ({ inputs: [x], attrs: { axes } }) => axes.filter((axis) => x!.shape[axis] !== 1).at(-1) === lastAxis(x!.shape),
  infer([x], { axes }) {
    const order = [...axes].sort((a, b) => a - b);
    if (order.length !== x!.shape.length || order.some((axis, i) => axis !== i)) {
      throw new ShapeError(`axes ${show(axes)} are no permutation of the axes of ${show(x!.shape)}`);
    }
    return { shape: axes.map((axis) => x!.shape[axis]!), dtype: elementDtype(x!) };
  },
  grad: ({ attrs }, g) => [transpose(g, inverse(attrs.axes))],
  emit: (emitter, { inputs, attrs }, coords) =>
    emitter.value(
      inputs[0]!,
      inverse(attrs.axes).map((axis) => coords[axis]!),
    ),
  check: CHECKS && {
    reference: ([x], { axes }, shape) =>
      pick(shape, (coords) =>
        at(
          x!,
          inverse(axes).map((axis) => coords[axis]!),
        ),
      ),
    samples: [
      { inputs: [{ shape: [4, 6] }], attrs: { axes: [1, 0] } },
      { inputs: [{ shape: [2, 3, 5] }], attrs: { axes: [2, 0, 1] } },
    ],
    random(int) {
      const shape = Array.from({ length: int(1, 4) }, () => int(1, 6));
      const axes = shape.map((_, axis) => axis);
      for (let i = axes.length - 1; i > 0; i--) {
        const j = int(0, i);
        [axes[i], axes[j]] = [axes[j]!, axes[i]!];
      }
      return { inputs: [{ shape }], attrs: { axes } };
    },
  },
});

/** The last axis of more than one element. */
function lastAxis(shape: Shape): number | undefined {
  return shape.map((_, axis) => axis).findLast((axis) => shape[axis] !== 1);
}

export function inverse(axes: readonly number[]): number[] {
  const result = new Array<number>(axes.length);
  axes.forEach((axis, i) => {
    result[axis] = i;
  });
  return result;
}

/** The axes in another order; reversed by default. */
export function transpose(x: Tensor, axes: readonly number[] = x.shape.map((_, i) => x.shape.length - 1 - i)): Tensor {
  return apply(transposeOp, [x], { axes });
}

export const broadcastToOp = defineOp<{ shape: Shape }>({
  name: 'broadcastTo',
  traits: { view: true },
  infer([x], { shape }) {
    if (!sameShape(broadcastShapes(x!.shape, shape), shape)) {
      throw new ShapeError(`${show(x!.shape)} does not broadcast to ${show(shape)}`);
    }
    return { shape, dtype: elementDtype(x!) };
  },
  // The autodiff sums the cotangent over the broadcast axes.
  grad: (_, g) => [g],
  emit(emitter, { inputs: [x] }, coords) {
    const inner = coords.slice(coords.length - x!.shape.length);
    return emitter.value(
      x!,
      inner.map((coord, axis) => (x!.shape[axis] === 1 ? Affine.constant(0) : coord)),
    );
  },
  check: CHECKS && {
    reference: ([x], _, shape) =>
      pick(shape, (coords) => {
        const inner = coords.slice(coords.length - x!.shape.length);
        return at(
          x!,
          inner.map((coord, axis) => (x!.shape[axis] === 1 ? 0 : coord)),
        );
      }),
    samples: [
      { inputs: [{ shape: [3, 1] }], attrs: { shape: [2, 3, 8] } },
      { inputs: [{ shape: [] }], attrs: { shape: [5] } },
    ],
  },
});

/** Repeats axes of size 1 (and adds axes in front) until the shape fits. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply(broadcastToOp, [x], { shape });
}

export interface Slice {
  readonly starts: readonly number[];
  readonly sizes: readonly number[];
}

export const sliceOp = defineOp<Slice>({
  name: 'slice',
  traits: { view: true },
  infer([x], { starts, sizes }) {
    const { shape } = x!;
    const fits = shape.every((dim, i) => starts[i]! >= 0 && sizes[i]! >= 0 && starts[i]! + sizes[i]! <= dim);
    if (!fits || starts.length !== shape.length) {
      throw new ShapeError(`${show(sizes)} from ${show(starts)} is not inside ${show(shape)}`);
    }
    return { shape: sizes, dtype: elementDtype(x!) };
  },
  grad: (node, g) => [padTo(g, node.inputs[0]!.shape, node.attrs.starts)],
  emit: (emitter, { inputs, attrs }, coords) =>
    emitter.value(
      inputs[0]!,
      coords.map((coord, axis) => coord.plus(attrs.starts[axis]!)),
    ),
  check: CHECKS && {
    reference: ([x], { starts }, shape) =>
      pick(shape, (coords) =>
        at(
          x!,
          coords.map((c, axis) => c + starts[axis]!),
        ),
      ),
    samples: [
      { inputs: [{ shape: [4, 12] }], attrs: { starts: [1, 4], sizes: [2, 8] } },
      { inputs: [{ shape: [5, 7] }], attrs: { starts: [0, 3], sizes: [5, 3] } },
    ],
    random(int) {
      const shape = Array.from({ length: int(1, 3) }, () => int(1, 9));
      const starts = shape.map((dim) => int(0, dim - 1));
      return { inputs: [{ shape }], attrs: { starts, sizes: shape.map((dim, i) => int(1, dim - starts[i]!)) } };
    },
  },
});

/** Elements `start` to `end` (excluded; to the end by default) of an axis. */
export function slice(x: Tensor, axis: number, start: number, end?: number): Tensor {
  const along = axisOf(axis, x.shape.length);
  const stop = end ?? x.shape[along]!;
  const starts = x.shape.map((_, i) => (i === along ? start : 0));
  return apply(sliceOp, [x], { starts, sizes: x.shape.map((dim, i) => (i === along ? stop - start : dim)) });
}

export const padOp = defineOp<{ starts: readonly number[]; shape: Shape }>({
  name: 'pad',
  traits: { flops: 2 },
  infer([x], { starts, shape }) {
    if (!x!.shape.every((dim, i) => starts[i]! >= 0 && starts[i]! + dim <= shape[i]!)) {
      throw new ShapeError(`${show(x!.shape)} at ${show(starts)} is not inside ${show(shape)}`);
    }
    return { shape, dtype: elementDtype(x!) };
  },
  grad: (node, g) => [apply(sliceOp, [g], { starts: node.attrs.starts, sizes: node.inputs[0]!.shape })],
  emit(emitter, { inputs: [x], attrs, dtype }, coords) {
    const inner = coords.map((coord, axis) => coord.plus(-attrs.starts[axis]!));
    const outside: Expr[] = [];
    for (const [axis, coord] of inner.entries()) {
      const dim = x!.shape[axis]!;
      if (coord.max < 0 || coord.min >= dim) return elementType(dtype) === 'f32' ? wgsl`0.0` : wgsl`0u`;
      // A coordinate below the start wraps around to a huge number, so one comparison does for both ends.
      if (coord.min < 0 || coord.max >= dim) outside.push(wgsl`${coord} >= ${dim}u`);
    }
    return emitter.masked(emitter.value(x!, inner), outside, elementType(dtype));
  },
  check: CHECKS && {
    reference: ([x], { starts }, shape) =>
      pick(shape, (coords) => {
        const inner = coords.map((coord, axis) => coord - starts[axis]!);
        return inner.every((coord, axis) => coord >= 0 && coord < x!.shape[axis]!) ? at(x!, inner) : 0;
      }),
    samples: [
      { inputs: [{ shape: [2, 8] }], attrs: { starts: [1, 4], shape: [4, 16] } },
      { inputs: [{ shape: [5, 3] }], attrs: { starts: [0, 3], shape: [5, 7] } },
    ],
    random(int) {
      const inner = Array.from({ length: int(1, 3) }, () => int(1, 6));
      const starts = inner.map(() => int(0, 5));
      return {
        inputs: [{ shape: inner }],
        attrs: { starts, shape: inner.map((dim, i) => dim + starts[i]! + int(0, 5)) },
      };
    },
  },
});

/** Puts `x` at `starts` into zeros of a shape. */
export function padTo(x: Tensor, shape: Shape, starts: readonly number[]): Tensor {
  return apply(padOp, [x], { starts, shape });
}

/** Where each input of a concatenation starts along its axis. */
function offsets(inputs: readonly { shape: Shape }[], axis: number): number[] {
  let offset = 0;
  return inputs.map(({ shape }) => {
    const start = offset;
    offset += shape[axis]!;
    return start;
  });
}

export const concatOp = defineOp<{ axis: number }>({
  name: 'concat',
  traits: { flops: 3 },
  infer(inputs, { axis }) {
    const [first] = inputs;
    if (!first) throw new ShapeError('takes at least one tensor, got none');
    for (const { shape } of inputs) {
      const fits = shape.length === first.shape.length && shape.every((dim, i) => i === axis || dim === first.shape[i]);
      if (!fits) throw new ShapeError(`${show(first.shape)} and ${show(shape)} differ in another axis than ${axis}`);
    }
    const total = inputs.reduce((sum, { shape }) => sum + shape[axis]!, 0);
    return { shape: first.shape.map((dim, i) => (i === axis ? total : dim)), dtype: elementDtype(first) };
  },
  grad(node, g) {
    const { axis } = node.attrs;
    const starts = offsets(node.inputs, axis);
    return node.inputs.map((x, i) => slice(g, axis, starts[i]!, starts[i]! + x.shape[axis]!));
  },
  emit(emitter, { inputs, attrs: { axis } }, coords) {
    const starts = offsets(inputs, axis);
    const coord = coords[axis]!;
    let result: Expr | undefined;
    for (const [i, x] of inputs.entries()) {
      const start = starts[i]!;
      if (coord.max < start || coord.min >= start + x.shape[axis]!) continue;
      const value = emitter.value(
        x,
        coords.map((c, k) => (k === axis ? c.plus(-start) : c)),
      );
      result = result === undefined ? value : emitter.let(wgsl`select(${value}, ${result}, ${coord} < ${start}u)`);
    }
    return result!;
  },
  check: CHECKS && {
    reference(inputs, { axis }, shape) {
      const starts = offsets(inputs, axis);
      return pick(shape, (coords) => {
        let i = inputs.length - 1;
        while (coords[axis]! < starts[i]!) i--;
        return at(
          inputs[i]!,
          coords.map((coord, k) => (k === axis ? coord - starts[i]! : coord)),
        );
      });
    },
    samples: [
      { inputs: [{ shape: [3, 4] }, { shape: [3, 8] }], attrs: { axis: 1 } },
      { inputs: [{ shape: [3, 5] }, { shape: [3, 1] }, { shape: [3, 7] }], attrs: { axis: 1 } },
      { inputs: [{ shape: [2, 5] }, { shape: [4, 5] }], attrs: { axis: 0 } },
      { inputs: [{ shape: [2, 5] }, { shape: [0, 5] }], attrs: { axis: 0 } },
    ],
    random(int) {
      const shape = Array.from({ length: int(1, 3) }, () => int(1, 6));
      const axis = int(0, shape.length - 1);
      const part = () => ({ shape: shape.map((dim, i) => (i === axis ? int(1, 7) : dim)) });
      return { inputs: Array.from({ length: int(1, 4) }, part), attrs: { axis } };
    },
  },
});

/** Joins tensors along an axis. */
export function concat(inputs: readonly Tensor[], axis = 0): Tensor {
  return apply(concatOp, inputs, { axis: inputs[0] ? axisOf(axis, inputs[0].shape.length) : 0 });
}

export const packOp = defineOp<object>({
  name: 'pack',
  traits: { flops: 3 },
  infer: (inputs) => ({ shape: [inputs.reduce((sum, { size }) => sum + alignedSize(size), 0)], dtype: 'f32' }),
  grad(node, g) {
    let start = 0;
    return node.inputs.map((x) => {
      const part = reshape(slice(g, 0, start, start + x.size), x.shape);
      start += alignedSize(x.size);
      return part;
    });
  },
  emit(emitter, { inputs }, [flat]) {
    let start = 0;
    let result = wgsl`0.0`;
    for (const x of inputs) {
      const inside = flat!.plus(-start);
      start += alignedSize(x.size);
      if (inside.max < 0 || inside.min >= x.size) continue;
      const value = emitter.value(x, emitter.unflatten(inside, x.shape));
      result = emitter.let(wgsl`select(${result}, ${value}, ${inside} < ${x.size}u)`);
    }
    return result;
  },
  check: CHECKS && {
    reference(inputs, _, shape) {
      const out = new Float64Array(sizeOf(shape));
      let start = 0;
      for (const { data } of inputs) {
        out.set(data, start);
        start += alignedSize(data.length);
      }
      return out;
    },
    samples: [{ inputs: [{ shape: [3, 5] }, { shape: [ALIGNMENT] }, { shape: [70] }], attrs: {} }],
  },
});

/** Flattens tensors into one, each at a 256-byte boundary with zeros between: the layout of packed variables. */
export function pack(inputs: readonly Tensor[]): Tensor {
  return apply(packOp, inputs, {});
}

export const stopGradientOp = defineOp<object>({
  name: 'stopGradient',
  traits: { view: true, aligned: true },
  infer: ([x]) => ({ shape: x!.shape, dtype: elementDtype(x!) }),
  emit: (emitter, { inputs }, coords) => emitter.value(inputs[0]!, coords),
  check: CHECKS && {
    reference: ([x]) => x!.data.slice(),
    samples: [{ inputs: [{ shape: [3, 5] }], attrs: {} }],
  },
});

/** The same value, as a constant to the autodiff. */
export function stopGradient(x: Tensor): Tensor {
  return apply(stopGradientOp, [x], {});
}

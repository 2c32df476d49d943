// The ops that only pick elements, as the evaluator knows them: for each element of the result, which input it comes from and
// where it lies there.
import type { Tensor } from '../../src/ops/tensor.ts';
import { coordsOf, flatOf, sizeOf } from './values.ts';

/** Element `at` of input `input`; undefined is 0. */
type Source = { readonly input: number; readonly at: number } | undefined;

/** Where an element at `coords` (and `flat`) of a view comes from. */
type View = (node: Tensor, coords: readonly number[], flat: number) => Source;

/** Elements of four bytes from one part of a pack to the next: 256 bytes, or a multiple. */
export const packedSize = (size: number) => 64 * Math.ceil(size / 64);

interface Attrs {
  readonly axes: readonly number[];
  readonly starts: readonly number[];
  readonly axis: number;
}

const shift = (coords: readonly number[], by: readonly number[], sign: 1 | -1) =>
  coords.map((coord, axis) => coord + sign * by[axis]!);

export const views: Readonly<Record<string, View>> = {
  reshape: (_node, _coords, at) => ({ input: 0, at }),
  stopGradient: (_node, _coords, at) => ({ input: 0, at }),
  after: (_node, _coords, at) => ({ input: 0, at }),
  transpose(node, coords) {
    const inner = new Array<number>(coords.length);
    (node.attrs as Attrs).axes.forEach((axis, i) => {
      inner[axis] = coords[i]!;
    });
    return { input: 0, at: flatOf(inner, node.inputs[0]!.shape) };
  },
  broadcastTo(node, coords) {
    return { input: 0, at: broadcastFlat(coords, node.inputs[0]!.shape) };
  },
  slice(node, coords) {
    return { input: 0, at: flatOf(shift(coords, (node.attrs as Attrs).starts, 1), node.inputs[0]!.shape) };
  },
  pad(node, coords) {
    const { shape } = node.inputs[0]!;
    const inner = shift(coords, (node.attrs as Attrs).starts, -1);
    const inside = inner.every((coord, axis) => coord >= 0 && coord < shape[axis]!);
    return inside ? { input: 0, at: flatOf(inner, shape) } : undefined;
  },
  concat(node, coords) {
    const { axis } = node.attrs as Attrs;
    const inner = [...coords];
    for (const [input, { shape }] of node.inputs.entries()) {
      if (inner[axis]! < shape[axis]!) return { input, at: flatOf(inner, shape) };
      inner[axis]! -= shape[axis]!;
    }
    throw new Error('beyond the last part of a concat');
  },
  pack(node, _coords, flat) {
    let at = flat;
    for (const [input, { size }] of node.inputs.entries()) {
      if (at < packedSize(size)) return at < size ? { input, at } : undefined;
      at -= packedSize(size);
    }
    return undefined;
  },
};

/** Where an operand's element lies that stands at `coords` of what it is broadcast to. */
export function broadcastFlat(coords: readonly number[], shape: readonly number[]): number {
  const skip = coords.length - shape.length;
  let flat = 0;
  for (let axis = 0; axis < shape.length; axis++) {
    flat = flat * shape[axis]! + (shape[axis] === 1 ? 0 : coords[skip + axis]!);
  }
  return flat;
}

/** The sources of all elements of a view. */
export function sourcesOf(node: Tensor): Source[] {
  const view = views[node.op.name]!;
  return Array.from({ length: sizeOf(node.shape) }, (_, flat) => view(node, coordsOf(flat, node.shape), flat));
}

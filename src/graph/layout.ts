// Rules that move transposes to where they cost nothing: behind elementwise ops and sums, until they meet their inverse
// or a kernel that reads through them. A chain of convolutions, which keep channels last, so transposes nothing between.
import { type MatmulAttrs, matmulOp } from '../ops/matmul.ts';
import type { ReduceAttrs } from '../ops/reduce.ts';
import { apply, type Tensor } from '../ops/tensor.ts';
import { inverse, reshape, type Slice, sliceOp, transpose, transposeOp } from '../ops/view.ts';

const axesOf = (node: Tensor) => (node.attrs as { axes: readonly number[] }).axes;

/** An elementwise op of transposed tensors, and of others that it broadcasts, is the transpose of one of the tensors. */
export function elementwiseOfTransposes(node: Tensor): Tensor | undefined {
  const rank = node.shape.length;
  const whole = node.inputs.filter(({ size, shape }) => size === node.size && shape.length === rank);
  const [first] = whole;
  if (!first || whole.some((x) => x.op !== transposeOp || String(axesOf(x)) !== String(axesOf(first))))
    return undefined;
  const axes = axesOf(first);
  const inputs = node.inputs.map((x) => {
    if (whole.includes(x)) return x.inputs[0]!;
    if (x.shape.length === 0) return x;
    const filled = [...new Array<number>(rank - x.shape.length).fill(1), ...x.shape];
    return transpose(reshape(x, filled), inverse(axes));
  });
  return transpose(apply(node.op, inputs, node.attrs, node.path), axes);
}

/** A reduction of a transposed tensor is one of the tensor, over the axes where they came from. */
export function reductionOfTranspose(node: Tensor): Tensor | undefined {
  const [x] = node.inputs;
  if (x!.op !== transposeOp) return undefined;
  const from = axesOf(x!);
  const { axes } = node.attrs as ReduceAttrs;
  const ascending = (list: readonly number[]) => [...list].sort((a, b) => a - b);
  const reduced = apply(node.op, [x!.inputs[0]!], { axes: ascending(axes.map((axis) => from[axis]!)) }, node.path);
  const left = from.filter((_, axis) => !axes.includes(axis));
  const order = ascending(left);
  return transpose(
    reduced,
    left.map((axis) => order.indexOf(axis)),
  );
}

/** A slice of a transposed tensor is the transpose of a slice. */
export function sliceOfTranspose(node: Tensor): Tensor | undefined {
  const [x] = node.inputs;
  if (x!.op !== transposeOp) return undefined;
  const axes = axesOf(x!);
  const { starts, sizes } = node.attrs as Slice;
  const back = (list: readonly number[]) => inverse(axes).map((axis) => list[axis]!);
  return transpose(apply(sliceOp, [x!.inputs[0]!], { starts: back(starts), sizes: back(sizes) }, node.path), axes);
}

/** Whether a tensor is another whose matrices are stored the other way round. */
function turned(x: Tensor): boolean {
  if (x.op !== transposeOp) return false;
  const axes = axesOf(x);
  const last = axes.length - 1;
  return axes.every((axis, i) => axis === (i === last ? last - 1 : i === last - 1 ? last : i));
}

/** A matmul reads transposed operands in place. */
export function matmulOfTransposes(node: Tensor): Tensor | undefined {
  const { transposeA, transposeB } = node.attrs as MatmulAttrs;
  const [a, b] = node.inputs as [Tensor, Tensor];
  if (!turned(a) && !turned(b)) return undefined;
  return apply(
    matmulOp,
    [a, b].map((x) => (turned(x) ? x.inputs[0]! : x)),
    { transposeA: transposeA !== turned(a), transposeB: transposeB !== turned(b) },
    node.path,
  );
}

// Reverse-mode automatic differentiation over the op registry: gradients are tensors of the same kind of graph.
import { ShapeError } from '../errors.ts';
import { add } from '../ops/elementwise.ts';
import { sum } from '../ops/reduce.ts';
import { constant } from '../ops/source.ts';
import {
  elementType,
  partsOf,
  resultOp,
  type Shape,
  sameShape,
  scope,
  show,
  type Tensor,
  typeOf,
  where,
} from '../ops/tensor.ts';
import { broadcastTo, reshape, stopGradientOp } from '../ops/view.ts';
import { topological } from './graph.ts';

/** Sums a cotangent over the axes along which an operand of `shape` was broadcast. */
function sumTo(cotangent: Tensor, shape: Shape): Tensor {
  if (sameShape(cotangent.shape, shape)) return cotangent;
  const extra = cotangent.shape.length - shape.length;
  const axes = cotangent.shape
    .map((_, axis) => axis)
    .filter((axis) => {
      return axis < extra || (shape[axis - extra] === 1 && cotangent.shape[axis] !== 1);
    });
  return reshape(sum(cotangent, { axis: axes }), shape);
}

/** Whether a cotangent makes sense for a node. */
const isReal = ({ results, dtype }: Tensor) =>
  (results ?? [{ dtype }]).some(({ dtype }) => elementType(dtype) === 'f32');

const zeros = (shape: Shape) => broadcastTo(constant(0), shape);

/** Cotangents of the inputs of a node by its op's own rule, checked: the rule may be a user's. */
function byRule(node: Tensor, cotangents: readonly Tensor[]): readonly (Tensor | undefined)[] {
  const { op, inputs, path } = node;
  const at = `${where(path)}${op.name}`;
  if (!op.grad) {
    throw new ShapeError(
      `${at} has no gradient rule, and a gradient through it was asked for: give the op a grad (zeroGrad if it is flat)`,
    );
  }
  let parts: readonly (Tensor | undefined)[];
  try {
    parts = op.grad(node, ...cotangents);
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    const given = cotangents.map(typeOf).join(', ');
    throw new ShapeError(`${at}: its grad fails for cotangents ${given}: ${error.message}`, { cause: error });
  }
  if (parts.length !== inputs.length) {
    throw new ShapeError(`${at}: its grad gives ${parts.length} cotangents for ${inputs.length} inputs`);
  }
  parts.forEach((part, i) => {
    const { shape } = inputs[i]!;
    const fits = (dim: number, axis: number) =>
      dim === 1 || dim === part!.shape[axis + part!.shape.length - shape.length];
    if (part && !(elementType(part.dtype) === 'f32' && part.shape.length >= shape.length && shape.every(fits))) {
      throw new ShapeError(`${at}: its grad gives ${typeOf(part)} for input ${i}, which is f32${show(shape)}`);
    }
  });
  return parts;
}

/**
 * Cotangents of `targets`, given those of the `roots`.
 *
 * @param stops whether targets are where the graph begins; else, one that another is computed from gets its part of that, too
 */
function pullback(
  roots: readonly Tensor[],
  seeds: readonly Tensor[],
  targets: ReadonlySet<Tensor>,
  stops = false,
): Map<Tensor, Tensor> {
  const order = topological(roots, (node) => stops && targets.has(node));
  const needed = new Set<Tensor>(stops ? targets : []);
  for (const node of order) {
    const passes = isReal(node) && node.op !== stopGradientOp;
    if (targets.has(node) || (passes && node.inputs.some((input) => needed.has(input)))) needed.add(node);
  }
  const cotangents = new Map<Tensor, Tensor>();
  const accumulate = (node: Tensor, part: Tensor) => {
    const fitting = sumTo(part, node.shape);
    const before = cotangents.get(node);
    cotangents.set(node, before ? add(before, fitting) : fitting);
  };
  roots.forEach((root, i) => {
    accumulate(root, seeds[i]!);
  });
  for (const node of order.reverse()) {
    if (!needed.has(node) || (targets.has(node) && !node.inputs.some((input) => needed.has(input)))) continue;
    // The cotangents of an op's results wait with these until all are known.
    if (node.op === resultOp || !node.all.some((result) => cotangents.has(result))) continue;
    const gs = node.all.map((result) => cotangents.get(result) ?? zeros(result.shape));
    scope(node.path ? `${node.path}.grad` : 'grad', () => {
      if (node.op.decompose && !node.op.grad) {
        // Of an operand that another is computed from, that part is the business of the other's own rule.
        const inner = pullback(partsOf(node)!, gs, new Set(node.inputs), true);
        for (const input of new Set(node.inputs)) {
          const part = inner.get(input);
          if (part && needed.has(input)) accumulate(input, part);
        }
        return;
      }
      const parts = byRule(node, gs);
      node.inputs.forEach((input, i) => {
        const part = parts[i];
        if (part && needed.has(input)) accumulate(input, part);
      });
    });
  }
  return cotangents;
}

/**
 * Gradients of a scalar with respect to tensors of its graph; zero for one that it does not depend on.
 *
 * @throws ShapeError if `loss` is not one f32.
 */
export function gradients(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.size !== 1 || loss.dtype !== 'f32') {
    throw new ShapeError(
      `the gradient is taken of one f32, not of ${loss.dtype}${show(loss.shape)}: sum or average it`,
    );
  }
  const cotangents = pullback([loss], [broadcastTo(constant(1), loss.shape)], new Set(wrt));
  return wrt.map((tensor) => cotangents.get(tensor) ?? zeros(tensor.shape));
}

type Scalar<A extends readonly Tensor[]> = (...args: A) => Tensor;

/** As JAX's `value_and_grad`: the function that gives the value and the gradients of the arguments. */
export function valueAndGrad<A extends readonly Tensor[]>(
  f: Scalar<A>,
): (...args: A) => { value: Tensor; gradients: Tensor[] } {
  return (...args) => {
    const value = f(...args);
    return { value, gradients: gradients(value, args) };
  };
}

/** As JAX's `grad`: the function that gives the gradient of the first argument. */
export function grad<A extends readonly [Tensor, ...Tensor[]]>(f: Scalar<A>): (...args: A) => Tensor {
  return (...args) => gradients(f(...args), [args[0]])[0]!;
}

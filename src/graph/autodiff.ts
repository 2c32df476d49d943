// Reverse-mode automatic differentiation over the op registry: gradients are tensors of the same kind of graph.
import { ShapeError } from '../errors.ts';
import { add } from '../ops/elementwise.ts';
import { sum } from '../ops/reduce.ts';
import { constant } from '../ops/source.ts';
import { elementType, type Shape, sameShape, scope, show, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, reshape } from '../ops/view.ts';
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

/** Cotangents of `targets`, given that of `root`. Nothing is propagated past a target. */
function pullback(root: Tensor, cotangent: Tensor, targets: ReadonlySet<Tensor>): Map<Tensor, Tensor> {
  const order = topological([root]);
  const needed = new Set<Tensor>();
  for (const node of order) {
    if (targets.has(node) || (elementType(node.dtype) === 'f32' && node.inputs.some((input) => needed.has(input))))
      needed.add(node);
  }
  const cotangents = new Map<Tensor, Tensor>([[root, cotangent]]);
  const accumulate = (node: Tensor, part: Tensor) => {
    const fitting = sumTo(part, node.shape);
    const before = cotangents.get(node);
    cotangents.set(node, before ? add(before, fitting) : fitting);
  };
  for (const node of order.reverse()) {
    const g = cotangents.get(node);
    if (!g || !needed.has(node) || (targets.has(node) && !node.inputs.some((input) => needed.has(input)))) continue;
    scope(node.path ? `${node.path}.grad` : 'grad', () => {
      if (node.op.decompose && !node.op.grad) {
        const inner = pullback(node.op.decompose(node.inputs, node.attrs), g, new Set(node.inputs));
        for (const input of new Set(node.inputs)) {
          const part = inner.get(input);
          if (part && needed.has(input)) accumulate(input, part);
        }
        return;
      }
      const parts = node.op.grad?.(node, g) ?? [];
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
  const cotangents = pullback(loss, broadcastTo(constant(1), loss.shape), new Set(wrt));
  return wrt.map((tensor) => cotangents.get(tensor) ?? broadcastTo(constant(0), tensor.shape));
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

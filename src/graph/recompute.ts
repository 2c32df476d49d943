// What may be computed again wherever it is read, rather than by a dispatch that stores it for others.
//
// On a GPU a dispatch costs some microseconds, in which it would do millions of operations: where so few are repeated, and the
// values cannot be stored by a kernel that runs anyway, they are computed in the kernels that read them. An optimizer's code
// (mean, deviation, noise) is such a tensor, which a matmul reads a dozen times.
import { matmulOp } from '../ops/matmul.ts';
import { flopsOf, type Tensor } from '../ops/tensor.ts';
import { baseOf, hasKernel, isIsolated, isSource, reach } from './schedule.ts';

/** Operations that a GPU does while it would begin another dispatch, with so few threads as have them to do. */
const SPARE = 2 ** 22;

/** Operations an element above which a node is computed once: random numbers, indices of a shuffle. */
const EXPENSIVE = 32;
/** Rows and columns of a tile: a matmul reads an operand once for each. */
const TILE = 32;
/** What has fewer elements is better computed in turn, with what needs it. */
const FEW = 64;

/** Nodes to compute again, with those below them to store instead. */
export interface Recomputed {
  readonly stored: readonly Tensor[];
}

/** What may be computed again of a graph, as fusion asks. */
export interface Recompute {
  /** Whether a matmul may compute an operand where it reads it. */
  operand(operand: Tensor, user: Tensor): Recomputed | undefined;
  /** Whether users may each compute a node that several need, or a larger one repeats. */
  shared(node: Tensor, users: readonly Tensor[]): Recomputed | undefined;
}

export const recompute: Recompute = {
  operand: (operand, user) => recomputed(operand, repeats(operand, user)),
  shared(node, users) {
    if (node.size <= FEW) return undefined;
    return recomputed(
      node,
      users.reduce((sum, user) => sum + repeats(node, user), 0),
    );
  },
};

/** How many elements a user would compute. */
function repeats(node: Tensor, user: Tensor): number {
  if (user.op === matmulOp) {
    const [rows, columns] = user.shape.slice(-2) as [number, number];
    const [a, b] = user.inputs.map((input) => baseOf(input) === baseOf(node));
    const times = (a ? Math.ceil(columns / TILE) : 0) + (b ? Math.ceil(rows / TILE) : 0);
    return times === 0 ? Infinity : times * node.size;
  }
  if (user.op.traits?.rereads || user.op.traits?.opaque) return Infinity;
  return hasKernel(user) ? node.size : Math.max(node.size, user.size);
}

/** @param elements how many are computed in all */
function recomputed(node: Tensor, elements: number): Recomputed | undefined {
  if (isBehindKernel(node)) return undefined;
  const isExpensive = (at: Tensor) => flopsOf(at) > EXPENSIVE || at.op.traits?.long === true;
  // What a kernel runs for anyway may as well be stored by it.
  const isStored = (at: Tensor) => isExpensive(at) || (at !== node && flopsOf(at) > 0 && isBehindKernel(at));
  const isLeaf = (at: Tensor) => isSource(at) || hasKernel(at) || isIsolated(at) || isStored(at);
  if (isLeaf(node)) return undefined;
  const region = [...reach([node], isLeaf)];
  const inner = region.filter((at) => !isLeaf(at));
  const isSimple = inner.every(({ op, dtype }) => dtype !== 'f16' && !op.traits?.gathers && !op.traits?.loads);
  const flops = inner.reduce((sum, at) => sum + flopsOf(at), 0);
  if (!isSimple || flops > EXPENSIVE || flops * elements > SPARE) return undefined;
  return { stored: region.filter((at) => isStored(at) && !isSource(at) && !hasKernel(at)) };
}

/** Whether the thread that has a kernel's result computes a node from it: then it costs no dispatch to store. */
function isBehindKernel(node: Tensor): boolean {
  const seen = new Set<Tensor>();
  const stack = [baseOf(node)];
  for (let at = stack.pop(); at; at = stack.pop()) {
    if (hasKernel(at)) return true;
    if (seen.has(at) || isSource(at) || at.op.traits?.aligned !== true) continue;
    seen.add(at);
    for (const input of at.inputs) if (input.size === at.size) stack.push(baseOf(input));
  }
  return false;
}

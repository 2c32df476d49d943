// Mixed precision: what products read of each other's results is stored as f16, in half the memory and traffic.
// Products still add up in f32; parameters, their gradients, the optimizer's state, sums and outputs stay f32.
import { matmulOp } from '../ops/matmul.ts';
import type { Tensor } from '../ops/tensor.ts';
import { packOp } from '../ops/view.ts';
import { type Graph, rewrite, rootsOf, topological } from './graph.ts';
import { baseOf, isSource } from './schedule.ts';

/** An operand, what it is a view of, and so on down to what is computed. */
function chainOf(operand: Tensor): Tensor[] {
  const chain = [operand];
  for (let at = operand; at.op.traits?.view && at.inputs.length === 1; ) {
    at = at.inputs[0]!;
    chain.push(at);
  }
  return chain;
}

/** The graph with operands of products typed f16, which is how they are stored. Nothing else about it changes. */
export function mixedPrecision(graph: Graph): Graph {
  const order = topological(rootsOf(graph));
  // What goes to the caller or into a variable keeps its type, and so do gradients, which lie in a pack.
  const packed = order.filter(({ op }) => op === packOp).flatMap((pack) => [pack, ...pack.inputs]);
  // An opaque kernel binds what it reads and makes in the type that it declares.
  const opaque = order.filter(({ op }) => op.traits?.opaque).flatMap((node) => [...node.all, ...node.inputs]);
  const kept = new Set([...rootsOf(graph), ...packed, ...opaque].flatMap((node) => [node, baseOf(node)]));
  const half = new Set<Tensor>();
  for (const { op, inputs } of order) {
    if (op !== matmulOp) continue;
    for (const chain of inputs.map(chainOf)) {
      if (isSource(chain.at(-1)!)) continue;
      for (const node of chain) if (node.dtype === 'f32' && !kept.has(node)) half.add(node);
    }
  }
  return rewrite(graph, (node, before) => (half.has(before) ? node.with({ dtype: 'f16' }) : node));
}

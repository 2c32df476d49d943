// A graph: what a program computes, as named outputs and updates of variables; how to walk, rewrite and print it.
import type { Variable } from '../ops/source.ts';
import { type Tensor, typeOf } from '../ops/tensor.ts';
import { packOp } from '../ops/view.ts';

/** After a run, `variable` holds `value`. All values are computed from what the variables held before. */
export interface Update {
  readonly variable: Variable;
  readonly value: Tensor;
}

export interface Graph {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly updates: readonly Update[];
}

export function rootsOf(graph: Graph): Tensor[] {
  return [...Object.values(graph.outputs), ...graph.updates.map(({ value }) => value)];
}

/**
 * All nodes below the roots, inputs before users, each once; neither those that `stop` names nor what is below them. The parts of a
 * pack come from the last on: so of gradients, which are packed in the order of the layers, each comes as soon as it is known.
 */
export function topological(roots: Iterable<Tensor>, stop: (node: Tensor) => boolean = () => false): Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>();
  // An explicit stack: models may be deeper than the JavaScript stack.
  const stack: { node: Tensor; next: number }[] = [];
  for (const root of roots) {
    if (seen.has(root) || stop(root)) continue;
    seen.add(root);
    stack.push({ node: root, next: 0 });
    while (stack.length) {
      const top = stack.at(-1)!;
      const { op, inputs } = top.node;
      const child = inputs[op === packOp ? inputs.length - 1 - top.next++ : top.next++];
      if (!child) {
        order.push(top.node);
        stack.pop();
      } else if (!seen.has(child) && !stop(child)) {
        seen.add(child);
        stack.push({ node: child, next: 0 });
      }
    }
  }
  return order;
}

/**
 * Rebuilds a graph from its leaves: `rule` gets each node with its inputs rebuilt, and as it was, and returns what
 * stands for it.
 */
export function rewrite(graph: Graph, rule: (node: Tensor, before: Tensor) => Tensor): Graph {
  const replaced = new Map<Tensor, Tensor>();
  for (const node of topological(rootsOf(graph))) {
    const inputs = node.inputs.map((input) => replaced.get(input)!);
    const same = inputs.every((input, i) => input === node.inputs[i]);
    replaced.set(node, rule(same ? node : node.with({ inputs }), node));
  }
  return {
    outputs: Object.fromEntries(Object.entries(graph.outputs).map(([name, node]) => [name, replaced.get(node)!])),
    updates: graph.updates.map(({ variable, value }) => ({ variable, value: replaced.get(value)! })),
  };
}

/** One line a node, numbered from 0, then the outputs and updates: for people and for tests. */
export function printGraph(graph: Graph): string {
  const names = new Map<Tensor, string>();
  const lines = topological(rootsOf(graph)).map((node, i) => {
    names.set(node, `%${i}`);
    const attrs = node.attrs && Object.keys(node.attrs).length > 0 ? ` ${JSON.stringify(node.attrs)}` : '';
    const inputs = node.inputs.map((input) => names.get(input)).join(', ');
    return `%${i} = ${node.op.name}(${inputs})${attrs} : ${(node.results ?? [node]).map(typeOf).join(', ')}`;
  });
  for (const [name, node] of Object.entries(graph.outputs)) lines.push(`output ${name} = ${names.get(node)}`);
  for (const { variable, value } of graph.updates) lines.push(`update ${variable.name} = ${names.get(value)}`);
  return lines.join('\n');
}

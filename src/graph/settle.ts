// What leaves a graph: a node of its own for each value that goes to an output or into a variable, with copies where a
// value cannot go there itself.
import type { Variable } from '../ops/source.ts';
import { type DType, Tensor } from '../ops/tensor.ts';
import { packOp, stopGradientOp } from '../ops/view.ts';
import { type Graph, rewrite, rootsOf, topological } from './graph.ts';
import { baseOf, isSource } from './schedule.ts';

export interface Settled {
  /** All nodes, inputs before users. */
  readonly order: readonly Tensor[];
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Values that are computed straight into a variable. */
  readonly targets: ReadonlyMap<Tensor, Variable>;
}

/** A node that stores again what another holds. Bytes stay bytes on the way into a variable, and else become words. */
export function copyOf(node: Tensor, dtype: DType = node.dtype === 'u8' ? 'u32' : node.dtype): Tensor {
  return new Tensor(stopGradientOp, [node], {}, node.shape, dtype, node.path);
}

export function isCopy({ op }: Tensor): boolean {
  return op === stopGradientOp;
}

export function settle(graph: Graph): Settled {
  const outputs: Record<string, Tensor> = {};
  const targets = new Map<Tensor, Variable>();
  for (const [name, node] of Object.entries(graph.outputs)) {
    // A source is not the program's to give away, and nor is a constant's memory.
    const value = baseOf(node);
    outputs[name] = isSource(value) ? copyOf(value) : value;
  }
  for (const { variable, value } of graph.updates) {
    const node = baseOf(value);
    const isOthers = isSource(node) || targets.has(node) || node.op === packOp || node.dtype === 'u8';
    targets.set(isOthers ? copyOf(node, node.dtype) : node, variable);
  }
  const order = topological([...rootsOf(graph), ...Object.values(outputs), ...targets.keys()]);
  return { order, outputs, targets };
}

/** The graph with copies of some inputs of packs, which then can be written in place. */
export function copyParts(graph: Graph, wanted: (pack: Tensor, part: number) => boolean): Graph {
  return rewrite(graph, (node, before) => {
    if (node.op !== packOp) return node;
    const inputs = node.inputs.map((input, i) => (wanted(before, i) ? copyOf(input) : input));
    return inputs.some((input, i) => input !== node.inputs[i]) ? node.with({ inputs }) : node;
  });
}

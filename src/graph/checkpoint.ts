// Activation checkpointing (Chen and others, Training Deep Nets with Sublinear Memory Cost, 2016): of some parts of a model nothing is
// kept for the backward pass but what goes into them, and the backward pass computes the rest again.
import { after } from '../ops/after.ts';
import type { Tensor } from '../ops/tensor.ts';
import { type Graph, rewrite, rootsOf, topological } from './graph.ts';

/** The part that a node with this module path belongs to, if it is one to be computed again: a name. */
export type PartOf = (path: string) => string | undefined;

/** What autodiff made stands below `grad`. */
const isBelowGrad = ({ path }: Tensor) => /(^|\.)grad(\.|$)/.test(path);

/** The graph whose backward pass computes again what it reads of such parts, once it has come to them. */
export function checkpoint(graph: Graph, partOf: PartOf): Graph {
  const order = topological(rootsOf(graph));
  const parts = new Map<Tensor, string>();
  for (const node of order) {
    if (node.inputs.length === 0) continue;
    // What a gradient computes of the forward pass alone, a distance from the mean, say, goes with what it reads.
    const isForward = node.inputs.every((input) => parts.has(input) || !isBelowGrad(input));
    const read = node.inputs.map((input) => parts.get(input)).find((part) => part !== undefined);
    const part = isBelowGrad(node) ? (isForward ? read : undefined) : partOf(node.path);
    if (part !== undefined) parts.set(node, part);
  }
  const isGradient = (node: Tensor) => isBelowGrad(node) && !parts.has(node);
  const kept = new Set<Tensor>(rootsOf(graph));
  /** By part, what the backward pass brings to it: of the first node that reads the part, what was computed backward before. */
  const arrivals = new Map<string, Tensor[]>();
  for (const node of order) {
    for (const input of node.inputs) {
      const part = parts.get(input);
      if (part === undefined || part === parts.get(node)) continue;
      if (!isGradient(node)) kept.add(input);
      else if (!arrivals.has(part)) arrivals.set(part, node.inputs.filter(isGradient));
    }
  }
  const replaced = new Map<Tensor, Tensor>();
  const again = new Map<Tensor, Tensor>();
  const computedAgain = (node: Tensor, part: string): Tensor => {
    const made = again.get(node);
    if (made) return made;
    const inputs = node.inputs.map((input) => {
      if (parts.get(input) === part && !kept.has(input)) return computedAgain(input, part);
      const value = replaced.get(input)!;
      // What depends on nothing is not kept anyway, and parameters are there.
      return input.inputs.length === 0
        ? value
        : after(
            value,
            arrivals.get(part)!.map((one) => replaced.get(one)!),
          );
    });
    const result = node.with({ inputs });
    again.set(node, result);
    return result;
  };
  return rewrite(graph, (node, before) => {
    let made = node;
    if (isGradient(before)) {
      const inputs = before.inputs.map((input, i) => {
        const part = parts.get(input);
        const isOpen = part !== undefined && !kept.has(input) && arrivals.has(part);
        return isOpen ? computedAgain(input, part) : node.inputs[i]!;
      });
      if (inputs.some((input, i) => input !== node.inputs[i])) made = node.with({ inputs });
    }
    replaced.set(before, made);
    return made;
  });
}

// Updates that cannot be computed in place, since their kernel reads the variable elsewhere, or because of others that wait
// for one another's old value: these are computed beside, and copied at the end.
import type { Variable } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import type { FusionGroup } from './legality.ts';
import { assemble, type Materialised } from './materialise.ts';
import { dependencies, rankBy, sorted } from './order.ts';
import { baseOf } from './schedule.ts';
import { copyOf, isCopy } from './settle.ts';

export function copyUpdates(materialised: Materialised): Materialised {
  let result = materialised;
  for (;;) {
    const { groups, targets, why, memory } = result;
    const makers = new Map(groups.flatMap((group) => group.outputs.map((node) => [node, group] as const)));
    const isBeside = (node: Tensor) => isCopy(node) && why.has(baseOf(node.inputs[0]!));
    const open = [...targets.keys()].filter((node) => !isBeside(node));
    let wrong = open.filter((node) => makers.get(node)!.refusal?.kind === 'waits');
    if (wrong.length === 0) {
      const circle = circular(groups, targets, result.order);
      wrong = open.filter((node) => circle.has(makers.get(node)!)).slice(0, 1);
    }
    if (wrong.length === 0) return result;
    const copies = new Map(wrong.map((node) => [node, copyOf(node, node.dtype)]));
    for (const [node, copy] of copies) {
      const { name } = targets.get(node)!;
      why.set(node, `the new value of ${name}, whose old value is still read`);
      why.set(copy, `the new value of ${name}`);
    }
    const added = [...copies.values()];
    const settled = {
      outputs: result.outputs,
      order: [...result.order, ...added],
      targets: new Map(
        [...targets].map(([node, variable]): [Tensor, Variable] => [copies.get(node) ?? node, variable]),
      ),
    };
    result = assemble(settled, why, [...result.nodes, ...added], result.packs, memory.maxBuffers);
  }
}

/** Groups that wait for one another in a circle, or stand between two circles. */
function circular(
  groups: readonly FusionGroup[],
  targets: ReadonlyMap<Tensor, Variable>,
  order: readonly Tensor[],
): Set<FusionGroup> {
  const { before, after } = dependencies(groups, targets);
  const rank = rankBy(order);
  const forwards = new Set(sorted(groups, { before, after }, rank));
  const left = groups.filter((group) => !forwards.has(group));
  if (left.length === 0) return new Set();
  const backwards = new Set(sorted(groups, { before: after, after: before }, rank));
  return new Set(left.filter((group) => !backwards.has(group)));
}

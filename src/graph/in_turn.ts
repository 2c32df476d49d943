// Small groups that wait for one another become one dispatch of one workgroup, which computes them in turn, with a barrier
// between: means and norms from partial sums, what an optimizer computes of the step's number, counters, histories.
//
// On a GPU a dispatch costs some microseconds, and what one workgroup does in that time is thousands of operations. On a CPU a
// dispatch costs less, and what follows it need not wait for a whole adapter to drain.
import type { AdapterTraits, Tensor } from '../ops/tensor.ts';
import { flopsOf } from '../ops/tensor.ts';
import { Compounds } from './compound.ts';
import { topological } from './graph.ts';
import { dependencies, rankByPlace, sorted, TopologicalOrder } from './order.ts';
import { type Group, isDispatch, isSource, type Schedule } from './schedule.ts';

/** Results that one workgroup may have: four a thread. */
const MOST_RESULTS = 1024;
/** Elements that its reductions may read. */
const MOST_READ = 8192;
/** Operations of a result that one thread folds by itself: an H200's takes 6 µs for 650, and 2 µs are what a dispatch costs. */
const MOST_ALONE = 400;
/** Operations of its pointwise nodes. */
const MOST_FLOPS = 2 ** 18;

/** Whether a group finds a tensor there, rather than computes it. */
const isGiven = ({ reads }: Group, node: Tensor) => reads.has(node) || isSource(node);

/** Whether a workgroup computes a group in about the time that a dispatch costs. */
export function isSmall(group: Group): boolean {
  const { kernelOps, outputs } = group;
  if (!isDispatch(group) || outputs.some(({ size }) => size > MOST_RESULTS)) return false;
  const folded = kernelOps.flatMap(({ inputs }) => inputs).reduce((sum, { size }) => sum + size, 0);
  if (folded > MOST_READ || kernelOps.some(({ op }) => op.traits?.rereads)) return false;
  const nodes = topological(outputs, (node) => isGiven(group, node));
  return (
    nodes.reduce((flops, node) => flops + (kernelOps.includes(node) ? 0 : flopsOf(node) * node.size), 0) <= MOST_FLOPS
  );
}

/** Whether a thread that folds a result by itself is done in about the time that a dispatch costs. */
function isQuick(group: Group): boolean {
  return group.kernelOps.every(({ inputs, size }) => {
    const computed = topological(inputs, (node) => isGiven(group, node)).filter((node) => !isGiven(group, node));
    const flops = computed.reduce((sum, node) => sum + flopsOf(node) * node.size, 0);
    const folded = inputs.reduce((sum, input) => sum + input.size, 0);
    return flops + folded <= MOST_ALONE * size;
  });
}

export function shareWorkgroups(schedule: Schedule, traits: AdapterTraits): Schedule {
  const { groups, targets } = schedule;
  const compounds = new Compounds(schedule, traits);
  const edges = dependencies(groups, targets);
  const before = new Map(groups.map((group) => [group, [...edges.before.get(group)!]]));
  const order = new TopologicalOrder(groups, edges);
  const small = new Set(
    groups.filter(
      (group) => isSmall(group) && !compounds.alone(group) && (compounds.outline(group).isBound || isQuick(group)),
    ),
  );
  /** What a group has become part of. */
  const partOf = new Map<Group, Group>(groups.map((group) => [group, group]));
  for (const second of small) {
    for (const first of before.get(second)!) {
      if (!small.has(first)) continue;
      const [a, b] = [partOf.get(first)!, partOf.get(second)!];
      if (a === b || order.obstacle(a, b)) continue;
      const joined = compounds.join([a, b], 'in turn');
      if ('kind' in joined) continue;
      // What may lie beside anything would lie here beside few, and has time before.
      if (!compounds.fits(first, joined)) continue;
      order.merge(a, b, joined);
      for (const member of joined.members!) partOf.set(member, joined);
    }
  }
  return arranged(schedule, partOf);
}

/** The schedule of what its groups have become. */
export function arranged(schedule: Schedule, partOf: ReadonlyMap<Group, Group>): Schedule {
  const groups = [...new Set(schedule.groups.map((group) => partOf.get(group)!))];
  const edges = dependencies(groups, schedule.targets);
  return { ...schedule, groups: sorted(groups, edges, rankByPlace(schedule.groups)) };
}

// Merging: neighbouring groups become one dispatch where that is legal, and where it saves reading or writing a tensor.
//
// A worklist holds the groups that may have become able to merge; a pair that was refused once stays refused, since no
// merge elsewhere takes an obstacle away.
import { sameShape, type Tensor } from '../ops/tensor.ts';
import { type FusionGroup, groupOf, type Memory, type Refusal } from './legality.ts';
import type { Materialised } from './materialise.ts';
import { dependencies, Heap, rankBy, sorted, TopologicalOrder } from './order.ts';
import { type Group, isIsolated, type Schedule } from './schedule.ts';

/** Of many groups that a group could be merged with, so many of the nearest are tried. */
const MAX_PARTNERS = 32;

/** What reductions that share a kernel have in common, but for the op. */
function joinKey({ op, attrs, inputs }: Tensor): string {
  return op.traits?.joins ? `${JSON.stringify(attrs)} ${inputs.map(({ shape }) => shape.join()).join(' ')}` : '';
}

/** Whether one kernel can compute both kernel ops. */
function joinable(a: Tensor, b: Tensor): boolean {
  return (
    a.op.traits?.joins === true &&
    a.op === b.op &&
    a.inputs.every((input, i) => sameShape(input.shape, b.inputs[i]!.shape)) &&
    JSON.stringify(a.attrs) === JSON.stringify(b.attrs)
  );
}

/** Groups that may still be merged, who stores what, and who reads it. */
export class Merging {
  readonly makers = new Map<Tensor, FusionGroup>();
  readonly readers = new Map<Tensor, Set<FusionGroup>>();
  readonly groups: Set<FusionGroup>;
  /** Groups of reductions, by what those have in common that may share a kernel. */
  private readonly joining = new Map<string, Set<FusionGroup>>();
  private readonly memory: Memory;
  /** What outlives the run: outputs, and new values of variables. */
  private readonly kept: ReadonlySet<Tensor>;
  private readonly order: TopologicalOrder<FusionGroup>;
  private readonly rank: (group: Group) => number;

  constructor({ groups, memory, order, outputs, targets }: Omit<Materialised, 'nodes' | 'packs' | 'why'>) {
    const edges = dependencies(groups, targets);
    this.rank = rankBy(order);
    this.order = new TopologicalOrder(sorted(groups, edges, this.rank), edges);
    this.memory = memory;
    this.kept = new Set([...Object.values(outputs), ...targets.keys()]);
    this.groups = new Set();
    for (const group of groups) this.add(group);
  }

  private add(group: FusionGroup): void {
    this.groups.add(group);
    const key = group.kernelOps[0] && joinKey(group.kernelOps[0]);
    if (key) {
      const joining = this.joining.get(key);
      if (joining) joining.add(group);
      else this.joining.set(key, new Set([group]));
    }
    for (const node of [...group.outputs, ...group.kernelOps]) this.makers.set(node, group);
    for (const node of group.reads.keys()) {
      const readers = this.readers.get(node);
      if (readers) readers.add(group);
      else this.readers.set(node, new Set([group]));
    }
  }

  private remove(group: FusionGroup): void {
    this.groups.delete(group);
    if (group.kernelOps[0]) this.joining.get(joinKey(group.kernelOps[0]))?.delete(group);
    for (const node of [...group.outputs, ...group.kernelOps]) this.makers.delete(node);
    for (const node of group.reads.keys()) this.readers.get(node)!.delete(group);
  }

  /** Merges for as long as there is a pair that gains by it. */
  run(): void {
    const work = new Heap<FusionGroup>();
    const waiting = new Set<FusionGroup>();
    const add = (group: FusionGroup) => {
      if (waiting.has(group)) return;
      waiting.add(group);
      work.push(group, this.rank(group));
    };
    const refused = new Map<FusionGroup, Set<FusionGroup>>();
    for (const group of this.groups) add(group);
    for (let second = work.pop(); second; second = work.pop()) {
      waiting.delete(second);
      if (!this.groups.has(second)) continue;
      const tried = refused.get(second) ?? new Set();
      refused.set(second, tried);
      for (const first of this.partners(second)) {
        if (tried.has(first) || !this.gains(first, second)) continue;
        const merged = this.merge(first, second);
        if ('kind' in merged) {
          tried.add(first);
          continue;
        }
        refused.delete(first);
        refused.delete(second);
        for (const group of this.touched(merged)) add(group);
        break;
      }
    }
  }

  /** What may be merged with a group, the latest that runs before it first: that has the most of what the group needs. */
  private partners(second: FusionGroup): FusionGroup[] {
    if (second.inPlaceConcat || isAlone(second)) return [];
    const found = new Set<FusionGroup>();
    const [kernelOp] = second.kernelOps;
    if (kernelOp) {
      for (const group of this.joining.get(joinKey(kernelOp)) ?? []) found.add(group);
    } else {
      for (const node of second.reads.keys()) {
        const maker = this.makers.get(node);
        if (maker) found.add(maker);
        for (const reader of this.readers.get(node)!) if (reader.reads.get(node)) found.add(reader);
      }
    }
    found.delete(second);
    const place = this.order.placeOf(second);
    const far = this.order.size;
    return [...found]
      .map((group) => {
        const at = this.order.placeOf(group);
        return { group, distance: at < place ? place - at : far + at };
      })
      .sort((a, b) => a.distance - b.distance)
      .slice(0, MAX_PARTNERS)
      .map(({ group }) => group);
  }

  /** Groups that a new one may have made able to merge. */
  private touched(merged: FusionGroup): Set<FusionGroup> {
    const found = new Set([merged]);
    for (const node of merged.outputs) for (const reader of this.readers.get(node) ?? []) found.add(reader);
    for (const [node, aligned] of merged.reads) {
      if (aligned) for (const reader of this.readers.get(node)!) found.add(reader);
      // Reductions that now have a reader in common.
      const maker = this.makers.get(node);
      if (maker && maker.kernelOps.length > 0) found.add(maker);
    }
    return found;
  }

  /** The heuristic: whether merging saves a tensor's way through memory. A first group comes in front of a second, or beside it. */
  gains(first: FusionGroup, second: FusionGroup): boolean {
    if (first.inPlaceConcat || second.inPlaceConcat) return false;
    const [a] = first.outputs as [Tensor];
    const [b] = second.outputs as [Tensor];
    if (a.size !== b.size || isAlone(first) || isAlone(second)) return false;
    if (second.kernelOps.length > 0) return this.siblings(first, second);
    const feeds = first.outputs.some((node) => second.reads.has(node));
    if (feeds || first.kernelOps.length > 0) return feeds;
    return [...first.reads].some(([node, aligned]) => aligned && second.reads.has(node));
  }

  /** Whether two groups' reductions may share a kernel, and gain by it: a tensor read once for both, or one reader less. */
  private siblings(first: FusionGroup, second: FusionGroup): boolean {
    if (first.kernelOps.length === 0 || !joinable(first.kernelOps[0]!, second.kernelOps[0]!)) return false;
    if ([...first.reads.keys()].some((node) => second.reads.has(node))) return true;
    const readersOf = ({ outputs }: FusionGroup) => outputs.flatMap((node) => [...(this.readers.get(node) ?? [])]);
    const readers = new Set(readersOf(first));
    return readersOf(second).some((reader) => readers.has(reader));
  }

  /** One group of two, or the reason why they cannot be one. */
  attempt(first: FusionGroup, second: FusionGroup): FusionGroup | Refusal {
    const both = [...first.outputs, ...second.outputs];
    // What only the group itself reads need not be materialised.
    const isRead = (node: Tensor) =>
      [...(this.readers.get(node) ?? [])].some((reader) => reader !== first && reader !== second);
    const outputs = both.filter((node) => this.kept.has(node) || isRead(node));
    if (outputs.length === 0) return { kind: 'unread', tensor: both[0]! };
    const kernelOps = [...first.kernelOps, ...second.kernelOps];
    const own = new Set(both);
    const isMaterialised = (node: Tensor) => this.makers.has(node) && !own.has(node);
    const merged = groupOf(this.memory, kernelOps, outputs, false, isMaterialised);
    if (merged.refusal) return merged.refusal;
    const obstacle = this.order.obstacle(first, second);
    return obstacle ? { kind: 'cycle', tensor: obstacle.outputs[0]! } : merged;
  }

  private merge(first: FusionGroup, second: FusionGroup): FusionGroup | Refusal {
    const merged = this.attempt(first, second);
    if ('kind' in merged) return merged;
    this.order.merge(first, second, merged);
    this.remove(first);
    this.remove(second);
    this.add(merged);
    return merged;
  }
}

export function merge(materialised: Materialised): Schedule {
  const { outputs, targets, why, memory, order } = materialised;
  const merging = new Merging(materialised);
  merging.run();
  const unordered = [...merging.groups];
  const groups = sorted(unordered, dependencies(unordered, targets), rankBy(order));
  return { groups, targets, outputs, why, maxBuffers: memory.maxBuffers };
}

/** A group to which nothing is fused: by its kernel, since a kernel's several results do not tell, or by what it stores. */
function isAlone({ kernelOps, outputs }: Group): boolean {
  return kernelOps.some(isIsolated) || isIsolated(outputs[0]!);
}

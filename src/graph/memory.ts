// Gives every materialised tensor an allocation: a variable's memory, an input's, or a slot that tensors share over time.
import type { Variable } from '../ops/source.ts';
import { alignedSize, inputOp, variableOp } from '../ops/source.ts';
import { type Tensor, wordsFor } from '../ops/tensor.ts';
import { baseOf, type Group, type Schedule } from './schedule.ts';

/** Where a materialised tensor lies. Offsets and sizes are in elements of four bytes. */
export type Allocation =
  | { readonly kind: 'variable'; readonly variable: Variable }
  | { readonly kind: 'input'; readonly name: string }
  | { readonly kind: 'slot'; readonly slot: number; readonly offset: number };

export interface MemoryPlan {
  readonly allocations: ReadonlyMap<Tensor, Allocation>;
  /** Size of each slot: a buffer of its own, because WebGPU binds a buffer either for reading or for writing. */
  readonly slots: readonly number[];
  /** The packs that their parts are written into, by part. */
  readonly packs: ReadonlyMap<Tensor, Tensor>;
  /** All slots together. */
  readonly peak: number;
  /** The largest sum of tensors alive at once: no plan needs less. */
  readonly lowerBound: number;
}

/** Elements of four bytes that a tensor takes, in whole vec4s. */
export function wordsOf(tensor: Tensor): number {
  return Math.max(4, Math.ceil(wordsFor(tensor.size, tensor.dtype) / 4) * 4);
}

/**
 * Of some tensors, the parts of packs that can be bound at once: in the order in which they lie, those that are written four at
 * a time apart from those that are not.
 */
export function runsOf(tensors: Iterable<Tensor>, packs: ReadonlyMap<Tensor, Tensor>): Tensor[][] {
  const touched = new Set(tensors);
  const runs: Tensor[][] = [];
  for (const pack of new Set([...touched].map((tensor) => packs.get(tensor)))) {
    let wide: boolean | undefined;
    for (const input of pack?.inputs ?? []) {
      const part = baseOf(input);
      if (!touched.has(part)) continue;
      const isWide = (part.shape.at(-1) ?? 1) % 4 === 0;
      if (isWide === wide) runs.at(-1)!.push(part);
      else runs.push([part]);
      wide = isWide;
    }
  }
  return runs;
}

/** Liveness by linear scan over the groups in their order; the free slot that fits best, or a new one. */
export function planMemory({ groups, targets, outputs }: Schedule): MemoryPlan {
  const allocations = new Map<Tensor, Allocation>();
  const lastUse = new Map<Tensor, number>();
  groups.forEach((group, index) => {
    for (const node of [...group.outputs, ...group.reads.keys()]) lastUse.set(node, index);
  });
  const slots: number[] = [];
  const free: number[] = [];
  const expiring = groups.map((): { tensor: Tensor; slot: number }[] => []);
  const kept = new Set<Tensor>(Object.values(outputs));

  const packs = new Map<Tensor, Tensor>();
  const exclusive = (size: number) => slots.push(size) - 1;
  // Parts of a pack lie where the pack wants them, and its gaps must stay zero: so it shares with nobody.
  for (const {
    outputs: [pack],
    inPlaceConcat,
  } of groups) {
    if (!inPlaceConcat) continue;
    const slot = exclusive(wordsOf(pack!));
    allocations.set(pack!, { kind: 'slot', slot, offset: 0 });
    let offset = 0;
    for (const part of pack!.inputs) {
      packs.set(baseOf(part), pack!);
      allocations.set(baseOf(part), { kind: 'slot', slot, offset });
      offset += alignedSize(part.size);
    }
  }
  const assign = (node: Tensor, group: Group, index: number) => {
    const target = targets.get(node);
    if (target) return { kind: 'variable', variable: target } as const;
    const size = wordsOf(node);
    if (kept.has(node)) return { kind: 'slot', slot: exclusive(size), offset: 0 } as const;
    const dying = expiring[index]!;
    const heir = dying.findIndex(({ tensor }) => {
      return group.reads.get(tensor) === true && wordsOf(tensor) === size && tensor.dtype === node.dtype;
    });
    let slot: number;
    if (heir >= 0) {
      slot = dying[heir]!.slot;
      dying.splice(heir, 1);
    } else if (free.length > 0) {
      const misfit = (candidate: number) => {
        const room = slots[candidate]! - size;
        return room >= 0 ? room : -room * 2;
      };
      free.sort((a, b) => misfit(a) - misfit(b));
      slot = free.shift()!;
      slots[slot] = Math.max(slots[slot]!, size);
    } else {
      slot = exclusive(size);
    }
    expiring[lastUse.get(node)!]!.push({ tensor: node, slot });
    return { kind: 'slot', slot, offset: 0 } as const;
  };
  groups.forEach((group, index) => {
    for (const node of group.reads.keys()) {
      if (node.op === inputOp) allocations.set(node, { kind: 'input', name: (node.attrs as { name: string }).name });
      if (node.op === variableOp)
        allocations.set(node, { kind: 'variable', variable: (node.attrs as { variable: Variable }).variable });
    }
    if (group.inPlaceConcat) return;
    for (const node of group.outputs) if (!allocations.has(node)) allocations.set(node, assign(node, group, index));
    for (const { slot } of expiring[index]!) free.push(slot);
  });
  return {
    allocations,
    slots,
    packs,
    peak: slots.reduce((a, b) => a + b, 0),
    lowerBound: lowerBound(groups, allocations, lastUse, kept),
  };
}

function lowerBound(
  groups: readonly Group[],
  allocations: ReadonlyMap<Tensor, Allocation>,
  lastUse: ReadonlyMap<Tensor, number>,
  kept: ReadonlySet<Tensor>,
): number {
  // A part of a pack lives as long as the pack, which itself is nothing but its parts.
  const packOf = new Map<Tensor, Tensor>();
  for (const { outputs, inPlaceConcat } of groups) {
    if (inPlaceConcat) for (const part of outputs[0]!.inputs) packOf.set(baseOf(part), outputs[0]!);
  }
  let live = 0;
  let most = 0;
  const ends = groups.map((): number[] => []);
  groups.forEach(({ outputs, inPlaceConcat }, index) => {
    for (const node of inPlaceConcat ? [] : outputs) {
      if (allocations.get(node)?.kind !== 'slot') continue;
      const whole = packOf.get(node) ?? node;
      live += wordsOf(node);
      if (!kept.has(whole)) ends[lastUse.get(whole)!]!.push(wordsOf(node));
    }
    most = Math.max(most, live);
    for (const size of ends[index]!) live -= size;
  });
  return most;
}

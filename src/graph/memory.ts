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
  /** The packs and shelves that their parts are written into, by part. */
  readonly packs: ReadonlyMap<Tensor, Tensor>;
  /** All slots together. */
  readonly peak: number;
  /** The largest sum of tensors alive at once: no plan needs less. */
  readonly lowerBound: number;
}

/** Memory that small results share, as `small_results.ts` makes it. */
export function isShelf({ attrs }: Tensor): boolean {
  return (attrs as { shelf?: boolean }).shelf === true;
}

/** Elements of four bytes that a tensor takes, in whole vec4s. */
export function wordsOf(tensor: Tensor): number {
  return Math.max(4, Math.ceil(wordsFor(tensor.size, tensor.dtype) / 4) * 4);
}

/**
 * Of some tensors, the parts of packs that can be bound at once: in the order in which they lie, those that are written four at
 * a time apart from those that are not. On a shelf all are bound at once.
 */
export function runsOf(tensors: Iterable<Tensor>, packs: ReadonlyMap<Tensor, Tensor>): Tensor[][] {
  const touched = new Set(tensors);
  const runs: Tensor[][] = [];
  for (const pack of new Set([...touched].map((tensor) => packs.get(tensor)))) {
    let wide: boolean | undefined;
    for (const input of pack?.inputs ?? []) {
      const part = baseOf(input);
      if (!touched.has(part)) continue;
      const isWide = !isShelf(pack!) && (part.shape.at(-1) ?? 1) % 4 === 0;
      if (isWide === wide) runs.at(-1)!.push(part);
      else runs.push([part]);
      wide = isWide;
    }
  }
  return runs;
}

/** A tensor that needs a slot, from the group that makes it to the last one that reads it. */
interface Life {
  readonly tensor: Tensor;
  readonly size: number;
  readonly birth: number;
  readonly end: number;
}

/** A slot, and what lies there at one time or another. */
interface SharedSlot {
  readonly slot: number;
  readonly lives: Life[];
}

/**
 * Slots by size: the largest tensors first, each in the slot whose other tensors live nearest before or after it, or in a new one, so that
 * none grows for a tensor that comes later (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020).
 */
export function planMemory({ groups, targets, outputs, shelves = [] }: Schedule): MemoryPlan {
  const allocations = new Map<Tensor, Allocation>();
  const lastUse = new Map<Tensor, number>();
  groups.forEach((group, index) => {
    for (const node of [...group.outputs, ...group.reads.keys()]) lastUse.set(node, index);
  });
  const slots: number[] = [];
  const kept = new Set<Tensor>(Object.values(outputs));

  const packs = new Map<Tensor, Tensor>();
  const exclusive = (size: number) => slots.push(size) - 1;
  // Parts of a pack lie where the pack wants them, and its gaps must stay zero: so it shares with nobody.
  for (const pack of [...groups.flatMap((group) => (group.inPlaceConcat ? group.outputs : [])), ...shelves]) {
    const slot = exclusive(wordsOf(pack));
    allocations.set(pack, { kind: 'slot', slot, offset: 0 });
    let offset = 0;
    for (const part of pack.inputs) {
      packs.set(baseOf(part), pack);
      allocations.set(baseOf(part), { kind: 'slot', slot, offset });
      offset += alignedSize(part.size);
    }
  }
  const lives: Life[] = [];
  groups.forEach((group, birth) => {
    for (const node of group.reads.keys()) {
      if (node.op === inputOp) allocations.set(node, { kind: 'input', name: (node.attrs as { name: string }).name });
      if (node.op === variableOp)
        allocations.set(node, { kind: 'variable', variable: (node.attrs as { variable: Variable }).variable });
    }
    if (group.inPlaceConcat) return;
    for (const tensor of group.outputs) {
      if (allocations.has(tensor)) continue;
      const size = wordsOf(tensor);
      const target = targets.get(tensor);
      if (target) allocations.set(tensor, { kind: 'variable', variable: target });
      else if (kept.has(tensor)) allocations.set(tensor, { kind: 'slot', slot: exclusive(size), offset: 0 });
      else lives.push({ tensor, size, birth, end: lastUse.get(tensor)! });
    }
  });

  /** Whether a tensor may be written where another, which its group reads for the last time, lies: element by element. */
  const inherits = (heir: Life, from: Life) =>
    from.end === heir.birth &&
    groups[heir.birth]!.reads.get(from.tensor) === true &&
    from.size === heir.size &&
    from.tensor.dtype === heir.tensor.dtype;
  const shared: SharedSlot[] = [];
  for (const life of lives.sort((a, b) => b.size - a.size || a.birth - b.birth)) {
    let best: SharedSlot | undefined;
    let least = Infinity;
    for (const candidate of shared) {
      const gap = gapOf(life, candidate.lives, inherits);
      if (gap < least) {
        least = gap;
        best = candidate;
      }
    }
    if (!best) {
      best = { slot: exclusive(life.size), lives: [] };
      shared.push(best);
    }
    best.lives.push(life);
    allocations.set(life.tensor, { kind: 'slot', slot: best.slot, offset: 0 });
  }
  return {
    allocations,
    slots,
    packs,
    peak: slots.reduce((a, b) => a + b, 0),
    lowerBound: lowerBound(groups, allocations, lastUse, kept),
  };
}

/** How many groups lie between a tensor's life and the nearest of others; Infinity if they are in memory at the same time. */
function gapOf(life: Life, others: readonly Life[], inherits: (heir: Life, from: Life) => boolean): number {
  let gap = Infinity;
  for (const other of others) {
    if (other.end <= life.birth && (other.end < life.birth || inherits(life, other)))
      gap = Math.min(gap, life.birth - other.end);
    else if (life.end <= other.birth && (life.end < other.birth || inherits(other, life)))
      gap = Math.min(gap, other.birth - life.end);
    else return Infinity;
  }
  return gap;
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

// What one kernel may compute: the reads of a group, and the reason if it cannot be one dispatch.
//
// No kernel may need an element that another of its threads computes, bind more buffers than the device allows, or bind
// memory as read-only and as writable at once.
import type { Block, Variable } from '../ops/source.ts';
import { variableOp } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { baseOf, type Group, isSource, reach, type Schedule } from './schedule.ts';

/** Why nodes cannot share a dispatch, with the tensors or numbers that it is about; `explain` puts it into words. */
export type Refusal =
  | { readonly kind: 'sizes' | 'waits'; readonly tensor: Tensor; readonly other: Tensor }
  | { readonly kind: 'elsewhere' | 'operand' | 'cycle' | 'unread' | 'isolated'; readonly tensor: Tensor }
  | {
      readonly kind: 'buffers' | 'nodes' | 'members' | 'threads' | 'memory';
      readonly count: number;
      readonly most: number;
    };

/** A group that is being made. Groups are never changed: a merged one is new. */
export interface FusionGroup extends Group {
  readonly refusal: Refusal | undefined;
  /** Pointwise nodes that its kernel computes. */
  readonly count: number;
}

/** Where a tensor will lie, as far as that is settled. One object for one range. */
export interface Range {
  readonly owner: Block | Tensor;
}

/** Pointwise nodes of one kernel: emission recurses through them, and drivers take long over more. */
export const MAX_NODES = 512;

/** What all groups of a graph have in common. */
export class Memory {
  readonly targets: ReadonlyMap<Tensor, Variable>;
  /** Parts of packs that are written in place, and their packs. */
  readonly packOf: ReadonlyMap<Tensor, Tensor>;
  readonly maxBuffers: number;
  private readonly ranges = new Map<Tensor | string, Range>();

  constructor(targets: ReadonlyMap<Tensor, Variable>, packOf: ReadonlyMap<Tensor, Tensor>, maxBuffers: number) {
    this.targets = targets;
    this.packOf = packOf;
    this.maxBuffers = maxBuffers;
  }

  range(node: Tensor): Range {
    const variable = node.op === variableOp ? (node.attrs as { variable: Variable }).variable : this.targets.get(node);
    const key = variable ? `${variable.place().id}+${variable.offset}+${variable.words}` : node;
    let range = this.ranges.get(key);
    if (!range) {
      range = { owner: variable?.place() ?? this.packOf.get(node) ?? node };
      this.ranges.set(key, range);
    }
    return range;
  }
}

export function memoryOfSchedule({ groups, targets, maxBuffers }: Schedule): Memory {
  const packs = groups.filter(({ inPlaceConcat }) => inPlaceConcat).map((group) => group.outputs[0]!);
  const parts = packs.flatMap((pack) => pack.inputs.map((part) => [baseOf(part), pack] as const));
  return new Memory(targets, new Map(parts), maxBuffers);
}

/**
 * A group with what it reads, and with the reason if it cannot be one dispatch.
 *
 * @param isMaterialised whether a node lies in memory, be it by this group or by another
 */
export function groupOf(
  memory: Memory,
  kernelOps: readonly Tensor[],
  outputs: readonly Tensor[],
  inPlaceConcat: boolean,
  isMaterialised: (node: Tensor) => boolean,
): FusionGroup {
  const reads = new Map<Tensor, boolean>();
  const read = (node: Tensor, aligned: boolean) => reads.set(node, aligned && (reads.get(node) ?? true));
  if (inPlaceConcat) {
    for (const part of outputs[0]!.inputs) read(baseOf(part), false);
    return { kernelOps, outputs, reads, inPlaceConcat, refusal: undefined, count: 0 };
  }
  let refusal: Refusal | undefined;
  const { size } = outputs[0]!;
  const other = outputs.find((output) => output.size !== size && kernelOps[0]?.results === undefined);
  if (other) refusal = { kind: 'sizes', tensor: outputs[0]!, other };
  const own = new Set([...outputs, ...kernelOps]);
  const seen = new Map<Tensor, boolean>();
  const stack: [Tensor, boolean][] = [];
  for (const output of [...outputs].reverse()) if (!isOf(output, kernelOps)) stack.push([output, true]);
  for (let top = stack.pop(); top; top = stack.pop()) {
    const [node, aligned] = top;
    const before = seen.get(node);
    if (before === false || before === aligned) continue;
    seen.set(node, aligned);
    if (own.has(node)) {
      if (!aligned) refusal ??= { kind: 'elsewhere', tensor: node };
      if (isOf(node, kernelOps)) continue;
    } else if (isSource(node) || isMaterialised(node)) {
      read(node, aligned);
      continue;
    }
    const isAligned = aligned && node.op.traits?.aligned === true;
    for (let i = node.inputs.length - 1; i >= 0; i--) {
      const input = node.inputs[i]!;
      if (node.op.traits?.loads) {
        const from = baseOf(input);
        // Threads of a workgroup that reduce together have the result from workgroup memory.
        const isLoaded = isSource(from) || kernelOps.includes(from) || (isMaterialised(from) && !own.has(from));
        if (!isLoaded) refusal ??= { kind: 'elsewhere', tensor: from };
      }
      stack.push([input, isAligned && input.size === size]);
    }
  }
  // Operands are read all over, before and while others store.
  const stop = (node: Tensor) => isSource(node) || isMaterialised(node) || own.has(node);
  for (const operand of kernelOps.flatMap(({ inputs }) => inputs)) {
    for (const node of reach([operand], stop)) {
      if (!stop(node)) {
        seen.set(node, false);
        continue;
      }
      if (own.has(node)) refusal ??= { kind: 'operand', tensor: node };
      read(node, false);
    }
  }
  const count = [...seen.keys()].filter((node) => !reads.has(node)).length;
  refusal ??= conflict(memory, outputs, reads);
  if (count > MAX_NODES) refusal ??= { kind: 'nodes', count, most: MAX_NODES };
  return { kernelOps, outputs, reads, inPlaceConcat, refusal, count };
}

/** A kernel op, or one of several results of it. */
function isOf(node: Tensor, kernelOps: readonly Tensor[]): boolean {
  return kernelOps.some(
    (kernelOp) => kernelOp === node || (kernelOp.results !== undefined && node.inputs[0] === kernelOp),
  );
}

/** Too many bindings, or two of one memory that exclude each other. */
function conflict(
  memory: Memory,
  outputs: readonly Tensor[],
  reads: ReadonlyMap<Tensor, boolean>,
): Refusal | undefined {
  // As they are bound: what lies in one buffer at two places is two bindings.
  const bindings = new Set([...reads.keys(), ...outputs].map((node) => memory.range(node)));
  const most = memory.maxBuffers;
  if (bindings.size > most) return { kind: 'buffers', count: bindings.size, most };
  for (const [i, output] of outputs.entries()) {
    const target = memory.range(output);
    for (const [input, aligned] of reads) {
      const source = memory.range(input);
      if (source.owner === target.owner && !(aligned && source === target)) {
        return { kind: 'waits', tensor: input, other: output };
      }
    }
    const twin = outputs.slice(i + 1).find((other) => memory.range(other) === target);
    if (twin) return { kind: 'waits', tensor: output, other: twin };
  }
  return undefined;
}

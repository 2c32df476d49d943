// What a plan takes in memory, and whether a device allows it: known before anything is allocated.
import { OutOfMemoryError } from '../errors.ts';
import { alignedSize, type Block, inputOp, type Variable, variableOp } from '../ops/source.ts';
import { type DeviceLimits, type Shape, show, type Tensor, wordsFor } from '../ops/tensor.ts';
import { type Graph, rootsOf, topological } from './graph.ts';
import type { Allocation, MemoryPlan } from './memory.ts';

/** Bytes that a program takes on a device. */
export interface MemoryNeed {
  /** Of the variables that it touches: they may be there already. */
  readonly variableBytes: number;
  /** Of its inputs, where they are given as arrays. */
  readonly inputBytes: number;
  /** Of intermediate results and outputs. */
  readonly peakBytes: number;
  /** The least of these that any plan needs. */
  readonly lowerBoundBytes: number;
  readonly totalBytes: number;
  /** The largest tensor in memory. */
  readonly largest: { readonly name: string; readonly bytes: number };
}

/** The bytes of a block's buffer; even an empty variable at its end has a word to bind. */
export function blockBytes({ size, variables }: Block): number {
  return 4 * alignedSize(variables.reduce((most, { offset }) => Math.max(most, offset + 1), size));
}

const bytesFor = ({ size, dtype }: Tensor) => 4 * Math.max(1, wordsFor(size, dtype));

const typeOf = ({ dtype, shape }: { dtype: string; shape: Shape }) => `${dtype}${show(shape)}`;

function nameOf(tensor: Tensor, allocation: Allocation): string {
  const type = typeOf(tensor);
  if (allocation.kind === 'input') return `input ${allocation.name}, ${type}`;
  // The new value of a variable lies in it, too.
  if (allocation.kind === 'variable')
    return `variable ${allocation.variable.name}, ${allocation.variable.dtype}${show(allocation.variable.shape)}`;
  return `${tensor.path ? `${tensor.path}: ` : ''}the result of ${tensor.op.name}, ${type}`;
}

/** What lies in each slot, by turns: the largest by name, and how many others. */
export function slotNames({ allocations, slots }: MemoryPlan): string[] {
  const largest = new Map<number, { tensor: Tensor; bytes: number; others: number }>();
  for (const [tensor, { kind, ...place }] of allocations) {
    if (kind !== 'slot') continue;
    const { slot } = place as { slot: number };
    const bytes = bytesFor(tensor);
    const known = largest.get(slot);
    if (known && known.bytes >= bytes) known.others++;
    else largest.set(slot, { tensor, bytes, others: known ? known.others + 1 : 0 });
  }
  return slots.map((_, slot) => {
    const { tensor, others } = largest.get(slot)!;
    const name = nameOf(tensor, allocations.get(tensor)!);
    return others > 0 ? `${name} (and ${others} that lie there at other times)` : name;
  });
}

export function memoryNeed({ allocations, peak, lowerBound }: MemoryPlan): MemoryNeed {
  const blocks = new Set<Block>();
  let inputBytes = 0;
  let largest = { name: 'nothing', bytes: 0 };
  for (const [tensor, allocation] of allocations) {
    const bytes = bytesFor(tensor);
    if (bytes > largest.bytes) largest = { name: nameOf(tensor, allocation), bytes };
    if (allocation.kind === 'variable') blocks.add(allocation.variable.place());
    if (allocation.kind === 'input' && tensor.op !== variableOp) inputBytes += bytes;
  }
  const variableBytes = [...blocks].reduce((sum, block) => sum + blockBytes(block), 0);
  const peakBytes = 4 * peak;
  const totalBytes = variableBytes + inputBytes + peakBytes;
  return { variableBytes, inputBytes, peakBytes, lowerBoundBytes: 4 * lowerBound, totalBytes, largest };
}

/** The same for inputs and variables of a graph, before anything is worked out about what may be hopelessly large. */
export function checkSources(graph: Graph, limits: DeviceLimits): void {
  for (const node of topological(rootsOf(graph))) {
    if (node.op === inputOp)
      checkSize(`input ${(node.attrs as { name: string }).name}, ${typeOf(node)}`, bytesFor(node), limits);
    if (node.op === variableOp)
      checkSize(
        `variable ${(node.attrs as { variable: Variable }).variable.name}, ${typeOf(node)}`,
        bytesFor(node),
        limits,
      );
  }
}

/** @throws OutOfMemoryError that names the tensor or variable that the device does not allow, its bytes and the limit */
export function checkSizes({ allocations }: MemoryPlan, limits: DeviceLimits): void {
  for (const [tensor, allocation] of allocations) {
    checkSize(nameOf(tensor, allocation), bytesFor(tensor), limits);
    if (allocation.kind === 'variable') checkBlock(allocation.variable.place(), limits);
  }
}

/** @throws OutOfMemoryError if a device has no buffer for all variables of a block */
export function checkBlock(block: Block, { maxBufferSize }: DeviceLimits): void {
  const bytes = blockBytes(block);
  if (bytes <= maxBufferSize) return;
  const [first, ...others] = block.variables.map(({ name, shape, dtype }) => `${name}, ${dtype}${show(shape)}`);
  const name = others.length > 0 ? `${others.length + 1} variables in one buffer, ${first} first,` : first!;
  throw new OutOfMemoryError(`${name}: ${bytes} bytes; this device allows ${maxBufferSize} in one buffer`);
}

function checkSize(name: string, bytes: number, limits: DeviceLimits): void {
  const { maxStorageBufferBindingSize: binding, maxBufferSize: buffer } = limits;
  if (bytes <= Math.min(binding, buffer)) return;
  const limit = binding < buffer ? `${binding} in one binding` : `${buffer} in one buffer`;
  throw new OutOfMemoryError(`${name}: ${bytes} bytes; this device allows ${limit}: use a smaller batch or model`);
}

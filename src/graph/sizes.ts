// What a plan takes in memory, and whether a device allows it: known before anything is allocated.
import { OutOfMemoryError } from '../errors.ts';
import { alignedSize, type Block, inputOp, type Variable, variableOp } from '../ops/source.ts';
import { type DeviceLimits, type Shape, show, type Tensor, wordsFor } from '../ops/tensor.ts';
import { type Graph, rootsOf, topological } from './graph.ts';
import type { MemoryPlan, Place } from './memory.ts';

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

function nameOf(tensor: Tensor, place: Place): string {
  const type = typeOf(tensor);
  if (place.kind === 'input') return `input ${place.name}, ${type}`;
  // The new value of a variable lies in it, too.
  if (place.kind === 'variable')
    return `variable ${place.variable.name}, ${place.variable.dtype}${show(place.variable.shape)}`;
  return `${tensor.path ? `${tensor.path}: ` : ''}the result of ${tensor.op.name}, ${type}`;
}

export function memoryNeed({ places, peak, lowerBound }: MemoryPlan): MemoryNeed {
  const blocks = new Set<Block>();
  let inputBytes = 0;
  let largest = { name: 'nothing', bytes: 0 };
  for (const [tensor, place] of places) {
    const bytes = bytesFor(tensor);
    if (bytes > largest.bytes) largest = { name: nameOf(tensor, place), bytes };
    if (place.kind === 'variable') blocks.add(place.variable.place());
    if (place.kind === 'input' && tensor.op !== variableOp) inputBytes += bytes;
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
export function checkSizes({ places }: MemoryPlan, limits: DeviceLimits): void {
  for (const [tensor, place] of places) {
    checkSize(nameOf(tensor, place), bytesFor(tensor), limits);
    if (place.kind === 'variable') checkBlock(place.variable.place(), limits);
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

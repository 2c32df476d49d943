// What a run is given, checked: inputs by name, and buffers of the app for outputs.
import { OptionError } from '../errors.ts';
import type { Allocation } from '../graph/memory.ts';
import { alignedSize, type Block } from '../ops/source.ts';
import { show, sizeOf, type Tensor, wordsFor } from '../ops/tensor.ts';
import { type Bindings, type Bound, boundBytes, type ProgramParts } from './bindings.ts';
import type { RunInputs } from './dispatch.ts';
import { ARRAYS, type HostArray } from './readback.ts';

/** What a run was given, checked. */
export interface Given {
  readonly bound: Bound;
  /** Arrays in whole words, and the input buffers that they go to. */
  readonly arrays: readonly (readonly [GPUBuffer, Uint8Array])[];
  /** Buffers of the app that hold a pack, and the bytes of it that no part of the pack fills: zeros. */
  readonly packs: readonly (readonly [GPUBuffer, Gaps])[];
  /** Of what was bound, where outputs go, and the names they were given under. */
  readonly outputs: Bound;
  readonly elsewhere: ReadonlySet<string>;
}

type Gaps = readonly (readonly [offset: number, size: number])[];

/** WebGPU implementations differ in their classes, so what a buffer can do tells it. */
function isBuffer(data: unknown): data is GPUBuffer {
  return typeof (data as GPUBuffer | undefined)?.mapAsync === 'function';
}

/** An output as it was named, and as it lies in memory: there, what was bytes is u32. */
export function outputOf(
  { names, schedule, memory }: ProgramParts,
  name: string,
): { named: Tensor; stored: Tensor; allocation: Allocation } {
  const named = names[name];
  if (!named) {
    const known = Object.keys(names).join(', ') || 'none';
    throw new OptionError(`the program has no output ${name}; its outputs are: ${known}`);
  }
  const stored = schedule.outputs[name]!;
  return { named, stored, allocation: memory.allocations.get(stored)! };
}

/**
 * Checks what the caller gave.
 *
 * @throws OptionError if something is missing, unknown, of the wrong size, or memory that it must not be
 */
export function checkRun(
  parts: ProgramParts,
  bindings: Bindings,
  inputs: RunInputs,
  outputs: Readonly<Record<string, GPUBuffer | undefined>> = {},
): Given {
  const { bound, arrays } = checkInputs(parts, bindings, inputs);
  const given = new Map<string, GPUBuffer>();
  const packs: [GPUBuffer, Gaps][] = [];
  const names = new Map<string, string>();
  for (const [name, buffer] of Object.entries(outputs) as [string, GPUBuffer][]) {
    const { named, stored, allocation } = outputOf(parts, name);
    checkBuffer(buffer, boundBytes(stored), `output ${name} is ${stored.dtype}${show(named.shape)}`);
    checkShared(bindings, buffer, `output ${name}`, [...bindings.blocks.keys()]);
    if ([...bound.values(), ...given.values()].includes(buffer)) {
      throw new OptionError(`output ${name} cannot go to a buffer that is bound as another input or output`);
    }
    const key = bindings.keyOf(allocation);
    if (allocation.kind !== 'slot' || !key || names.has(key)) {
      const reason = key ? `it is the same value as output ${names.get(key)}` : 'it is the new value of a variable';
      throw new OptionError(`output ${name} cannot go to a buffer of its own, because ${reason}`);
    }
    const gaps = gapsOf(parts, allocation.slot);
    if (gaps.length > 0 && !(buffer.usage & 0x08)) {
      throw new OptionError(`output ${name} is a pack, with zeros between its parts: its buffer wants COPY_DST usage`);
    }
    if (gaps.length > 0) packs.push([buffer, gaps]);
    names.set(key, name);
    given.set(key, buffer);
  }
  return {
    bound: new Map([...bound, ...given]),
    arrays,
    packs,
    outputs: given,
    elsewhere: new Set(names.values()),
  };
}

function checkInputs(parts: ProgramParts, bindings: Bindings, inputs: RunInputs): Pick<Given, 'bound' | 'arrays'> {
  const updated = [...new Set(parts.schedule.targets.values())].map((variable) => variable.place());
  const bound = new Map<string, GPUBuffer>();
  const arrays: [GPUBuffer, Uint8Array][] = [];
  for (const name of Object.keys(inputs)) {
    if (!parts.inputs.has(name)) {
      const known = [...parts.inputs.keys()].join(', ') || 'none';
      throw new OptionError(`the program has no input ${name}; its inputs are: ${known}`);
    }
  }
  for (const [name, { shape, dtype }] of parts.inputs) {
    const data = inputs[name];
    const wants = `input ${name} is ${dtype}${show(shape)}`;
    if (data === undefined || data === null) throw new OptionError(`${wants}, and was not given`);
    if (isBuffer(data)) {
      checkBuffer(data, 4 * Math.max(1, wordsFor(sizeOf(shape), dtype)), wants);
      checkShared(bindings, data, `input ${name}`, updated);
      bound.set(`input ${name}`, data);
      continue;
    }
    const type = ARRAYS[dtype];
    if (!(data instanceof type) || data.length !== sizeOf(shape)) {
      throw new OptionError(
        `${wants}: it takes a ${type.name} of ${sizeOf(shape)} or a GPUBuffer, got ${describe(data)}`,
      );
    }
    arrays.push([bindings.inputBuffer(name), wholeWords(data)]);
  }
  return { bound, arrays };
}

/** @throws OptionError if the caller's buffer is memory that a run writes, or may not write */
function checkShared(bindings: Bindings, buffer: GPUBuffer, name: string, blocks: readonly Block[]): void {
  const cure = 'give it a buffer of its own';
  if (bindings.slots.includes(buffer)) throw new OptionError(`${name} cannot be memory of the program's own: ${cure}`);
  const block = blocks.find((one) => bindings.blocks.get(one) === buffer);
  if (block) throw new OptionError(`${name} cannot be the memory of variable ${block.variables[0]!.name}: ${cure}`);
}

function checkBuffer(buffer: GPUBuffer, bytes: number, wants: string): void {
  if (buffer.size < bytes) throw new OptionError(`${wants}, ${bytes} bytes; the buffer given has ${buffer.size}`);
  if (!(buffer.usage & 0x80)) throw new OptionError(`${wants}; the buffer given was created without STORAGE usage`);
}

/** The bytes of an array, in whole words: what a copy on the GPU must cover. */
function wholeWords({ buffer, byteOffset, byteLength }: HostArray): Uint8Array {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  if (byteLength % 4 === 0) return bytes;
  const whole = new Uint8Array(Math.ceil(byteLength / 4) * 4);
  whole.set(bytes);
  return whole;
}

/** Bytes between the parts of a pack that others write in place, where a slot holds one. */
function gapsOf({ schedule, memory }: ProgramParts, slot: number): Gaps {
  const isHere = (tensor: Tensor) => {
    const place = memory.allocations.get(tensor);
    return place?.kind === 'slot' && place.slot === slot;
  };
  const pack = schedule.groups.find(({ inPlaceConcat, outputs }) => inPlaceConcat && isHere(outputs[0]!))?.outputs[0];
  let end = 0;
  return (pack?.inputs ?? []).flatMap(({ size }): [number, number][] => {
    const from = end + size;
    end += alignedSize(size);
    return from < end ? [[from * 4, (end - from) * 4]] : [];
  });
}

function describe(data: unknown): string {
  const { length } = data as { length?: number };
  const name = (data as object).constructor?.name ?? typeof data;
  return length === undefined ? name : `${name} of ${length}`;
}

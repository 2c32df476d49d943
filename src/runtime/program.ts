/// <reference lib="esnext.disposable" preserve="true" />
// A Program: a flat list of dispatches with their buffers, encoded into one compute pass as often as it is run.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Schedule } from '../graph/fuse.ts';
import type { MemoryPlan, Place } from '../graph/memory.ts';
import type { Variable } from '../ops/source.ts';
import { bytesOf, type DType, type Shape, show, sizeOf, type Tensor, wordsFor } from '../ops/tensor.ts';
import { type Command, type Dispatch, type RunInputs, record } from './dispatch.ts';
import type { Profile, ProfileOptions } from './profile.ts';
import { ARRAYS, type BufferRange, copyOut, type HostArray } from './readback.ts';
import { rangeOf } from './variables.ts';

export interface ProgramInput {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
}

interface ProgramParts {
  readonly storage: 'f32' | 'f16';
  readonly dispatches: readonly Dispatch[];
  readonly memory: MemoryPlan;
  readonly inputs: ReadonlyMap<string, ProgramInput>;
  readonly schedule: Schedule;
  /** The outputs as they were named, with the shapes that they were given. */
  readonly names: Readonly<Record<string, Tensor>>;
}

export interface RunOptions {
  /** How many times in a row, in one pass; 1 by default. */
  readonly steps?: number;
  /** Buffers of the app to write outputs to, without a copy; created with STORAGE usage. */
  readonly outputs?: Readonly<Record<string, GPUBuffer>>;
}

/** Buffers of the app that bind groups are kept for; beyond that, the oldest is made anew. */
const KEPT_GROUPS = 64;

const buffersSeen = new WeakMap<GPUBuffer, number>();
let nextBuffer = 0;
function idOf(buffer: GPUBuffer): number {
  const id = buffersSeen.get(buffer) ?? nextBuffer++;
  buffersSeen.set(buffer, id);
  return id;
}

/** WebGPU implementations differ in their classes, so what a buffer can do tells it. */
function isBuffer(data: unknown): data is GPUBuffer {
  return typeof (data as GPUBuffer | undefined)?.mapAsync === 'function';
}

/** Bytes to bind for a tensor: whole words, and never none. */
function boundBytes(tensor: Tensor): number {
  return Math.max(4, wordsFor(tensor.size, tensor.dtype) * 4);
}

export class Program {
  readonly gpu: Gpu;
  readonly dispatches: readonly Dispatch[];
  readonly inputs: ReadonlyMap<string, ProgramInput>;
  /** How operands of products are stored: f32 where the device has no f16, whatever was asked for. */
  readonly storage: 'f32' | 'f16';
  /** Planned bytes of intermediate results, and the least that any plan needs. Variables and inputs not included. */
  readonly memory: { readonly peakBytes: number; readonly lowerBoundBytes: number };
  private readonly parts: ProgramParts;
  private readonly slots: GPUBuffer[];
  private readonly inputBuffers = new Map<string, GPUBuffer>();
  private readonly groups = new Map<string, GPUBindGroup>();
  /** Names of the app's buffers that a dispatch touches; most touch none. */
  private readonly external: readonly (readonly string[])[];
  private readonly outputOfSlot = new Map<number, string[]>();
  /** Outputs that went to buffers of the app in the last run. */
  private readonly elsewhere = new Set<string>();
  private destroyed = false;

  constructor(gpu: Gpu, parts: ProgramParts) {
    this.gpu = gpu;
    this.parts = parts;
    this.dispatches = parts.dispatches;
    this.inputs = parts.inputs;
    this.storage = parts.storage;
    const { slots, peak, lowerBound, places } = parts.memory;
    this.memory = { peakBytes: peak * 4, lowerBoundBytes: lowerBound * 4 };
    // STORAGE, COPY_SRC and COPY_DST.
    const usage = 0x80 | 0x04 | 0x08;
    this.slots = slots.map((size, i) => gpu.createBuffer({ label: `slot ${i}`, size: size * 4, usage }));
    for (const [name, tensor] of Object.entries(parts.schedule.outputs)) {
      const place = places.get(tensor);
      if (place?.kind === 'slot')
        this.outputOfSlot.set(place.slot, [...(this.outputOfSlot.get(place.slot) ?? []), name]);
    }
    this.external = parts.dispatches.map(({ kernel }) => {
      const names = kernel.bindings.flatMap(({ place }) => this.namesOf(place));
      return [...new Set(names)];
    });
    // Variables come into being now, so that no step creates anything.
    for (const { kernel } of parts.dispatches) {
      for (const { place } of kernel.bindings) if (place.kind === 'variable') rangeOf(gpu, place.variable);
    }
    this.dispatches.forEach((_, i) => {
      if (this.external[i]!.length === 0) this.bindGroup(i, {});
    });
  }

  private namesOf(place: Place): string[] {
    if (place.kind === 'input') return [`input ${place.name}`];
    if (place.kind === 'slot') return (this.outputOfSlot.get(place.slot) ?? []).map((name) => `output ${name}`);
    return [];
  }

  private bindGroup(index: number, bound: Readonly<Record<string, GPUBuffer>>): GPUBindGroup {
    const names = this.external[index]!;
    const key = `${index}:${names.map((name) => (bound[name] ? idOf(bound[name]) : '-')).join()}`;
    let group = this.groups.get(key);
    if (group) return group;
    const { kernel, layout } = this.dispatches[index]!;
    group = this.gpu.device.createBindGroup({
      label: kernel.label,
      layout,
      entries: kernel.bindings.map(({ place, tensor }, binding) => {
        const taken = this.namesOf(place).find((name) => bound[name]);
        const resource = taken ? { buffer: bound[taken]!, size: boundBytes(tensor) } : this.resource(place, tensor);
        return { binding, resource };
      }),
    });
    if (names.length > 0 && this.groups.size > this.dispatches.length + KEPT_GROUPS) {
      const oldest = [...this.groups.keys()].find((old) => this.external[Number(old.split(':')[0])]!.length > 0);
      if (oldest) this.groups.delete(oldest);
    }
    this.groups.set(key, group);
    return group;
  }

  private resource(place: Place, tensor: Tensor): BufferRange {
    if (place.kind === 'variable') {
      const range = rangeOf(this.gpu, place.variable);
      return { ...range, size: boundBytes(tensor) };
    }
    if (place.kind === 'input') return { buffer: this.inputBuffer(place.name), offset: 0, size: boundBytes(tensor) };
    return { buffer: this.slots[place.slot]!, offset: place.offset * 4, size: boundBytes(tensor) };
  }

  private inputBuffer(name: string): GPUBuffer {
    let buffer = this.inputBuffers.get(name);
    if (!buffer) {
      const { shape, dtype } = this.inputs.get(name)!;
      // STORAGE and COPY_DST.
      buffer = this.gpu.createBuffer({
        label: name,
        size: Math.max(16, wordsFor(sizeOf(shape), dtype) * 4),
        usage: 0x80 | 0x08,
      });
      this.inputBuffers.set(name, buffer);
    }
    return buffer;
  }

  /** Checks what the caller gave, copies arrays over, and returns the caller's buffers by binding name. */
  private bind(inputs: RunInputs, outputs: RunOptions['outputs'] = {}): Record<string, GPUBuffer> {
    if (this.destroyed) throw new OptionError('this program was destroyed');
    this.gpu.check();
    const bound: Record<string, GPUBuffer> = {};
    for (const name of Object.keys(inputs)) {
      if (!this.inputs.has(name)) {
        const known = [...this.inputs.keys()].join(', ') || 'none';
        throw new OptionError(`the program has no input ${name}; its inputs are: ${known}`);
      }
    }
    for (const [name, { shape, dtype }] of this.inputs) {
      const data = inputs[name];
      const wants = `input ${name} is ${dtype}${show(shape)}`;
      if (data === undefined || data === null) throw new OptionError(`${wants}, and was not given`);
      const bytes = sizeOf(shape) * bytesOf(dtype);
      if (isBuffer(data)) {
        checkBuffer(data, bytes, wants);
        bound[`input ${name}`] = data;
        continue;
      }
      const type = ARRAYS[dtype];
      if (!(data instanceof type) || data.length !== sizeOf(shape)) {
        throw new OptionError(
          `${wants}: it takes a ${type.name} of ${sizeOf(shape)} or a GPUBuffer, got ${describe(data)}`,
        );
      }
      let whole: Uint8Array = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      if (whole.length % 4) {
        whole = new Uint8Array(Math.ceil(bytes / 4) * 4);
        whole.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      }
      this.gpu.device.queue.writeBuffer(this.inputBuffer(name), 0, whole as Uint8Array<ArrayBuffer>);
    }
    this.elsewhere.clear();
    for (const [name, buffer] of Object.entries(outputs)) {
      const tensor = this.output(name);
      checkBuffer(
        buffer,
        tensor.size * bytesOf(tensor.dtype),
        `output ${name} is ${tensor.dtype}${show(tensor.shape)}`,
      );
      if (Object.values(bound).includes(buffer)) {
        throw new OptionError(`output ${name} cannot go to a buffer that is bound as another input or output`);
      }
      const place = this.parts.memory.places.get(this.parts.schedule.outputs[name]!);
      const twin = place && this.namesOf(place).find((other) => bound[other]);
      if (place?.kind !== 'slot' || twin) {
        const reason = twin ? `it is the same value as ${twin}` : 'it is the new value of a variable';
        throw new OptionError(`output ${name} cannot go to a buffer of its own, because ${reason}`);
      }
      bound[`output ${name}`] = buffer;
      this.elsewhere.add(name);
    }
    return bound;
  }

  private output(name: string): Tensor {
    const tensor = this.parts.names[name];
    if (tensor) return tensor;
    const known = Object.keys(this.parts.names).join(', ') || 'none';
    throw new OptionError(`the program has no output ${name}; its outputs are: ${known}`);
  }

  /** What a run sets and dispatches, in order. Arrays among the inputs are copied now. */
  commands(inputs: RunInputs = {}, outputs?: RunOptions['outputs']): Command[] {
    const bound = this.bind(inputs, outputs);
    return this.dispatches.map(({ pipeline, kernel: { workgroups } }, i) => ({
      pipeline,
      group: this.bindGroup(i, bound),
      workgroups,
    }));
  }

  /** Records the dispatches, `steps` times, into a pass that is open. Arrays among the inputs are copied before. */
  encodePass(pass: GPUComputePassEncoder, inputs: RunInputs = {}, { steps = 1, outputs }: RunOptions = {}): void {
    if (!Number.isInteger(steps) || steps < 1) throw new OptionError(`steps must be a positive integer, got ${steps}`);
    const commands = this.commands(inputs, outputs);
    for (let step = 0; step < steps; step++) for (const command of commands) record(pass, command);
  }

  /** Records one compute pass into the app's own encoder; the app submits it. */
  encode(encoder: GPUCommandEncoder, inputs: RunInputs = {}, options: RunOptions = {}): void {
    const pass = encoder.beginComputePass();
    this.encodePass(pass, inputs, options);
    pass.end();
  }

  /**
   * Submits: one encoder, one compute pass, whatever `steps` is. `then` may record copies behind the pass.
   *
   * @throws OptionError if inputs are missing, unknown, or of the wrong size
   */
  run(inputs: RunInputs = {}, options: RunOptions = {}, then?: (encoder: GPUCommandEncoder) => void): void {
    const { device } = this.gpu;
    const encoder = device.createCommandEncoder();
    this.encode(encoder, inputs, options);
    then?.(encoder);
    device.queue.submit([encoder.finish()]);
  }

  /** Profiles the program: every dispatch timed, beside what this adapter can do at best. Variables stay as they are. */
  async profile(inputs: RunInputs = {}, options: ProfileOptions = {}): Promise<Profile> {
    const { profileProgram } = await import('./profile.ts');
    return profileProgram(this, inputs, options);
  }

  /** Variables that a run changes. */
  get updated(): Variable[] {
    return [...new Set(this.parts.schedule.targets.values())];
  }

  /** Where an output lies after a run: to copy from, or to bind in the app's own kernels. */
  outputRange(name: string): BufferRange {
    const { size, dtype } = this.output(name);
    if (this.elsewhere.has(name))
      throw new OptionError(`output ${name} went to the buffer that was given: read it there`);
    const tensor = this.parts.schedule.outputs[name]!;
    const range = this.resource(this.parts.memory.places.get(tensor)!, tensor);
    return { ...range, size: boundBytes({ size, dtype } as Tensor) };
  }

  /** The value of an output after the last run. */
  async read(name: string): Promise<HostArray> {
    const { size, dtype } = this.output(name);
    const values = await copyOut(this.gpu, this.outputRange(name), dtype === 'u8' ? 'u32' : dtype);
    return values.subarray(0, size);
  }

  /** Frees the intermediate results. Variables stay: they belong to the model. */
  destroy(): void {
    this.destroyed = true;
    for (const buffer of [...this.slots, ...this.inputBuffers.values()]) buffer.destroy();
    this.inputBuffers.clear();
    this.groups.clear();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

function checkBuffer(buffer: GPUBuffer, bytes: number, wants: string): void {
  if (buffer.size < bytes) throw new OptionError(`${wants}, ${bytes} bytes; the buffer given has ${buffer.size}`);
  if (!(buffer.usage & 0x80)) throw new OptionError(`${wants}; the buffer given was created without STORAGE usage`);
}

function describe(data: unknown): string {
  const { length } = data as { length?: number };
  const name = (data as object).constructor?.name ?? typeof data;
  return length === undefined ? name : `${name} of ${length}`;
}

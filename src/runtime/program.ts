/// <reference lib="esnext.disposable" preserve="true" />
// A Program: a flat list of dispatches with their buffers, encoded into one compute pass as often as it is run.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Allocation, MemoryPlan } from '../graph/memory.ts';
import type { Schedule } from '../graph/schedule.ts';
import { type MemoryNeed, memoryNeed, slotNames } from '../graph/sizes.ts';
import { alignedSize, type Block, type Variable } from '../ops/source.ts';
import { type DType, type Shape, show, sizeOf, type Tensor, wordsFor } from '../ops/tensor.ts';
import { type Command, type Dispatch, type OutputArray, type Outputs, type RunInputs, record } from './dispatch.ts';
import type { Profile, ProfileOptions } from './profile.ts';
import { ARRAYS, type BufferRange, copyOut, type HostArray } from './readback.ts';
import { Uploads } from './uploads.ts';
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
  readonly warnings: readonly string[];
}

export interface RunOptions<O extends Outputs = Outputs> {
  /** How many times in a row, in one pass; 1 by default. */
  readonly steps?: number;
  /** Buffers of the app to write outputs to, without a copy; created with STORAGE usage. */
  readonly outputs?: { readonly [N in keyof O]?: GPUBuffer };
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

/** Buffers of the app by the place that they stand for: `input x`, `slot 3`. */
type Bound = Map<string, GPUBuffer>;

/** What a run was given, checked. */
interface Given {
  readonly bound: Bound;
  /** Arrays in whole words, and the input buffers that they go to. */
  readonly arrays: readonly (readonly [GPUBuffer, Uint8Array])[];
  /** Buffers of the app that hold a pack, and its slot. */
  readonly packs: readonly (readonly [GPUBuffer, number])[];
}

/** What `compile` makes: `O` are its outputs, `I` what it is given at every run, as far as `compile` was told. */
export class Program<O extends Outputs = Outputs, I extends RunInputs = RunInputs> {
  readonly gpu: Gpu;
  readonly dispatches: readonly Dispatch[];
  readonly inputs: ReadonlyMap<string, ProgramInput>;
  /** How operands of products are stored: f32 where the device has no f16, whatever was asked for. */
  readonly storage: 'f32' | 'f16';
  /** Planned bytes; `memoryOf` tells them before anything is compiled. */
  readonly memory: MemoryNeed;
  /** What the user should know: kernels that this driver gets wrong, and what takes their place. */
  readonly warnings: readonly string[];
  private readonly parts: ProgramParts;
  private readonly slots: GPUBuffer[] = [];
  private readonly inputBuffers = new Map<string, GPUBuffer>();
  private readonly groups = new Map<string, GPUBindGroup>();
  /** The places a dispatch touches that the app's buffers may stand for; most touch none. */
  private readonly external: readonly (readonly string[])[];
  private readonly outputSlots = new Set<number>();
  /** Bytes between the parts of a pack that others write in place, by its slot: zeros. */
  private readonly gaps = new Map<number, readonly (readonly [offset: number, size: number])[]>();
  /** The memory of variables that bind groups were made for. */
  private readonly blocks = new Map<Block, GPUBuffer>();
  /** Where outputs went in the last run: the app's buffers by slot, and the names they were given under. */
  private given: Bound = new Map();
  private elsewhere = new Set<string>();
  private uploads: Uploads | undefined;
  private destroyed = false;

  constructor(gpu: Gpu, parts: ProgramParts) {
    this.gpu = gpu;
    this.parts = parts;
    this.dispatches = parts.dispatches;
    this.inputs = parts.inputs;
    this.storage = parts.storage;
    this.warnings = parts.warnings;
    const { slots, allocations } = parts.memory;
    this.memory = memoryNeed(parts.memory);
    for (const tensor of Object.values(parts.schedule.outputs)) {
      const allocation = allocations.get(tensor);
      if (allocation?.kind === 'slot') this.outputSlots.add(allocation.slot);
    }
    for (const { inPlaceConcat, outputs } of parts.schedule.groups) {
      const allocation = allocations.get(outputs[0]!);
      if (inPlaceConcat && allocation?.kind === 'slot') this.gaps.set(allocation.slot, gapsOf(outputs[0]!));
    }
    this.external = parts.dispatches.map(({ kernel }) => {
      const keys = kernel.bindings.map(({ allocation }) => this.keyOf(allocation));
      return [...new Set(keys.filter((key) => key !== undefined))];
    });
    gpu.hold(this.pipelines());
    try {
      // STORAGE, COPY_SRC and COPY_DST.
      const usage = 0x80 | 0x04 | 0x08;
      const names = slotNames(parts.memory);
      for (const [i, size] of slots.entries()) {
        this.slots.push(gpu.createBuffer({ label: names[i]!, size: size * 4, usage }));
      }
      this.bindAll();
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  private pipelines(): GPUComputePipeline[] {
    return this.dispatches.map(({ pipeline }) => pipeline);
  }

  /** Makes the bind groups that no buffer of the app is in, and the variables, so that no step creates anything. */
  private bindAll(): void {
    this.groups.clear();
    for (const { kernel } of this.dispatches) {
      for (const { allocation } of kernel.bindings) {
        if (allocation.kind === 'variable')
          this.blocks.set(allocation.variable.place(), rangeOf(this.gpu, allocation.variable).buffer);
      }
    }
    this.dispatches.forEach((_, i) => {
      if (this.external[i]!.length === 0) this.bindGroup(i, new Map());
    });
  }

  /** What a buffer of the app is bound under, where one may be. */
  private keyOf(allocation: Allocation): string | undefined {
    if (allocation.kind === 'input') return `input ${allocation.name}`;
    return allocation.kind === 'slot' && this.outputSlots.has(allocation.slot) ? `slot ${allocation.slot}` : undefined;
  }

  private bindGroup(index: number, bound: Bound): GPUBindGroup {
    const names = this.external[index]!;
    const key = `${index}:${names.map((name) => (bound.has(name) ? idOf(bound.get(name)!) : '-')).join()}`;
    let group = this.groups.get(key);
    if (group) return group;
    const { kernel, layout } = this.dispatches[index]!;
    group = this.gpu.device.createBindGroup({
      label: kernel.label,
      layout,
      entries: kernel.bindings.map(({ allocation, tensor }, binding) => ({
        binding,
        resource: this.resource(allocation, tensor, bound),
      })),
    });
    if (names.length > 0 && this.groups.size > this.dispatches.length + KEPT_GROUPS) {
      const oldest = [...this.groups.keys()].find((old) => this.external[Number(old.split(':')[0])]!.length > 0);
      if (oldest) this.groups.delete(oldest);
    }
    this.groups.set(key, group);
    return group;
  }

  private resource(allocation: Allocation, tensor: Tensor, bound: Bound): BufferRange {
    const size = boundBytes(tensor);
    if (allocation.kind === 'variable') return { ...rangeOf(this.gpu, allocation.variable), size };
    const app = bound.get(this.keyOf(allocation) ?? '');
    if (allocation.kind === 'input') return { buffer: app ?? this.inputBuffer(allocation.name), offset: 0, size };
    return { buffer: app ?? this.slots[allocation.slot]!, offset: allocation.offset * 4, size };
  }

  private inputBuffer(name: string): GPUBuffer {
    let buffer = this.inputBuffers.get(name);
    if (!buffer || !this.gpu.isAlive(buffer)) {
      // A bind group may hold one that there was no memory for.
      if (buffer) this.groups.clear();
      const { shape, dtype } = this.inputs.get(name)!;
      // STORAGE and COPY_DST.
      buffer = this.gpu.createBuffer({
        label: `input ${name}`,
        size: Math.max(16, wordsFor(sizeOf(shape), dtype) * 4),
        usage: 0x80 | 0x08,
      });
      this.inputBuffers.set(name, buffer);
    }
    return buffer;
  }

  /** Checks what the caller gave. */
  private bind(inputs: RunInputs, outputs: RunOptions['outputs'] = {}): Given {
    if (this.destroyed) throw new OptionError('this program was destroyed');
    this.gpu.check();
    // Variables that were freed come back elsewhere.
    if ([...this.blocks].some(([block, buffer]) => this.gpu.peek(block) !== buffer)) this.bindAll();
    const updated = this.updated.map((variable) => variable.place());
    const bound: Bound = new Map();
    const arrays: [GPUBuffer, Uint8Array][] = [];
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
      if (isBuffer(data)) {
        checkBuffer(data, 4 * Math.max(1, wordsFor(sizeOf(shape), dtype)), wants);
        this.checkShared(data, `input ${name}`, updated);
        bound.set(`input ${name}`, data);
        continue;
      }
      const type = ARRAYS[dtype];
      if (!(data instanceof type) || data.length !== sizeOf(shape)) {
        throw new OptionError(
          `${wants}: it takes a ${type.name} of ${sizeOf(shape)} or a GPUBuffer, got ${describe(data)}`,
        );
      }
      arrays.push([this.inputBuffer(name), wholeWords(data)]);
    }
    const given: Bound = new Map();
    const packs: [GPUBuffer, number][] = [];
    const names = new Map<string, string>();
    for (const [name, buffer] of Object.entries(outputs) as [string, GPUBuffer][]) {
      const { named, stored, allocation } = this.output(name);
      checkBuffer(buffer, boundBytes(stored), `output ${name} is ${stored.dtype}${show(named.shape)}`);
      this.checkShared(buffer, `output ${name}`, [...this.blocks.keys()]);
      if ([...bound.values(), ...given.values()].includes(buffer)) {
        throw new OptionError(`output ${name} cannot go to a buffer that is bound as another input or output`);
      }
      const key = this.keyOf(allocation);
      if (allocation.kind !== 'slot' || !key || names.has(key)) {
        const reason = key ? `it is the same value as output ${names.get(key)}` : 'it is the new value of a variable';
        throw new OptionError(`output ${name} cannot go to a buffer of its own, because ${reason}`);
      }
      const gaps = this.gaps.get(allocation.slot) ?? [];
      if (gaps.length > 0 && !(buffer.usage & 0x08)) {
        throw new OptionError(
          `output ${name} is a pack, with zeros between its parts: its buffer wants COPY_DST usage`,
        );
      }
      if (gaps.length > 0) packs.push([buffer, allocation.slot]);
      names.set(key, name);
      given.set(key, buffer);
    }
    this.elsewhere = new Set(names.values());
    this.given = given;
    return { bound: new Map([...bound, ...given]), arrays, packs };
  }

  /** @throws OptionError if the caller's buffer is memory that a run writes, or may not write */
  private checkShared(buffer: GPUBuffer, name: string, blocks: readonly Block[]): void {
    const cure = 'give it a buffer of its own';
    if (this.slots.includes(buffer)) throw new OptionError(`${name} cannot be memory of the program's own: ${cure}`);
    const block = blocks.find((one) => this.blocks.get(one) === buffer);
    if (block) throw new OptionError(`${name} cannot be the memory of variable ${block.variables[0]!.name}: ${cure}`);
  }

  /** An output as it was named, and as it lies in memory: there, what was bytes is u32. */
  private output(name: string): { named: Tensor; stored: Tensor; allocation: Allocation } {
    const named = this.parts.names[name];
    if (!named) {
      const known = Object.keys(this.parts.names).join(', ') || 'none';
      throw new OptionError(`the program has no output ${name}; its outputs are: ${known}`);
    }
    const stored = this.parts.schedule.outputs[name]!;
    return { named, stored, allocation: this.parts.memory.allocations.get(stored)! };
  }

  /** What a run sets and dispatches, in order. Arrays among the inputs are copied now. */
  commands(inputs: RunInputs = {}): Command[] {
    const { bound, arrays } = this.bind(inputs);
    this.write(arrays);
    return this.commandsOf(bound);
  }

  private commandsOf(bound: Bound): Command[] {
    return this.dispatches.map(({ pipeline, kernel: { workgroups } }, i) => ({
      pipeline,
      group: this.bindGroup(i, bound),
      workgroups,
    }));
  }

  private write(arrays: Given['arrays']): void {
    const { queue } = this.gpu.device;
    for (const [buffer, words] of arrays) queue.writeBuffer(buffer, 0, words as Uint8Array<ArrayBuffer>);
  }

  /**
   * Records the dispatches, `steps` times, into a pass that is open. Inputs are GPUBuffers here: nothing can be copied in
   * the middle of a pass.
   */
  encodePass(pass: GPUComputePassEncoder, inputs: I = {} as I, options: RunOptions<O> = {}): void {
    const { bound, arrays, packs } = this.bind(inputs, options.outputs);
    if (arrays.length > 0) throw new OptionError('encodePass takes GPUBuffers; encode takes arrays as well');
    if (packs.length > 0) throw new OptionError('encodePass gives no pack to a buffer; encode does');
    this.recordPass(pass, bound, options);
  }

  private recordPass(pass: GPUComputePassEncoder, bound: Bound, { steps = 1 }: RunOptions): void {
    if (!Number.isInteger(steps) || steps < 1) throw new OptionError(`steps must be a positive integer, got ${steps}`);
    const commands = this.commandsOf(bound);
    for (let step = 0; step < steps; step++) for (const command of commands) record(pass, command);
  }

  /**
   * Records one compute pass into the app's own encoder; the app submits it, when it likes. Arrays are copied now, for this
   * recording alone; to record often, give GPUBuffers, which are used where they are.
   */
  encode(encoder: GPUCommandEncoder, inputs: I = {} as I, options: RunOptions<O> = {}): void {
    this.encodeWith(encoder, inputs, options, (arrays) => {
      if (arrays.length > 0) this.uploads ??= new Uploads(this.gpu);
      this.uploads?.record(encoder, arrays);
    });
  }

  private encodeWith(
    encoder: GPUCommandEncoder,
    inputs: RunInputs,
    options: RunOptions,
    upload: (arrays: Given['arrays']) => void,
  ): void {
    const { bound, arrays, packs } = this.bind(inputs, options.outputs);
    upload(arrays);
    for (const [buffer, slot] of packs) {
      for (const [offset, size] of this.gaps.get(slot)!) encoder.clearBuffer(buffer, offset, size);
    }
    const pass = encoder.beginComputePass();
    this.recordPass(pass, bound, options);
    pass.end();
  }

  /**
   * Submits: one encoder, one compute pass, whatever `steps` is. `then` may record copies behind the pass.
   *
   * @throws OptionError if inputs are missing, unknown, or of the wrong size
   */
  run(inputs: I = {} as I, options: RunOptions<O> = {}, then?: (encoder: GPUCommandEncoder) => void): void {
    const { device } = this.gpu;
    const encoder = device.createCommandEncoder();
    this.encodeWith(encoder, inputs, options, (arrays) => this.write(arrays));
    then?.(encoder);
    device.queue.submit([encoder.finish()]);
  }

  /** Profiles the program: every dispatch timed, beside what this adapter can do at best. Variables stay as they are. */
  async profile(inputs: RunInputs = {}, options: ProfileOptions = {}): Promise<Profile> {
    const { profileProgram } = await import('./profile.ts');
    return profileProgram(this, inputs, options);
  }

  /** Why each two neighbouring dispatches, or two by number, are not one: a line for each pair. */
  async explain(a?: number, b?: number): Promise<string[]> {
    const { explainSchedule } = await import('../graph/explain.ts');
    return explainSchedule(this.parts.schedule, a, b);
  }

  /** The schedule as text: what each dispatch reads, computes and stores, and between two of them why they are two. */
  async printSchedule(): Promise<string> {
    const { printExplained } = await import('../graph/explain.ts');
    return printExplained(this.parts.schedule);
  }

  /** Variables that a run changes. */
  get updated(): Variable[] {
    return [...new Set(this.parts.schedule.targets.values())];
  }

  /** Where an output lies after a run: to copy from, or to bind in the app's own kernels. */
  outputRange(name: keyof O & string): BufferRange {
    const { stored, allocation } = this.output(name);
    if (this.elsewhere.has(name))
      throw new OptionError(`output ${name} went to the buffer that was given: read it there`);
    // An output of the same value may have gone to a buffer of the app.
    return this.resource(allocation, stored, this.given);
  }

  /** The value of an output after the last run; bytes and what is computed of them are u32. */
  async read<N extends keyof O & string>(name: N): Promise<OutputArray<O[N]>> {
    const range = this.outputRange(name);
    if (!(range.buffer.usage & 0x04)) {
      throw new OptionError(
        `output ${name} is in a buffer of the app without COPY_SRC usage: it equals another output`,
      );
    }
    const { size, dtype } = this.output(name).stored;
    const values = await copyOut(this.gpu, range, dtype);
    return values.subarray(0, size) as OutputArray<O[N]>;
  }

  /** Frees the intermediate results. Variables stay: they belong to the model. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.gpu.release(this.pipelines());
    for (const buffer of [...this.slots, ...this.inputBuffers.values()]) buffer.destroy();
    this.uploads?.destroy();
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

/** The bytes of an array, in whole words: what a copy on the GPU must cover. */
function wholeWords({ buffer, byteOffset, byteLength }: HostArray): Uint8Array {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  if (byteLength % 4 === 0) return bytes;
  const whole = new Uint8Array(Math.ceil(byteLength / 4) * 4);
  whole.set(bytes);
  return whole;
}

/** Where a pack has no part: ranges in bytes. */
function gapsOf(pack: Tensor): [offset: number, size: number][] {
  let end = 0;
  return pack.inputs.flatMap(({ size }): [number, number][] => {
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

// The memory of a program: its buffers, and the bind groups of its dispatches, where the app's buffers may stand for some.
import type { Gpu } from '../gpu/gpu.ts';
import type { Allocation, MemoryPlan } from '../graph/memory.ts';
import type { Schedule } from '../graph/schedule.ts';
import { slotNames } from '../graph/sizes.ts';
import type { Block } from '../ops/source.ts';
import { type DType, type Shape, sizeOf, type Tensor, wordsFor } from '../ops/tensor.ts';
import type { Dispatch } from './dispatch.ts';
import type { BufferRange } from './readback.ts';
import { rangeOf } from './variables.ts';

export interface ProgramInput {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What a program is made of. */
export interface ProgramParts {
  readonly storage: 'f32' | 'f16';
  readonly dispatches: readonly Dispatch[];
  readonly memory: MemoryPlan;
  readonly inputs: ReadonlyMap<string, ProgramInput>;
  readonly schedule: Schedule;
  /** The outputs as they were named, with the shapes that they were given. */
  readonly names: Readonly<Record<string, Tensor>>;
  readonly warnings: readonly string[];
}

/** Buffers of the app by the place that they stand for: `input x`, `slot 3`. */
export type Bound = ReadonlyMap<string, GPUBuffer>;

/** Buffers of the app that bind groups are kept for; beyond that, the oldest is made anew. */
const KEPT_GROUPS = 64;

const buffersSeen = new WeakMap<GPUBuffer, number>();
let nextBuffer = 0;
function idOf(buffer: GPUBuffer): number {
  const id = buffersSeen.get(buffer) ?? nextBuffer++;
  buffersSeen.set(buffer, id);
  return id;
}

/** Bytes to bind for a tensor: whole words, and never none. */
export function boundBytes(tensor: Tensor): number {
  return Math.max(4, wordsFor(tensor.size, tensor.dtype) * 4);
}

export class Bindings {
  readonly slots: GPUBuffer[] = [];
  /** The memory of variables that bind groups were made for. */
  readonly blocks = new Map<Block, GPUBuffer>();
  private readonly gpu: Gpu;
  private readonly parts: ProgramParts;
  private readonly inputBuffers = new Map<string, GPUBuffer>();
  private readonly groups = new Map<string, GPUBindGroup>();
  /** The places a dispatch touches that the app's buffers may stand for; most touch none. */
  private readonly external: readonly (readonly string[])[];
  private readonly outputSlots: ReadonlySet<number>;

  /** Allocates; what was allocated before an error is freed. */
  constructor(gpu: Gpu, parts: ProgramParts) {
    this.gpu = gpu;
    this.parts = parts;
    const { schedule, memory, dispatches } = parts;
    const outputs = Object.values(schedule.outputs).map((tensor) => memory.allocations.get(tensor));
    this.outputSlots = new Set(outputs.flatMap((place) => (place?.kind === 'slot' ? [place.slot] : [])));
    this.external = dispatches.map(({ kernel }) => {
      const keys = kernel.bindings.map(({ allocation }) => this.keyOf(allocation));
      return [...new Set(keys.filter((key) => key !== undefined))];
    });
    try {
      // STORAGE, COPY_SRC and COPY_DST.
      const usage = 0x80 | 0x04 | 0x08;
      const names = slotNames(memory);
      for (const [i, size] of memory.slots.entries()) {
        this.slots.push(gpu.createBuffer({ label: names[i]!, size: size * 4, usage }));
      }
      this.bindAll();
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  /** Makes the bind groups that no buffer of the app is in, and the variables, so that no step creates anything. */
  private bindAll(): void {
    this.groups.clear();
    for (const { kernel } of this.parts.dispatches) {
      for (const { allocation } of kernel.bindings) {
        if (allocation.kind === 'variable')
          this.blocks.set(allocation.variable.place(), rangeOf(this.gpu, allocation.variable).buffer);
      }
    }
    this.parts.dispatches.forEach((_, i) => {
      if (this.external[i]!.length === 0) this.group(i, new Map());
    });
  }

  /** Variables that were freed come back elsewhere. */
  refresh(): void {
    if ([...this.blocks].some(([block, buffer]) => this.gpu.peek(block) !== buffer)) this.bindAll();
  }

  /** What a buffer of the app is bound under, where one may be. */
  keyOf(allocation: Allocation): string | undefined {
    if (allocation.kind === 'input') return `input ${allocation.name}`;
    return allocation.kind === 'slot' && this.outputSlots.has(allocation.slot) ? `slot ${allocation.slot}` : undefined;
  }

  /** The bind group of a dispatch, kept for the buffers that are bound. */
  group(index: number, bound: Bound): GPUBindGroup {
    const names = this.external[index]!;
    const key = `${index}:${names.map((name) => (bound.has(name) ? idOf(bound.get(name)!) : '-')).join()}`;
    let group = this.groups.get(key);
    if (group) return group;
    const { kernel, layout } = this.parts.dispatches[index]!;
    group = this.gpu.device.createBindGroup({
      label: kernel.label,
      layout,
      entries: kernel.bindings.map(({ allocation, tensor }, binding) => ({
        binding,
        resource: this.resource(allocation, tensor, bound),
      })),
    });
    if (names.length > 0 && this.groups.size > this.parts.dispatches.length + KEPT_GROUPS) {
      const oldest = [...this.groups.keys()].find((old) => this.external[Number(old.split(':')[0])]!.length > 0);
      if (oldest) this.groups.delete(oldest);
    }
    this.groups.set(key, group);
    return group;
  }

  /** Where a tensor lies. */
  resource(allocation: Allocation, tensor: Tensor, bound: Bound): BufferRange {
    const size = boundBytes(tensor);
    if (allocation.kind === 'variable') return { ...rangeOf(this.gpu, allocation.variable), size };
    const app = bound.get(this.keyOf(allocation) ?? '');
    if (allocation.kind === 'input') return { buffer: app ?? this.inputBuffer(allocation.name), offset: 0, size };
    return { buffer: app ?? this.slots[allocation.slot]!, offset: allocation.offset * 4, size };
  }

  /** The program's own buffer for an input, made when it is first wanted. */
  inputBuffer(name: string): GPUBuffer {
    let buffer = this.inputBuffers.get(name);
    if (!buffer || !this.gpu.isAlive(buffer)) {
      // A bind group may hold one that there was no memory for.
      if (buffer) this.groups.clear();
      const { shape, dtype } = this.parts.inputs.get(name)!;
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

  destroy(): void {
    for (const buffer of [...this.slots, ...this.inputBuffers.values()]) buffer.destroy();
    this.inputBuffers.clear();
    this.groups.clear();
  }
}

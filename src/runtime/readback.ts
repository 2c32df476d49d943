// From the GPU to JavaScript: a ring of staging buffers, so that nobody waits for a value to go on.
import { DeviceLostError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { DType } from '../ops/tensor.ts';

/** A range of a buffer, in bytes. */
export interface BufferRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** Elements on JavaScript's side; those of f16 are bits, because few engines have a Float16Array. */
export type HostArray = Float32Array | Uint32Array | Uint8Array | Uint16Array;

/** The array that holds elements of a type. */
export type ArrayOf<D extends DType> = { f32: Float32Array; u32: Uint32Array; u8: Uint8Array; f16: Uint16Array }[D];

/** The array that holds elements of a type. */
export const ARRAYS = { f32: Float32Array, u32: Uint32Array, u8: Uint8Array, f16: Uint16Array } as const;

/**
 * Copies of one range of a buffer. `record` goes into the encoder of a step, so that a readback costs no submit of its
 * own; `fetch`, after that submit, gives the values of the oldest record that was not fetched yet.
 */
export class Readback {
  private readonly gpu: Gpu;
  private readonly range: () => BufferRange;
  private readonly dtype: DType;
  private readonly depth: number;
  private readonly free: GPUBuffer[] = [];
  private readonly pending: GPUBuffer[] = [];
  private readonly mapping = new Set<GPUBuffer>();
  private made = 0;

  /** @param depth how many may be under way at once */
  constructor(gpu: Gpu, range: () => BufferRange, dtype: DType, depth = 3) {
    this.gpu = gpu;
    this.range = range;
    this.dtype = dtype;
    this.depth = depth;
  }

  /** Whether `record` finds a buffer. */
  get ready(): boolean {
    return this.free.length > 0 || this.made < this.depth;
  }

  record(encoder: GPUCommandEncoder): void {
    const { buffer, offset, size } = this.range();
    let staging = this.free.pop();
    if (!staging) {
      if (this.made === this.depth) throw new Error(`more than ${this.depth} readbacks under way: fetch one first`);
      this.made++;
      // MAP_READ and COPY_DST.
      staging = this.gpu.createBuffer({ label: 'readback', size: Math.ceil(size / 4) * 4, usage: 0x01 | 0x08 });
    }
    encoder.copyBufferToBuffer(buffer, offset, staging, 0, staging.size);
    this.pending.push(staging);
  }

  async fetch(): Promise<HostArray> {
    const staging = this.pending.shift();
    if (!staging) throw new Error('nothing was recorded to fetch');
    this.mapping.add(staging);
    try {
      await staging.mapAsync(1);
    } catch (error) {
      staging.destroy();
      if (this.mapping.delete(staging)) this.made--;
      // Mapping fails when the device goes, or there was no memory; both are told better elsewhere.
      const lost = await Promise.race([this.gpu.lost, Promise.resolve(undefined)]);
      this.gpu.check();
      throw (
        lost ?? new DeviceLostError(`reading back from the GPU failed: ${(error as Error).message}`, { cause: error })
      );
    }
    const values: HostArray = new ARRAYS[this.dtype](staging.getMappedRange().slice(0));
    staging.unmap();
    if (this.mapping.delete(staging)) this.free.push(staging);
    else staging.destroy();
    return values;
  }

  destroy(): void {
    for (const buffer of [...this.free, ...this.pending]) buffer.destroy();
    // Dawn for Node crashes if a buffer is destroyed while it is mapped: these go when that is over.
    this.mapping.clear();
    this.free.length = this.pending.length = 0;
    this.made = 0;
  }
}

/** Reads a range once. */
export async function copyOut(gpu: Gpu, range: BufferRange, dtype: DType): Promise<HostArray> {
  gpu.check();
  const readback = new Readback(gpu, () => range, dtype, 1);
  try {
    const encoder = gpu.device.createCommandEncoder();
    readback.record(encoder);
    gpu.device.queue.submit([encoder.finish()]);
    return await readback.fetch();
  } finally {
    readback.destroy();
  }
}

// Counts the memory that an engine has on the GPU.
import { firstOutcomes, isTraining } from './verify.ts';
import type { Outcome, Prepared, Task } from './workloads.ts';

/** Train steps after which no engine allocates anything that it did not before. */
const STEPS = 5;

/** Runs a task until it has taken all the memory that it will take: an op once, since those who repeat it keep its results. */
export async function runForMemory(task: Task, prepared: Prepared): Promise<Outcome[]> {
  const outcomes = await firstOutcomes(task, prepared);
  if (isTraining(task)) await prepared.run(STEPS);
  return outcomes;
}

/** Counts the bytes in buffers that are made from now on. Buffers to read back by are left out: they are the reader's. */
export class BufferCount {
  /** Most bytes that were alive at a time. */
  peak = 0;
  private alive = 0;

  constructor() {
    const { createBuffer } = GPUDevice.prototype;
    const count = this;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      const buffer = createBuffer.call(this, descriptor);
      // MAP_READ
      if (!(descriptor.usage & 0x01)) count.add(buffer, descriptor.size);
      return buffer;
    };
  }

  /** Starts over: what is alive counts for nothing. */
  reset(): void {
    this.alive = 0;
    this.peak = 0;
  }

  private add(buffer: GPUBuffer, size: number): void {
    this.alive += size;
    this.peak = Math.max(this.peak, this.alive);
    const { destroy } = buffer;
    buffer.destroy = () => {
      this.alive -= size;
      buffer.destroy = destroy;
      destroy.call(buffer);
    };
  }
}

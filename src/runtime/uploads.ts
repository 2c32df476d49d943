// Host arrays on their way into an encoder that the app submits, when it likes: each recording keeps a copy of its own.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { copyOut } from './readback.ts';

/** One recording's data, and the ticket that the GPU copies out when it gets there. */
interface Staging {
  readonly buffer: GPUBuffer;
  ticket: number;
  busy: boolean;
}

/** Recordings that may wait for their submit at once. */
const MOST = 1024;

/**
 * Staging buffers, used again once the GPU has read them. Nothing tells whether an app has submitted an encoder; so each
 * recording ends with the copy of a ticket, and the tickets are read back when half of the staging buffers are taken.
 */
export class Uploads {
  private readonly gpu: Gpu;
  private readonly stagings: Staging[] = [];
  private readonly tickets: GPUBuffer;
  private next = 1;
  private looking = false;

  constructor(gpu: Gpu) {
    this.gpu = gpu;
    // COPY_SRC and COPY_DST.
    this.tickets = gpu.createBuffer({ label: 'tickets of uploads', size: MOST * 4, usage: 0x04 | 0x08 });
  }

  /** Records copies of whole words into buffers. */
  record(encoder: GPUCommandEncoder, copies: readonly (readonly [to: GPUBuffer, words: Uint8Array])[]): void {
    if (copies.length === 0) return;
    const size = copies.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
    const staging = this.take(size + 4);
    const { queue } = this.gpu.device;
    let offset = 0;
    for (const [to, words] of copies) {
      queue.writeBuffer(staging.buffer, offset, words as Uint8Array<ArrayBuffer>);
      if (words.byteLength > 0) encoder.copyBufferToBuffer(staging.buffer, offset, to, 0, words.byteLength);
      offset += words.byteLength;
    }
    staging.ticket = this.next++;
    queue.writeBuffer(staging.buffer, offset, Uint32Array.of(staging.ticket));
    encoder.copyBufferToBuffer(staging.buffer, offset, this.tickets, this.stagings.indexOf(staging) * 4, 4);
  }

  private take(size: number): Staging {
    let staging = this.stagings.find(({ buffer, busy }) => !busy && buffer.size >= size);
    if (!staging) {
      if (this.stagings.length === MOST) {
        throw new OptionError(`${MOST} encoders with arrays wait to be submitted: submit them, or give GPUBuffers`);
      }
      const buffer = this.gpu.createBuffer({ label: 'upload', size, usage: 0x04 | 0x08 });
      staging = { buffer, ticket: 0, busy: false };
      this.stagings.push(staging);
    }
    // Early enough that whoever awaits something between two recordings finds one free.
    const busy = this.stagings.filter((one) => one.busy).length;
    if (2 * busy >= this.stagings.length) this.look();
    staging.busy = true;
    return staging;
  }

  /** Finds out, in a while, which stagings the GPU is done with. */
  private look(): void {
    if (this.looking || !this.stagings.some(({ busy }) => busy)) return;
    this.looking = true;
    const range = { buffer: this.tickets, offset: 0, size: this.stagings.length * 4 };
    copyOut(this.gpu, range, 'u32')
      .then((seen) => {
        for (const [i, staging] of this.stagings.entries()) if (seen[i] === staging.ticket) staging.busy = false;
      })
      // Whoever needs the device next hears what is wrong with it.
      .catch(() => undefined)
      .finally(() => {
        this.looking = false;
      });
  }

  destroy(): void {
    for (const { buffer } of [...this.stagings, { buffer: this.tickets }]) buffer.destroy();
    this.stagings.length = 0;
  }
}

// A data set on the GPU, as it is on disk: bytes. Batches are picked and normalised by the kernel that needs them. What
// does not fit a budget is streamed through a ring of batches, refilled between submits with the very rows that the kernel
// would have picked, so that a streamed run is the resident run to the bit.
import { checkDataset, type Dataset, type ImageSet } from '../data/images.ts';
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Batch } from '../models/model.ts';
import { add, divideFloor, less, minimum, modulo, mul, toF32 } from '../ops/elementwise.ts';
import { gather } from '../ops/gather.ts';
import { permute } from '../ops/philox.ts';
import { permutation } from '../ops/random.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { broadcastTo } from '../ops/view.ts';
import { rangeOf } from '../runtime/variables.ts';

/** Most steps in one submit. */
export const MAX_STEPS = 32;
/** Submits under way: enough to keep the GPU busy, few enough to stop soon. */
export const AHEAD = 2;

/** Bytes in a megabyte, as --budget counts. */
export const MB = 1e6;

export interface GpuDatasetOptions {
  readonly batch: number;
  /** Two u32, with their first values, which the order of the training images hangs on. */
  readonly key: Variable;
  /** Bytes of GPU memory that images and labels may take: unless told, what the device lets one buffer bind. */
  readonly budget?: number | undefined;
}

const pixelsOf = ({ height, width, channels }: ImageSet) => height * width * channels;
const rowBytes = (set: ImageSet) => pixelsOf(set) + (set.labels ? 1 : 0);

/** Images and their labels on the GPU, a row each. */
class Rows {
  readonly variables: readonly Variable[];
  private readonly images: Variable;
  private readonly labels: Variable | undefined;

  /** All of a set's, or room for so many of its kind. */
  constructor(name: string, set: ImageSet, room?: number) {
    const create = (what: string, shape: readonly number[], bytes: Uint8Array) =>
      new Variable(`${name} ${what}`, shape, { dtype: 'u8', ...(room === undefined && { init: () => bytes }) });
    const count = room ?? set.count;
    this.images = create('images', [count, pixelsOf(set)], set.images);
    if (set.labels) this.labels = create('labels', [count], set.labels);
    this.variables = [this.images, ...(this.labels ? [this.labels] : [])];
  }

  /** The images, as intensities, and labels of these rows (u32 [batch]). */
  at(indices: Tensor): Batch {
    return {
      images: mul(toF32(gather(this.images.tensor, indices)), 1 / 255),
      labels: this.labels && gather(this.labels.tensor, indices),
    };
  }
}

/** Which rows of a set a step takes: for a kernel to compute, and for the stream to copy. */
interface Order {
  tensor(step: Tensor): Tensor;
  row(step: number, i: number): number;
}

/** All rows of a set on the GPU; steps find theirs by themselves. */
class Resident {
  readonly rows: Rows;
  readonly steps: number = Number.POSITIVE_INFINITY;
  private readonly order: Order;

  constructor(name: string, set: ImageSet, order: Order) {
    this.rows = new Rows(name, set);
    this.order = order;
  }

  batch(step: Tensor): Batch {
    return this.rows.at(this.order.tensor(step));
  }

  load(): void {}
}

/** A ring of slots, one for the batch of a step; step s has slot s modulo their number. */
class Stream {
  readonly rows: Rows;
  /** Most steps to load at once: those loaded before, for submits still under way, keep their slots. */
  readonly steps: number;
  private readonly order: Order;
  private readonly slots: number;
  private readonly size: number;
  /** Rows between slots: a write to the GPU begins at a whole word. */
  private readonly stride: number;
  /** What one slot is filled from. */
  private readonly parts: readonly { readonly from: Uint8Array; readonly width: number; readonly slot: Uint8Array }[];

  constructor(name: string, set: ImageSet, order: Order, size: number, slots: number) {
    this.order = order;
    this.size = size;
    this.slots = slots;
    this.steps = Math.floor(slots / AHEAD);
    this.stride = strideOf(size);
    this.rows = new Rows(`${name}, streamed`, set, slots * this.stride);
    const part = (from: Uint8Array, width: number) => ({ from, width, slot: new Uint8Array(this.stride * width) });
    this.parts = [part(set.images, pixelsOf(set)), ...(set.labels ? [part(set.labels, 1)] : [])];
  }

  batch(step: Tensor): Batch {
    const slot = modulo(step, constant(this.slots, 'u32'));
    return this.rows.at(add(mul(slot, constant(this.stride, 'u32')), iota([this.size], 0, 'u32')));
  }

  /** The queue writes a slot when what was submitted before has run, so that no step loses its batch. */
  load(gpu: Gpu, first: number, count: number): void {
    const { order, size, stride, slots, parts } = this;
    for (let step = first; step < first + count; step++) {
      for (let i = 0; i < size; i++) {
        const row = order.row(step, i);
        for (const { from, width, slot } of parts) slot.set(from.subarray(row * width, (row + 1) * width), i * width);
      }
      parts.forEach(({ slot }, i) => {
        const { buffer, offset } = rangeOf(gpu, this.rows.variables[i]!);
        const start = (step % slots) * stride * parts[i]!.width;
        gpu.device.queue.writeBuffer(buffer, offset + start, slot as Uint8Array<ArrayBuffer>);
      });
    }
  }
}

const strideOf = (size: number) => Math.ceil(size / 4) * 4;

type Split = Resident | Stream;

/** Number of rows up to `room` bytes: all of them, or slots of a ring. */
function place(name: string, set: ImageSet, order: Order, batch: number, room: number, largest: number): Split {
  const bytes = set.count * rowBytes(set);
  if (bytes <= room && set.images.length <= largest) return new Resident(name, set, order);
  const slotBytes = strideOf(batch) * rowBytes(set);
  const slots = Math.min(AHEAD * MAX_STEPS, Math.floor(Math.min(room, largest) / slotBytes));
  if (slots < AHEAD) {
    const [needed, there] = [AHEAD * slotBytes, room].map((size) => `${Math.ceil(size / MB)} MB`);
    throw new OptionError(
      `${name}: ${AHEAD} batches of ${batch} images are streamed at a time, which takes ${needed}, and of --budget ` +
        `${there} are left: give it more, or a smaller --batch`,
    );
  }
  return new Stream(name, set, order, batch, slots);
}

export class GpuDataset {
  readonly train: Split;
  readonly test: Split;
  private readonly gpu: Gpu;
  private readonly dataset: Dataset;
  private readonly batch: number;
  private shown: Rows | undefined;

  /** @throws DataError if the data set is not what it says; OptionError if not even a stream fits the budget */
  constructor(gpu: Gpu, dataset: Dataset, { batch, key, budget }: GpuDatasetOptions) {
    checkDataset(dataset);
    this.gpu = gpu;
    this.dataset = dataset;
    this.batch = batch;
    const { name, train, test } = dataset;
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.device.limits;
    const largest = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    const room = budget ?? largest;
    // The test gets what the training leaves, and half if that is more.
    const forTest = Math.max(room / 2, room - train.count * rowBytes(train));
    this.test = place(`${name}, test`, test, inOrder(test.count, batch), batch, forTest, largest);
    const taken = this.test.rows.variables.reduce((sum, { size }) => sum + size, 0);
    this.train = place(`${name}, training`, train, shuffled(train.count, batch, key), batch, room - taken, largest);
  }

  get variables(): Variable[] {
    return [this.train.rows, this.test.rows, this.shown].flatMap((rows) => rows?.variables ?? []);
  }

  /** Bytes on the GPU, if not everything is there. */
  get streamedThrough(): number | undefined {
    if (!(this.train instanceof Stream || this.test instanceof Stream)) return undefined;
    return this.variables.reduce((sum, { size }) => sum + size, 0);
  }

  /** Most steps of a submit, before which these have to be loaded. */
  get steps(): number {
    return Math.min(MAX_STEPS, this.train.steps, this.test.steps);
  }

  /** Puts on the GPU what steps of a split need from `first` on, in time for the next submit. */
  load(split: 'train' | 'test', first: number, count: number): void {
    this[split].load(this.gpu, first, count);
  }

  /**
   * The training batch of a step (u32 scalar): every epoch shuffles anew, every image comes once an epoch, and a batch
   * may reach from one epoch into the next.
   */
  trainBatch(step: Tensor): Batch {
    return this.train.batch(step);
  }

  /** The test images from `batch · index` on, with 1 for those that exist and 0 for those past the end. */
  testBatch(index: Tensor): Batch & { mask: Tensor } {
    const position = positions(index, this.batch);
    const count = broadcastTo(constant(this.dataset.test.count, 'u32'), position.shape);
    return { ...this.test.batch(index), mask: less(position, count) };
  }

  /** The first test images. */
  examples(count: number): Batch {
    const { name, test } = this.dataset;
    if (this.test instanceof Stream) {
      const images = test.images.subarray(0, count * pixelsOf(test));
      const labels = test.labels && { labels: test.labels.subarray(0, count) };
      this.shown ??= new Rows(`${name}, examples`, { ...test, images, ...labels, count });
    }
    return (this.shown ?? this.test.rows).at(iota([count], 0, 'u32'));
  }
}

/** The numbers of a step's images, counted on from epoch to epoch. */
function positions(step: Tensor, batch: number): Tensor {
  return add(mul(step, constant(batch, 'u32')), iota([batch], 0, 'u32'));
}

function inOrder(count: number, batch: number): Order {
  return {
    tensor: (step) => minimum(positions(step, batch), constant(count - 1, 'u32')),
    row: (step, i) => Math.min(step * batch + i, count - 1),
  };
}

function shuffled(count: number, batch: number, key: Variable): Order {
  const [low = 0, high = 0] = key.init?.() ?? [];
  return {
    tensor(step) {
      const position = positions(step, batch);
      const epoch = divideFloor(position, constant(count, 'u32'));
      return permutation(modulo(position, constant(count, 'u32')), epoch, key.tensor, count);
    },
    row(step, i) {
      // As u32 does it.
      const position = (step * batch + i) >>> 0;
      return permute(position % count, count, [(low ^ Math.floor(position / count)) >>> 0, high]);
    },
  };
}

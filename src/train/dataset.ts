// A data set on the GPU, as it is in memory: bytes stay bytes. Batches are picked, and made what the model gets, by the kernel that needs them. What
// does not fit a budget is streamed through a ring of batches, refilled between submits with the very rows that the kernel
// would have picked, so that a streamed run is the resident run to the bit.
import { type Batch, checkTensors, type Examples, rowBytes, strideOf, type TensorDataset } from '../data/tensors.ts';
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { add, divideFloor, less, minimum, modulo, mul } from '../ops/elementwise.ts';
import { gather } from '../ops/gather.ts';
import { permute } from '../ops/philox.ts';
import { permutation } from '../ops/random.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import { bytesOf, type DType, type Shape, sizeOf, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, reshape } from '../ops/view.ts';
import { rangeOf } from '../runtime/variables.ts';

/** Most steps in one submit. */
export const MAX_STEPS = 32;
/** Submits under way: enough to keep the GPU busy, few enough to stop soon. */
export const AHEAD = 2;

/** Of the random numbers that a view of the data draws, apart from the trainer's. */
const STREAM = 5;

/** Bytes in a megabyte, as --budget counts. */
export const MB = 1e6;

export interface GpuDatasetOptions {
  readonly batch: number;
  /** Two u32, with their first values, which the order of the training examples hangs on. */
  readonly key: Variable;
  /** Bytes of GPU memory that the examples may take: by default, what the device lets one buffer bind. */
  readonly budget?: number | undefined;
}

/** Examples on the GPU, a row each of every tensor. */
class Rows {
  readonly tensors: readonly {
    readonly name: string;
    readonly shape: Shape;
    readonly variable: Variable;
    /** Of windows. */
    readonly stride: number | undefined;
    readonly shifts: number;
  }[];

  /** All of a set's, or room for so many of its kind. */
  constructor(label: string, { count, tensors }: Examples, room?: number) {
    this.tensors = Object.entries(tensors).map(([name, { dtype, shape, data, stride, shifts = 1 }]) => {
      const size = sizeOf(shape);
      const rows = shape.length > 0 ? [room ?? count, size] : [room ?? count];
      const isWindows = stride !== undefined && room === undefined;
      const first = room === undefined ? { init: () => data } : {};
      const options = { dtype: dtype as DType, ...first };
      const variable = new Variable(`${label} ${name}`, isWindows ? [data.length] : rows, options);
      return { name, shape, variable, stride: isWindows ? stride : undefined, shifts: isWindows ? shifts : 1 };
    });
  }

  get variables(): Variable[] {
    return this.tensors.map(({ variable }) => variable);
  }

  /** The rows of these numbers (u32 [batch]), as they are stored; windows are shifted by what `shift` makes of their shifts. */
  at(indices: Tensor, shift?: (shifts: number) => Tensor): Batch {
    return Object.fromEntries(
      this.tensors.map(({ name, shape, variable, stride, shifts }) => {
        if (stride !== undefined) {
          const start = mul(indices, constant(stride, 'u32'));
          const shifted = shift && shifts > 1 ? add(start, shift(shifts)) : start;
          const size = sizeOf(shape);
          const at = add(reshape(shifted, [indices.size, 1]), iota([indices.size, size], 1, 'u32'));
          return [name, reshape(gather(variable.tensor, at), [indices.size, ...shape])];
        }
        const rows = gather(variable.tensor, indices);
        return [name, shape.length > 1 ? reshape(rows, [indices.size, ...shape]) : rows];
      }),
    );
  }
}

/** Which rows of a set a step takes: for a kernel to compute, and for the stream to copy. */
interface Order {
  tensor(step: Tensor): Tensor;
  row(step: number, i: number): number;
  /** How far the windows of a step are shifted, below `shifts`; not at all without. */
  readonly shift?: {
    tensor(step: Tensor, shifts: number): Tensor;
    row(step: number, i: number, shifts: number): number;
  };
}

/** All rows of a set on the GPU; steps find theirs by themselves. */
class Resident {
  readonly rows: Rows;
  readonly steps: number = Number.POSITIVE_INFINITY;
  private readonly order: Order;

  constructor(name: string, set: Examples, order: Order) {
    this.rows = new Rows(name, set);
    this.order = order;
  }

  batch(step: Tensor): Batch {
    const { shift } = this.order;
    return this.rows.at(this.order.tensor(step), shift && ((shifts) => shift.tensor(step, shifts)));
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
  /** What one slot is filled from, in bytes. */
  private readonly parts: readonly {
    readonly from: Uint8Array;
    readonly width: number;
    /** Bytes from one row to the next, and those of an element. */
    readonly step: number;
    readonly element: number;
    readonly shifts: number;
    readonly slot: Uint8Array;
  }[];

  constructor(name: string, set: Examples, order: Order, size: number, slots: number) {
    this.order = order;
    this.size = size;
    this.slots = slots;
    this.steps = Math.floor(slots / AHEAD);
    this.stride = slotRows(size);
    this.rows = new Rows(`${name}, streamed`, set, slots * this.stride);
    this.parts = Object.values(set.tensors).map((tensor) => {
      const { dtype, shape, data, shifts = 1 } = tensor;
      const element = bytesOf(dtype);
      const width = sizeOf(shape) * element;
      const from = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const slot = new Uint8Array(this.stride * width);
      return { from, width, step: strideOf(tensor) * element, element, shifts, slot };
    });
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
        for (const { from, width, step: rowStep, element, shifts, slot } of parts) {
          const shift = shifts > 1 ? (order.shift?.row(step, i, shifts) ?? 0) : 0;
          const start = row * rowStep + shift * element;
          slot.set(from.subarray(start, start + width), i * width);
        }
      }
      parts.forEach(({ slot }, i) => {
        const { buffer, offset } = rangeOf(gpu, this.rows.variables[i]!);
        const start = (step % slots) * stride * parts[i]!.width;
        gpu.device.queue.writeBuffer(buffer, offset + start, slot as Uint8Array<ArrayBuffer>);
      });
    }
  }
}

const slotRows = (size: number) => Math.ceil(size / 4) * 4;

type Split = Resident | Stream;

/** All examples in up to `room` bytes, or slots of a ring. */
function place(name: string, set: Examples, order: Order, batch: number, room: number, largest: number): Split {
  const most = Math.max(...Object.values(set.tensors).map(({ data }) => data.byteLength));
  if (set.count * rowBytes(set) <= room && most <= largest) return new Resident(name, set, order);
  const slotBytes = slotRows(batch) * rowBytes(set);
  const slots = Math.min(AHEAD * MAX_STEPS, Math.floor(Math.min(room, largest) / slotBytes));
  if (slots < AHEAD) {
    const [needed, there] = [AHEAD * slotBytes, room].map((size) => `${Math.ceil(size / MB)} MB`);
    throw new OptionError(
      `${name}: ${AHEAD} batches of ${batch} examples are streamed at a time, which takes ${needed}, and of the budget ` +
        `${there} are left: give it more, or a smaller batch`,
    );
  }
  return new Stream(name, set, order, batch, slots);
}

/** Examples as variables, which each device that reads them gets. */
export class GpuDataset {
  readonly train: Split;
  readonly test: Split | undefined;
  private readonly dataset: TensorDataset;
  private readonly batch: number;
  private readonly key: Variable;
  private shown: Rows | undefined;

  /**
   * @param gpu whose limits they are to fit
   * @throws DataError if the data set is not what it says; OptionError if not even a stream fits the budget
   */
  constructor(gpu: Gpu, dataset: TensorDataset, { batch, key, budget }: GpuDatasetOptions) {
    checkTensors(dataset);
    this.dataset = dataset;
    this.batch = batch;
    this.key = key;
    const { name, train, test } = dataset;
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.device.limits;
    const largest = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    const room = budget ?? largest;
    // The test gets what the training leaves, and half if that is more.
    const forTest = Math.max(room / 2, room - train.count * rowBytes(train));
    this.test = test && place(`${name}, test`, test, inOrder(test.count, batch), batch, forTest, largest);
    const taken = bytesIn(this.test?.rows.variables ?? []);
    this.train = place(`${name}, training`, train, shuffled(train.count, batch, key), batch, room - taken, largest);
  }

  get variables(): Variable[] {
    return [this.train.rows, this.test?.rows, this.shown].flatMap((rows) => rows?.variables ?? []);
  }

  /** Bytes on the GPU, if not everything is there. */
  get streamedThrough(): number | undefined {
    if (!(this.train instanceof Stream || this.test instanceof Stream)) return undefined;
    return bytesIn(this.variables);
  }

  /** Most steps of a submit, before which these have to be loaded. */
  get steps(): number {
    return Math.min(MAX_STEPS, this.train.steps, this.test?.steps ?? MAX_STEPS);
  }

  /** Puts on the GPU what steps of a split need from `first` on, in time for the next submit. */
  load(gpu: Gpu, split: 'train' | 'test', first: number, count: number): void {
    this[split]?.load(gpu, first, count);
  }

  private view(stored: Batch, counter: Tensor): Batch {
    return this.dataset.view?.(stored, { key: this.key.tensor, counter, stream: STREAM }) ?? stored;
  }

  /**
   * The training batch of a step (u32 scalar): every epoch shuffles anew, every example comes once an epoch, and a batch
   * may reach from one epoch into the next.
   */
  trainBatch(step: Tensor): Batch {
    return this.view(this.train.batch(step), step);
  }

  /** The test examples from `batch · index` on, and 1 for those that exist and 0 for those past the end. */
  testBatch(index: Tensor): { batch: Batch; mask: Tensor } {
    const position = positions(index, this.batch);
    const count = broadcastTo(constant(this.dataset.test!.count, 'u32'), position.shape);
    return { batch: this.view(this.test!.batch(index), index), mask: less(position, count) };
  }

  /** The first test examples. */
  examples(count: number): Batch {
    const { name, test } = this.dataset;
    if (this.test instanceof Stream) {
      const tensors = Object.entries(test!.tensors).map(([key, tensor]) => {
        const length = (count - 1) * strideOf(tensor) + sizeOf(tensor.shape);
        return [key, { ...tensor, data: tensor.data.subarray(0, length) }];
      });
      this.shown ??= new Rows(`${name}, examples`, { count, tensors: Object.fromEntries(tensors) });
    }
    return this.view((this.shown ?? this.test!.rows).at(iota([count], 0, 'u32')), constant(0, 'u32'));
  }
}

const bytesIn = (variables: readonly Variable[]) =>
  variables.reduce((sum, { size, dtype }) => sum + size * bytesOf(dtype), 0);

/** The numbers of a step's examples, counted on from epoch to epoch. */
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
  const whole = constant(count, 'u32');
  // As u32 does it.
  const positionOf = (step: number, i: number) => (step * batch + i) >>> 0;
  return {
    tensor(step) {
      const position = positions(step, batch);
      return permutation(modulo(position, whole), divideFloor(position, whole), key.tensor, count);
    },
    row(step, i) {
      const position = positionOf(step, i);
      return permute(position % count, count, [(low ^ Math.floor(position / count)) >>> 0, high]);
    },
    // In as many epochs as there are shifts, each comes once.
    shift: {
      tensor(step, shifts) {
        const epoch = divideFloor(positions(step, batch), whole);
        const every = constant(shifts, 'u32');
        return permutation(modulo(epoch, every), divideFloor(epoch, every), key.tensor, shifts);
      },
      row(step, i, shifts) {
        const epoch = Math.floor(positionOf(step, i) / count);
        return permute(epoch % shifts, shifts, [(low ^ Math.floor(epoch / shifts)) >>> 0, high]);
      },
    },
  };
}

// What a trainer is made from, and what of it can be told to be wrong before anything is made.
import type { Batch, TensorDataset } from '../data/tensors.ts';
import { type DeviceLostError, OptionError, OutOfMemoryError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { ImageShape } from '../models/networks.ts';
import type { Module, Parameters } from '../nn/module.ts';
import type { Optimizer } from '../nn/optimizers.ts';
import type { RandomKey } from '../ops/random.ts';
import { show } from '../ops/tensor.ts';
import type { CompileOptions } from '../runtime/compile.ts';
import type { Checkpoint, Metadata, RunOptions } from './checkpoint.ts';
import type { Loss } from './graphs.ts';
import type { Recovery } from './healing.ts';
import type { Picture } from './pictures.ts';
import type { TextSource } from './texts.ts';

/** Images to show: f32 intensities, [count, height, width, channels]. */
export interface ShownPicture {
  readonly name: string;
  /** What it shows. */
  readonly caption: string;
  readonly data: Float32Array;
  readonly columns: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export interface TrainerOptions<Name extends string = string> {
  readonly model: Module;
  readonly data: TensorDataset<Name>;
  /** Of the batch's tensors, through the model; a `Model` has its own, `terms`. */
  readonly loss?: Loss<Name>;
  /** Over the model's `Parameters`; Adam by default. */
  readonly optimizer?: Optimizer;
  /** Examples a step; 128 by default. */
  readonly batch?: number;
  /** Passes over the training data; 10 by default. */
  readonly epochs?: number;
  /** Stop after so many steps, if that comes before the last epoch's end. */
  readonly steps?: number | undefined;
  /** Of noise, shuffle and, where the optimizer is not given, weights; 0 by default. */
  readonly seed?: number;
  /** Bytes of GPU memory that the examples may take, beyond which they are streamed; what one buffer may have by default. */
  readonly budget?: number | undefined;
  /** JSON that says what the run was made with: it stands in checkpoints, and a resumed run must have the same. */
  readonly options?: RunOptions;
  /** Names of options in which a resumed run may differ. */
  readonly free?: readonly string[];
  /** What files of the model say beside: a vocabulary, say. */
  readonly metadata?: Metadata;
  /** Images that show what the model has learned, from so many test examples. */
  readonly pictures?: {
    readonly shape: ImageShape;
    readonly examples: number;
    build(examples: Batch<Name>, key: RandomKey): Record<string, Picture>;
  };
  /** Text that shows what the model has learned; made when it is first asked for. */
  readonly texts?: ((gpu: Gpu) => Promise<TextSource>) | undefined;
  /** To go on from, to the bit. */
  readonly checkpoint?: Checkpoint | undefined;
  /** How the step is compiled; tuned, say. */
  readonly compile?: CompileOptions | undefined;
  /** Whether the model's variables are freed with the trainer. They stay by default: the model is the caller's. */
  readonly ownsModel?: boolean;
  /**
   * Brings the next device when this one is lost, as for an app that lends its own; without it, and for such, the run ends
   * there. By default a device that `Gpu.request` gave is asked for again. The next is the caller's, as the first is:
   * `trainer.gpu`.
   */
  readonly onDeviceLost?: ((reason: DeviceLostError) => Promise<Gpu | undefined>) | undefined;
  /** Told when the run goes on after its device was lost. */
  readonly onRecovery?: ((recovery: Recovery) => void) | undefined;
  /**
   * Least seconds between two copies of the state in host memory, from which a run goes on when its device is lost: 2 by
   * default, and more where that would take a hundredth of the time. With Infinity there is one alone, of the beginning.
   */
  readonly snapshotEvery?: number;
  /** Epochs from one test to the next: 1 by default. Where an epoch takes a fraction of a second, a test would take a quarter of it. */
  readonly testEvery?: number;
}

export function checkRun(
  { name, train, test }: TensorDataset,
  batch: number,
  epochs: number,
  steps = 1,
  testEvery = 1,
): void {
  for (const [key, value] of Object.entries({ batch, epochs, steps, testEvery })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new OptionError(`Trainer: ${key} must be a positive integer, got ${value}`);
    }
  }
  if (batch <= train.count) return;
  const kind = test && 'images' in train.tensors ? 'images' : 'examples';
  throw new OptionError(`a batch of ${batch} is larger than the data: ${name} has ${train.count} training ${kind}`);
}

/** @throws OutOfMemoryError if the packed parameters are more than this device can bind, before anything is made */
export function checkParameters(gpu: Gpu, { named, flat, count }: Parameters): void {
  const { maxStorageBufferBindingSize, maxBufferSize } = gpu.device.limits;
  const limit = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const bytes = flat.size * 4;
  if (bytes <= limit) return;
  const [name, largest] = [...named].reduce((a, b) => (b[1].size > a[1].size ? b : a));
  throw new OutOfMemoryError(
    `the model's ${count} weights take ${bytes} bytes (${name} ${show(largest.shape)} ${largest.size * 4} of them), ` +
      `and this device binds at most ${limit}: make the model smaller`,
  );
}

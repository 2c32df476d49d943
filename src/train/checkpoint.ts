// What a run needs to go on with the same bits: weights, the optimizer's moments, the step, and the options.
import { CheckpointError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { ModuleBuffer, Parameters } from '../nn/module.ts';
import type { Optimizer } from '../nn/optimizers.ts';
import { readVariable, writeVariable } from '../runtime/variables.ts';
import { completeOptions, OPTIONS, type TrainOptions } from './options.ts';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';

const FORMAT = 'glia checkpoint 1';

/** Sums of the terms over the steps of an epoch so far. */
export interface EpochSums {
  readonly steps: number;
  readonly sums: readonly number[];
}

export interface Progress {
  readonly options: TrainOptions;
  /** What it was trained on, to tell a mix-up. */
  readonly data: { readonly name: string; readonly images: number; readonly pixels: number };
  readonly epochSums: EpochSums;
}

export type Checkpoint = ReturnType<typeof decodeCheckpoint>;

/** Tensors of a file of that name. */
type Saved = Pick<Checkpoint, 'name' | 'tensors'>;

/** A trained model as a file holds it. */
export interface Trained extends Saved {
  readonly options: TrainOptions;
  /** Where the file says it: what it was trained on, and how many steps. */
  readonly data?: Progress['data'];
  readonly step?: number;
}

type Buffers = ReadonlyMap<string, ModuleBuffer>;

const persistent = (buffers: Buffers) => [...buffers].filter(([, buffer]) => buffer.persistent);

function readBuffers(gpu: Gpu, buffers: Buffers) {
  return Promise.all(
    persistent(buffers).map(async ([name, buffer]) => {
      const data = (await readVariable(gpu, buffer)) as Float32Array;
      return [name, { dtype: 'F32', shape: buffer.shape, data }] as const;
    }),
  );
}

/** Weights and buffers under PyTorch's names and layouts. */
export async function encodeWeights(
  gpu: Gpu,
  parameters: Parameters,
  options: TrainOptions,
  buffers: Buffers,
): Promise<Uint8Array> {
  const flat = (await readVariable(gpu, parameters.flat)) as Float32Array;
  const weights = [...parameters.split(flat)].map(([name, value]) => [name, { dtype: 'F32', ...value }] as const);
  const tensors = [...weights, ...(await readBuffers(gpu, buffers))];
  return encodeSafetensors(Object.fromEntries(tensors), { format: 'pt', options: JSON.stringify(options) });
}

export async function encodeCheckpoint(
  gpu: Gpu,
  optimizer: Optimizer,
  progress: Progress,
  buffers: Buffers,
): Promise<Uint8Array> {
  const { parameters, state, step } = optimizer;
  const blocks = Object.entries({ '': parameters.flat, ...state });
  const read = await Promise.all([...blocks.map(([, block]) => readVariable(gpu, block)), readVariable(gpu, step)]);
  const steps = read.pop() as Uint32Array;
  const tensors = blocks.flatMap(([block], i) => {
    const prefix = block ? `optimizer.${block}.` : '';
    return [...parameters.split(read[i] as Float32Array)].map(([name, value]) => [
      `${prefix}${name}`,
      { dtype: 'F32', ...value } as const,
    ]);
  });
  const own = Object.fromEntries([...tensors, ...(await readBuffers(gpu, buffers))]);
  const all = { ...own, 'optimizer.step': { dtype: 'U32', shape: [], data: steps } as const };
  return encodeSafetensors(all, { format: FORMAT, progress: JSON.stringify(progress) });
}

/**
 * Reads a checkpoint and what it says of itself.
 *
 * @throws CheckpointError if the file is damaged or no checkpoint of Glia's
 */
export function decodeCheckpoint(bytes: Uint8Array, name: string) {
  const { tensors, metadata } = decodeSafetensors(bytes, name);
  if (metadata.format !== FORMAT) {
    throw new CheckpointError(`${name} is no checkpoint of Glia's (its format is ${metadata.format ?? 'not stated'})`);
  }
  let progress: Progress;
  try {
    progress = JSON.parse(metadata.progress ?? '') as Progress;
    if (!progress.options || !progress.data || !Array.isArray(progress.epochSums.sums)) throw new Error();
  } catch {
    throw new CheckpointError(`${name} is damaged: it does not say with which options it was made`);
  }
  const step = tensors.get('optimizer.step');
  if (step?.dtype !== 'U32' || step.data.length !== 1) throw new CheckpointError(`${name} is damaged: it has no step`);
  return { name, tensors, progress, step: Number(step.data[0]) };
}

/**
 * Reads what was trained from a checkpoint, or from weights of Glia's that say with which options.
 *
 * @throws CheckpointError if the file is damaged, or is neither
 */
export function decodeTrained(bytes: Uint8Array, name: string): Trained {
  const { tensors, metadata } = decodeSafetensors(bytes, name);
  if (metadata.format === FORMAT) {
    const { progress, step } = decodeCheckpoint(bytes, name);
    return { name, tensors, options: completeOptions(progress.options), data: progress.data, step };
  }
  if (metadata.options === undefined) {
    throw new CheckpointError(
      `${name} holds tensors and does not say with which options they were trained: ` +
        'give a checkpoint.safetensors, or a model.safetensors, as a run of Glia writes them',
    );
  }
  try {
    return { name, tensors, options: completeOptions(JSON.parse(metadata.options)) };
  } catch (cause) {
    throw new CheckpointError(`${name} is damaged: its options cannot be read`, { cause });
  }
}

/** @throws OptionError if a run with these options would not be the one that the checkpoint was made by */
export function checkSame({ name, progress }: Checkpoint, options: TrainOptions, data: Progress['data']): void {
  for (const key of Object.keys(OPTIONS) as (keyof TrainOptions)[]) {
    const before = progress.options[key];
    if (!OPTIONS[key].free && before !== options[key]) {
      const told = (value: typeof before) => (value === undefined ? `without --${key}` : `with --${key} ${value}`);
      throw new OptionError(`${name} was made ${told(before)}, not ${told(options[key])}: resume with the same`);
    }
  }
  const describe = ({ name, images, pixels }: Progress['data']) => `${images} images of ${pixels} numbers (${name})`;
  if (progress.data.images !== data.images || progress.data.pixels !== data.pixels) {
    throw new OptionError(`${name} was made with ${describe(progress.data)}, and these are ${describe(data)}`);
  }
}

/**
 * The values of weights and moments in a checkpoint, laid out as the optimizer's.
 *
 * @throws CheckpointError if a tensor is missing or of another shape
 */
export function restored({ parameters, state }: Optimizer, saved: Saved) {
  return Object.entries({ '': parameters.flat, ...state }).map(([block, variable]) => {
    const prefix = block ? `optimizer.${block}.` : '';
    return { variable, flat: joined(parameters, saved, prefix) };
  });
}

function joined(parameters: Parameters, { name: source, tensors }: Saved, prefix = ''): Float32Array {
  const find = (name: string) => {
    const tensor = tensors.get(`${prefix}${name}`);
    if (tensor && tensor.dtype !== 'F32') {
      throw new CheckpointError(`${source}: ${prefix}${name} is ${tensor.dtype}, not F32`);
    }
    return tensor as { shape: readonly number[]; data: Float32Array } | undefined;
  };
  return parameters.join(find, source, prefix);
}

function restoredBuffers({ name: source, tensors }: Saved, buffers: Buffers) {
  return persistent(buffers).map(([name, variable]) => {
    const tensor = tensors.get(name);
    if (tensor?.dtype !== 'F32' || String(tensor.shape) !== String(variable.shape)) {
      throw new CheckpointError(`${source} has no tensor ${name} of this model's shape`);
    }
    return { variable, flat: tensor.data as Float32Array };
  });
}

/**
 * Sets weights, moments, buffers and step on the GPU.
 *
 * @throws CheckpointError if a tensor is missing or of another shape, before anything is set
 */
export function restore(gpu: Gpu, optimizer: Optimizer, checkpoint: Checkpoint, buffers: Buffers): void {
  const values = [...restoredBuffers(checkpoint, buffers), ...restored(optimizer, checkpoint)];
  for (const { variable, flat } of values) writeVariable(gpu, variable, flat);
  writeVariable(gpu, optimizer.step, Uint32Array.of(checkpoint.step));
}

/**
 * The values of weights and buffers in a checkpoint or a file of weights, for a model that is only used.
 *
 * @throws CheckpointError if a tensor is missing or of another shape
 */
export function restoredModel(parameters: Parameters, buffers: Buffers, saved: Saved) {
  const weights = { variable: parameters.flat, flat: joined(parameters, saved) };
  return [...restoredBuffers(saved, buffers), weights];
}

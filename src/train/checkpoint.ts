// What a run needs to go on with the same bits: weights, the optimizer's moments, the step, and the options.
import { CheckpointError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { ModuleBuffer, Parameters } from '../nn/module.ts';
import type { Optimizer } from '../nn/optimizers.ts';
import type { Variable } from '../ops/source.ts';
import type { HostArray } from '../runtime/readback.ts';
import { writeVariable } from '../runtime/variables.ts';
import { savedOptions, type TrainOptions } from './options.ts';
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from './safetensors.ts';

const FORMAT = 'glia checkpoint 2';
/** Of images alone, with the options of runs by name. */
const FORMER = 'glia checkpoint 1';
/** What a tensor of the moving average of the weights begins with. */
const AVERAGE = 'optimizer.average.';
const USUAL_NORM = 'optimizer.usual_norm';
/** More steps than any run makes: their number is a u32. */
const MOST_STEPS = 2 ** 31;

/** Sums of the terms over the steps of an epoch so far. */
export interface EpochSums {
  readonly steps: number;
  readonly sums: readonly number[];
}

/** What a run was made with: JSON of the caller's own, or the options of a run by name. */
export type RunOptions = Readonly<Record<string, unknown>>;

export interface Progress {
  readonly options: RunOptions;
  /** The optimizer's class. */
  readonly optimizer: string;
  readonly batch: number;
  readonly epochs: number;
  readonly seed: number;
  /** Where it was set while training. */
  readonly lr?: number | undefined;
  /** What it was trained on, to tell a mix-up: training examples, and of what kind each tensor is. */
  readonly data: {
    readonly name: string;
    readonly count: number;
    readonly tensors: Readonly<Record<string, string>>;
  };
  readonly epochSums: EpochSums;
}

export interface Checkpoint {
  /** Of the file. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly progress: Progress;
  readonly step: number;
  /** What else the file says: of a model of text, its vocabulary. */
  readonly metadata: Metadata;
}

export type Metadata = Readonly<Record<string, string>>;

/** Tensors of a file of that name. */
type Saved = Pick<Checkpoint, 'name' | 'tensors'>;

/** A trained model as a file holds it. */
export interface Trained extends Saved {
  readonly options: TrainOptions;
  /** Where the file says it: what it was trained on, and how many steps. */
  readonly data?: Progress['data'];
  readonly step?: number;
  readonly metadata?: Metadata;
}

type Buffers = ReadonlyMap<string, ModuleBuffer>;

/** Where the values of variables come from: a device, or a snapshot. */
export type Read = (variable: Variable) => HostArray | Promise<HostArray>;

const persistent = (buffers: Buffers) => [...buffers].filter(([, buffer]) => buffer.persistent);

function readBuffers(read: Read, buffers: Buffers) {
  return Promise.all(
    persistent(buffers).map(async ([name, buffer]) => {
      const data = (await read(buffer)) as Float32Array;
      return [name, { dtype: 'F32', shape: buffer.shape, data }] as const;
    }),
  );
}

/** Weights and buffers under PyTorch's names and layouts: of the weights, their moving average where there is one. */
export async function encodeWeights(
  read: Read,
  { parameters, average }: Optimizer,
  options: RunOptions,
  buffers: Buffers,
  metadata: Metadata = {},
): Promise<Uint8Array> {
  const flat = (await read(average ?? parameters.flat)) as Float32Array;
  const weights = [...parameters.split(flat)].map(([name, value]) => [name, { dtype: 'F32', ...value }] as const);
  const tensors = [...weights, ...(await readBuffers(read, buffers))];
  return encodeSafetensors(Object.fromEntries(tensors), {
    ...metadata,
    format: 'pt',
    options: JSON.stringify(options),
  });
}

export async function encodeCheckpoint(
  read: Read,
  optimizer: Optimizer,
  progress: Progress,
  buffers: Buffers,
  metadata: Metadata = {},
): Promise<Uint8Array> {
  const { parameters, step, usualNorm } = optimizer;
  const blocks = Object.entries({ '': parameters.flat, ...optimizer.blocks });
  const values = await Promise.all([...blocks.map(([, block]) => read(block)), read(step)]);
  const steps = values.pop() as Uint32Array;
  const tensors = blocks.flatMap(([block], i) => {
    const prefix = block ? `optimizer.${block}.` : '';
    return [...parameters.split(values[i] as Float32Array)].map(([name, value]) => [
      `${prefix}${name}`,
      { dtype: 'F32', ...value } as const,
    ]);
  });
  const own = Object.fromEntries([...tensors, ...(await readBuffers(read, buffers))]);
  const norm = usualNorm && ((await read(usualNorm)) as Float32Array);
  const all = {
    ...own,
    ...(norm && { [USUAL_NORM]: { dtype: 'F32', shape: [], data: norm } as const }),
    'optimizer.step': { dtype: 'U32', shape: [], data: steps } as const,
  };
  return encodeSafetensors(all, { ...metadata, format: FORMAT, progress: JSON.stringify(progress) });
}

/** @throws CheckpointError if a number is NaN or infinite: training would go on from it in vain */
function checkFinite({ name, tensors }: Saved): void {
  for (const [key, { dtype, data }] of tensors) {
    if (dtype !== 'F32') continue;
    const at = data.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw new CheckpointError(`${name}: tensor ${key} is ${data[at]} at element ${at}: it cannot be used`);
  }
}

/** What earlier versions wrote, as it is written now. */
function modernised({ options, data, epochSums }: Record<string, unknown>): Progress {
  const { batch, epochs, seed } = options as TrainOptions;
  const { name, images, pixels } = data as { name: string; images: number; pixels: number };
  const kind = { name, count: images, tensors: { images: `u8 [${pixels}]` } };
  const run = { batch, epochs, seed, optimizer: 'Adam' };
  return { ...run, options: options as RunOptions, data: kind, epochSums: epochSums as EpochSums };
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1;

/**
 * Reads a checkpoint and what it says of itself.
 *
 * @throws CheckpointError if the file is damaged, no checkpoint of Glia's, or holds numbers that are not finite
 */
export function decodeCheckpoint(bytes: Uint8Array, name: string): Checkpoint {
  const { tensors, metadata } = decodeSafetensors(bytes, name);
  const { format } = metadata;
  if (format !== FORMAT && format !== FORMER) {
    throw new CheckpointError(`${name} is no checkpoint of Glia's (its format is ${format ?? 'not stated'})`);
  }
  let progress: Progress;
  try {
    const told = JSON.parse(metadata.progress ?? '');
    progress = format === FORMER ? modernised(told) : told;
    const { options, data, batch, epochs, epochSums } = progress;
    if (!options || ![data.count, batch, epochs].every(isCount) || !data.tensors) throw new Error();
    if (!Array.isArray(epochSums.sums) || !Number.isSafeInteger(epochSums.steps)) throw new Error();
  } catch {
    throw new CheckpointError(`${name} is damaged: it does not say with which options it was made`);
  }
  const tensor = tensors.get('optimizer.step');
  if (tensor?.dtype !== 'U32' || tensor.data.length !== 1) {
    throw new CheckpointError(`${name} is damaged: it has no step`);
  }
  const step = Number(tensor.data[0]);
  const most = Math.min(MOST_STEPS, Math.ceil((progress.epochs * progress.data.count) / progress.batch));
  if (step > most) {
    throw new CheckpointError(`${name} is damaged: it says it was made after step ${step} of a run of ${most}`);
  }
  checkFinite({ name, tensors });
  return { name, tensors, progress, step, metadata };
}

/**
 * Reads what was trained from a checkpoint, or from weights of Glia's that say with which options.
 *
 * @throws CheckpointError if the file is damaged, is neither, or holds no model that is made by name
 */
export function decodeTrained(bytes: Uint8Array, name: string): Trained {
  const { tensors, metadata } = decodeSafetensors(bytes, name);
  if (metadata.format === FORMAT || metadata.format === FORMER) {
    const { progress, step } = decodeCheckpoint(bytes, name);
    return { name, tensors, options: namedOptions(progress.options, name), data: progress.data, step, metadata };
  }
  if (metadata.options === undefined) {
    throw new CheckpointError(
      `${name} holds tensors and does not say with which options they were trained: ` +
        'give a checkpoint.safetensors, or a model.safetensors, as a run of Glia writes them',
    );
  }
  checkFinite({ name, tensors });
  let options: unknown;
  try {
    options = JSON.parse(metadata.options);
  } catch (cause) {
    throw new CheckpointError(`${name} is damaged: its options cannot be read`, { cause });
  }
  return { name, tensors, options: namedOptions(options as RunOptions, name), metadata };
}

/** The weights alone, as `encodeWeights` writes them: without optimizer, and of weights and their average the latter. */
export function weightsOf({ tensors, options, metadata }: Trained): Uint8Array {
  const averaged = [...tensors.keys()].some((name) => name.startsWith(AVERAGE));
  const kept = [...tensors].filter(([name]) => !name.startsWith('optimizer.'));
  const weights = kept.map(
    ([name, tensor]) => [name, (averaged && tensors.get(`${AVERAGE}${name}`)) || tensor] as const,
  );
  const { vocabulary } = metadata ?? {};
  const told = { format: 'pt', options: JSON.stringify(options), ...(vocabulary !== undefined && { vocabulary }) };
  return encodeSafetensors(Object.fromEntries(weights), told);
}

/** @throws CheckpointError if these are not the options of a run by name */
export function namedOptions(options: RunOptions, name: string): TrainOptions {
  try {
    return savedOptions(options);
  } catch (cause) {
    throw new CheckpointError(`${name} holds no model that Glia has by name: ${(cause as Error).message}`, { cause });
  }
}

/** How a value of an option reads in a message. */
function told(name: string, value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return value === undefined ? `without ${name}` : `with ${name} ${text}`;
}

/**
 * @param free names of options that may differ
 * @param flag what stands before an option's name where it was typed
 * @param why the reasons, by name, why some may not differ
 * @throws OptionError if a run with these options would not be the one that the checkpoint was made by
 */
export function checkOptions(
  name: string,
  before: RunOptions,
  now: RunOptions,
  free: readonly string[],
  flag = '',
  why: Readonly<Record<string, string>> = {},
): void {
  for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
    if (free.includes(key) || JSON.stringify(before[key]) === JSON.stringify(now[key])) continue;
    const [old, other] = [before, now].map((options) => told(`${flag}${key}`, options[key]));
    throw new OptionError(
      `${name} was made ${old}, not ${other}${why[key] ? `, and ${why[key]}` : ''}: resume with the same`,
    );
  }
}

/** @throws OptionError if the run goes on with other data, or with another batch, seed or optimizer */
export function checkSame({ name, progress }: Pick<Checkpoint, 'name' | 'progress'>, now: Progress): void {
  const [before, after] = [progress, now].map(({ batch, seed, optimizer }) => ({ batch, seed, optimizer }));
  checkOptions(name, before!, after!, []);
  const shapes = (data: Progress['data']) =>
    Object.entries(data.tensors).filter(([key]) => key in progress.data.tensors && key in now.data.tensors);
  const describe = (data: Progress['data']) =>
    `${data.count} of ${shapes(data)
      .map((pair) => pair.join(' '))
      .join(', ')} (${data.name})`;
  if (progress.data.count !== now.data.count || String(shapes(progress.data)) !== String(shapes(now.data))) {
    throw new OptionError(`${name} was made with ${describe(progress.data)}, and these are ${describe(now.data)}`);
  }
}

/**
 * The values of weights and moments in a checkpoint, laid out as the optimizer's.
 *
 * @throws CheckpointError if a tensor is missing or of another shape
 */
export function restored({ parameters, blocks }: Optimizer, saved: Saved) {
  return Object.entries({ '': parameters.flat, ...blocks }).map(([block, variable]) => {
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
  const norm = checkpoint.tensors.get(USUAL_NORM);
  if (optimizer.usualNorm && norm?.dtype === 'F32' && norm.data.length === 1) {
    writeVariable(gpu, optimizer.usualNorm, Float32Array.from(norm.data));
  }
}

/**
 * Lets a model begin with what is in a checkpoint or a file of weights, in place of what it would draw: to be called before anything is
 * computed with it.
 *
 * @throws CheckpointError if a tensor is missing or of another shape
 */
export function beginWith(parameters: Parameters, buffers: Buffers, saved: Saved): void {
  const values = restoredModel(parameters, buffers, saved);
  const { flat } = values.pop()!;
  const split = parameters.split(flat);
  for (const [name, parameter] of parameters.named) parameter.given = split.get(name)!.data;
  for (const { variable, flat } of values) (variable as ModuleBuffer).given = flat;
}

/**
 * The values of weights and buffers in a checkpoint or a file of weights, for a model that is only used: of the weights, their
 * moving average where the run kept one.
 *
 * @throws CheckpointError if a tensor is missing or of another shape
 */
export function restoredModel(parameters: Parameters, buffers: Buffers, saved: Saved) {
  const averaged = [...saved.tensors.keys()].some((name) => name.startsWith(AVERAGE));
  const weights = { variable: parameters.flat, flat: joined(parameters, saved, averaged ? AVERAGE : '') };
  return [...restoredBuffers(saved, buffers), weights];
}

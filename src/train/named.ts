// Runs of models by name: what the commands and the page train.
import type { Dataset } from '../data/images.ts';
import { imageTensors } from '../data/tensors.ts';
import { isText, type TextDataset, textTensors } from '../data/text.ts';
import { DataError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { ImageBatch } from '../models/model.ts';
import { Parameters } from '../nn/module.ts';
import { Adam } from '../nn/optimizers.ts';
import { inverseTimeSchedule } from '../nn/schedules.ts';
import { checkpointed, type ProgramDescription } from '../runtime/compile.ts';
import { beginWith, checkOptions, namedOptions, type Trained } from './checkpoint.ts';
import { MB } from './dataset.ts';
import { FREE, type TrainOptions } from './options.ts';
import { exampleCount } from './pictures.ts';
import type { ModelEntry } from './registry/entry.ts';
import { createModel, createTextModel, modelEntry } from './registry/registry.ts';
import { type OptimizerOptions, textOptimizer } from './registry/text_entry.ts';
import { Trainer } from './trainer.ts';
import type { TrainerOptions } from './trainer_options.ts';

/** The trainer's own options: the checkpoint to go on from, how the step is compiled, what to do about a lost device. */
export interface NamedRun
  extends Pick<
    TrainerOptions,
    'checkpoint' | 'compile' | 'onDeviceLost' | 'onRecovery' | 'snapshotEvery' | 'testEvery'
  > {
  /** Weights that a new run begins with, of a model of the same shapes; a checkpoint comes before them. */
  readonly init?: Trained | undefined;
}

/**
 * The trainer of a model by name.
 *
 * @param options as `completeOptions` gives them
 * @throws OptionError, DataError or CheckpointError if these do not fit each other
 */
export async function trainByName(
  gpu: Gpu,
  dataset: Dataset | TextDataset,
  options: TrainOptions,
  { init, ...run }: NamedRun = {},
): Promise<Trainer> {
  const { checkpoint } = run;
  if (checkpoint) {
    const before = namedOptions(checkpoint.progress.options, checkpoint.name);
    checkOptions(checkpoint.name, before, options, freeOptions(dataset), '--', LENGTHS);
  }
  const named = runOf(dataset, options);
  if (init && !checkpoint) {
    const { parameters } = named.optimizer!;
    beginWith(parameters, named.model.namedBuffers(), init);
  }
  return Trainer.create(gpu, {
    ...named,
    // The options were compared above, with what files of earlier versions leave out filled in.
    free: Object.keys({ ...options, ...checkpoint?.progress.options }),
    ...run,
    compile: { ...named.compile, ...run.compile },
    ownsModel: true,
  });
}

/** What a step of such a run computes: nothing is made, so all that is asked of `gpu` is what it allows. */
export async function describeStep(
  gpu: Gpu,
  dataset: Dataset | TextDataset,
  options: TrainOptions,
): Promise<ProgramDescription> {
  const run = runOf(dataset, options);
  return checkpointed(Trainer.describe(gpu, run), run.compile?.recompute);
}

/** The run of these options, but for the device. */
export const runOf = (dataset: Dataset | TextDataset, options: TrainOptions): TrainerOptions =>
  isText(dataset) ? textRun(dataset, options) : imageRun(dataset, options);

function imageRun(dataset: Dataset, options: TrainOptions): TrainerOptions {
  const data = imageTensors(dataset, options);
  const model = createModel(dataset, options);
  const { lr, decay, batch, epochs, steps, seed, budget, average, skip, accumulate } = options;
  const schedule = decay ? inverseTimeSchedule({ lr, steps: decay }) : lr;
  const { pictures } = modelEntry(options.model) as ModelEntry;
  return {
    ...{ model, data, batch, epochs, steps, seed, options },
    optimizer: new Adam(new Parameters(model, seed), { lr: schedule, average, skip, accumulate }),
    budget: budget && budget * MB,
    ...(pictures && {
      pictures: {
        shape: dataset.test,
        examples: exampleCount(dataset.test.count),
        build: (examples, key) => pictures(model, examples as unknown as ImageBatch, key),
      },
    }),
  };
}

/** The learning rate of a model of text goes by the steps of the whole run. */
const BY_LENGTH = 'its learning rate falls over the steps of the whole run';
const LENGTHS = { steps: BY_LENGTH, epochs: BY_LENGTH };

const freeOptions = (dataset: Dataset | TextDataset) =>
  isText(dataset) ? FREE.filter((name) => name !== 'steps' && name !== 'epochs') : FREE;

function textRun(dataset: TextDataset, options: TrainOptions): TrainerOptions {
  const { batch, epochs, steps, seed, budget, context } = options;
  const { entry, model } = createTextModel(dataset, options);
  const about = { seed, context: Number(context) };
  const data = (entry.examples ?? textTensors)(dataset, about.context);
  if (entry.examples && data.train.count < batch) {
    throw new DataError(
      `${dataset.name} has ${data.train.count} sentences to learn from, fewer than a batch of ${batch}: give it more lines, or a ` +
        'smaller --batch',
    );
  }
  const total = Math.min(steps ?? Infinity, Math.ceil((epochs * data.train.count) / batch));
  return {
    ...{ model, data, batch, epochs, steps, seed, options },
    loss: ({ tokens }, context) => entry.loss(model, tokens!, context),
    optimizer: textOptimizer(new Parameters(model, seed), options as unknown as OptimizerOptions, total),
    budget: budget && budget * MB,
    metadata: { vocabulary: JSON.stringify(dataset.vocabulary) },
    ...(entry.texts && { texts: (device: Gpu) => entry.texts!(device, model, dataset, about) }),
    compile: { recompute: entry.recomputed?.(options as never) },
  };
}

/// <reference lib="esnext.disposable" preserve="true" />
// The trainer: epochs and batches over a Program, for any module: the commands, the page and an app use this one. Where its
// device is lost, it goes on with another, from a copy of its state in host memory, as if nothing had happened.
import { describeTensors, type TensorDataset } from '../data/tensors.ts';
import { NotFiniteError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { type Module, type ModuleBuffer, Parameters } from '../nn/module.ts';
import { Adam, type Optimizer } from '../nn/optimizers.ts';
import { Variable } from '../ops/source.ts';
import type { ProgramDescription } from '../runtime/compile.ts';
import type { Profile, ProfileOptions } from '../runtime/profile.ts';
import type { Program } from '../runtime/program.ts';
import { freeVariables } from '../runtime/variables.ts';
import {
  type Checkpoint,
  checkOptions,
  checkSame,
  encodeCheckpoint,
  encodeWeights,
  type Progress,
  restore,
} from './checkpoint.ts';
import { GpuDataset } from './dataset.ts';
import type { Means, TrainEvent } from './events.ts';
import { RunGraphs } from './graphs.ts';
import { HealingRun, type State } from './healing_run.ts';
import type { ShownText } from './texts.ts';
import { checkParameters, checkRun, type ShownPicture, type TrainerOptions } from './trainer_options.ts';

/** Trains any module, on any data set of named tensors. */
export class Trainer {
  readonly data: TensorDataset;
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly parameters: Parameters;
  readonly batch: number;
  readonly epochs: number;
  private readonly options: TrainerOptions;
  private readonly seed: number;
  private readonly examples: GpuDataset;
  private readonly graphs: RunGraphs;
  private readonly run: HealingRun;

  private constructor(gpu: Gpu, options: TrainerOptions) {
    const { model, data, batch = 128, epochs = 10, seed = 0, budget, loss } = options;
    this.optimizer = options.optimizer ?? new Adam(new Parameters(model, seed));
    const own = new Set(model.namedParameters().values());
    this.parameters = this.optimizer.parameters;
    if (own.size !== this.parameters.named.size || [...this.parameters.named.values()].some((p) => !own.has(p))) {
      throw new OptionError("Trainer: the optimizer's parameters are not those of the model");
    }
    checkRun(data, batch, epochs, options.steps, options.testEvery);
    checkParameters(gpu, this.parameters);
    this.options = options;
    this.data = data;
    this.model = model;
    this.batch = batch;
    this.epochs = epochs;
    this.seed = seed;
    const key = new Variable('key', [2], { dtype: 'u32', init: () => Uint32Array.of(seed, 0x676c6961) });
    this.examples = new GpuDataset(gpu, data, { batch, key, budget });
    const { optimizer, examples } = this;
    this.graphs = new RunGraphs({ model, loss, optimizer, data, examples, batch, key });
    const { test } = data;
    if (test && !this.graphs.perExample && test.count < batch) {
      throw new OptionError(
        `Trainer: a scalar loss is tested on whole batches, and ${data.name} has ${test.count} test examples for a ` +
          `batch of ${batch}: give a loss for each example, f32 [${batch}], or a smaller batch`,
      );
    }
    this.run = new HealingRun(gpu, this.graphs, options);
  }

  /**
   * Compiles the step, and takes up where a checkpoint left off if one is given.
   *
   * @throws OptionError, DataError or CheckpointError if what is given does not fit together, OutOfMemoryError if the
   * model is larger than the device can bind
   */
  static async create<Name extends string>(gpu: Gpu, options: TrainerOptions<Name>): Promise<Trainer> {
    const trainer = new Trainer(gpu, options as unknown as TrainerOptions);
    try {
      const { checkpoint } = options;
      await trainer.run.begin(
        checkpoint ? trainer.stateOf(checkpoint) : {},
        (gpu) => checkpoint && trainer.restore(gpu, checkpoint),
      );
    } catch (error) {
      trainer.destroy();
      throw error;
    }
    return trainer;
  }

  /** What a step computes: nothing is made, so all that is asked of `gpu` is what it allows. */
  static describe<Name extends string>(gpu: Gpu, options: TrainerOptions<Name>): ProgramDescription {
    return { updates: new Trainer(gpu, options as unknown as TrainerOptions).graphs.updates };
  }

  /** The device: another one, once that of the beginning was lost. */
  get gpu(): Gpu {
    return this.run.gpu;
  }

  /** Steps made, and told. */
  get step(): number {
    return this.run.step;
  }

  /** Names of the terms; the first is `loss`. */
  get terms(): readonly string[] {
    return this.graphs.terms;
  }

  /** What the model keeps beside its parameters: running statistics. */
  get buffers(): ReadonlyMap<string, ModuleBuffer> {
    return this.graphs.buffers;
  }

  /** Bytes of GPU memory through which examples are streamed, where these do not fit the budget. */
  get streamedThrough(): number | undefined {
    return this.examples.streamedThrough;
  }

  /** Steps after which epoch `epoch` (from 1) is complete. */
  stepsUntil(epoch: number): number {
    return Math.ceil((epoch * this.data.train.count) / this.batch);
  }

  /** Steps of the whole run. */
  get totalSteps(): number {
    return Math.min(this.options.steps ?? Infinity, this.stepsUntil(this.epochs));
  }

  /** The epoch in progress, from 1. */
  get epoch(): number {
    let epoch = Math.floor((this.step * this.batch) / this.data.train.count) + 1;
    while (epoch > 1 && this.stepsUntil(epoch - 1) > this.step) epoch--;
    while (this.stepsUntil(epoch) <= this.step) epoch++;
    return epoch;
  }

  /**
   * Trains to the end of the run, and tells of every step and every epoch. Whoever does not ask for the next event
   * pauses the run; whoever leaves the loop stops it, and may save a checkpoint and begin again.
   *
   * @param signal stops too, once the steps under way have been made and told
   * @throws NotFiniteError if the loss or its gradient is not finite; the weights are those before that step
   * @throws DeviceLostError if the device is lost, and another is not to be had or lost in turn, time after time;
   * `checkpoint` then gives the last state that is known
   */
  async *train(signal?: AbortSignal): AsyncGenerator<TrainEvent> {
    this.run.retry();
    for (;;) {
      const complete = this.epoch - 1;
      const { steps, sums } = this.run.epochSums;
      if (steps > 0 && this.step === this.stepsUntil(complete)) {
        const isTested = complete % (this.options.testEvery ?? 1) === 0 || this.step >= this.totalSteps;
        const test = isTested ? await this.evaluate() : undefined;
        this.run.endEpoch();
        yield { event: 'epoch', epoch: complete, train: this.meansOf(sums, steps), ...(test && { test }) };
      }
      if (this.step >= this.totalSteps || signal?.aborted) return;
      yield* this.trainUntil(Math.min(this.totalSteps, this.stepsUntil(this.epoch)), signal);
    }
  }

  private async *trainUntil(end: number, signal?: AbortSignal): AsyncGenerator<TrainEvent> {
    const { epoch } = this;
    for await (const { rows, failed } of this.run.steps(end, signal)) {
      const { msPerStep } = this.run.pace;
      const first = this.step - rows.length + 1;
      yield* rows.map((row, i): TrainEvent => {
        return { event: 'step', step: first + i, epoch, ...this.meansOf(row, 1), msPerStep };
      });
      if (!failed) continue;
      const error = await this.notFinite();
      if (error) throw error;
      yield* this.trainUntil(end, signal);
      return;
    }
  }

  /**
   * The GPU left everything as it was before the step, so the step can be made again under observation.
   *
   * @returns what to say; undefined where it was the device's fault, and there is another
   */
  private async notFinite(): Promise<NotFiniteError | undefined> {
    const found = await this.run.onDevice((run) => run.notFinite());
    if (!found && (await this.run.distrust())) return undefined;
    const culprit = found ?? 'nothing that shows when it is computed again';
    return new NotFiniteError(
      `step ${this.step + 1}: the loss or its gradient is not finite; first made by ${culprit}. ` +
        'The weights are those before this step; a lower learning rate (--lr) may help',
    );
  }

  private meansOf(sums: ArrayLike<number>, count: number): Means {
    return Object.fromEntries(this.terms.map((name, i) => [name, sums[i]! / count])) as unknown as Means;
  }

  /**
   * Sets the learning rate of the steps to come, as `Optimizer.setLearningRate`; checkpoints keep it.
   *
   * @throws OptionError if it is none
   */
  setLearningRate(lr: number): void {
    this.run.setLearningRate(lr);
  }

  /**
   * Means of the terms over the test examples, the last partial batch included; a scalar loss, over whole batches.
   *
   * @returns undefined if the data set has no test
   */
  async evaluate(): Promise<Means | undefined> {
    const { test } = this.data;
    if (!test) return undefined;
    const { perExample } = this.graphs;
    const batches = perExample ? Math.ceil(test.count / this.batch) : Math.floor(test.count / this.batch);
    const sums = await this.run.onDevice((run) => run.testSums(batches, this.run.pace, this.step > 0));
    return this.meansOf(sums, perExample ? test.count : batches);
  }

  /** Pictures of what the model has learned so far; none for a model that makes no images. */
  async pictures(): Promise<ShownPicture[]> {
    const { pictures: given } = this.options;
    if (!given) return [];
    const { height, width, channels } = given.shape;
    const pictures = this.graphs.pictures(given.examples, given.build);
    const images = await this.run.onDevice((run) => run.pictures(pictures, this.step > 0));
    return Object.entries(pictures).map(([name, { columns, caption }]) => {
      return { name, caption, data: images.get(name)!, columns, height, width, channels };
    });
  }

  /** Text that the model writes by now; none for a model that writes none. */
  async texts(): Promise<readonly ShownText[]> {
    const { texts } = this.options;
    return texts ? this.run.onDevice((run) => run.texts(texts)) : [];
  }

  /** The training step: to look at, to explain, to measure. */
  get program(): Program {
    return this.run.device.program;
  }

  /** Profiles the training step; weights and counters stay as they are. */
  profile(options?: ProfileOptions): Promise<Profile> {
    return this.run.onDevice((run) => run.profile(this.step, options));
  }

  private progressAt({ epochSums, lr }: Pick<State, 'epochSums' | 'lr'>): Progress {
    const { batch, epochs, seed, data, optimizer } = this;
    return {
      options: this.options.options ?? {},
      ...{ optimizer: optimizer.constructor.name, batch, epochs, seed, lr, epochSums },
      data: { name: data.name, count: data.train.count, tensors: describeTensors(data.train) },
    };
  }

  /**
   * All that `create` needs to go on as if nothing had happened. Where the device is lost and no other is to be had, of the
   * last step that a copy in host memory is of.
   */
  checkpoint(): Promise<Uint8Array> {
    const { metadata } = this.options;
    return this.run.encoded((read, state) =>
      encodeCheckpoint(read, this.optimizer, this.progressAt(state), this.buffers, metadata),
    );
  }

  /** The weights alone, under PyTorch's names and layouts; without a device, as `checkpoint`. */
  weights(): Promise<Uint8Array> {
    const { options = {}, metadata } = this.options;
    return this.run.encoded((read) => encodeWeights(read, this.optimizer, options, this.buffers, metadata));
  }

  private stateOf({ name, progress, step }: Checkpoint): Partial<State> {
    const { options = {}, free = [] } = this.options;
    const { lr, epochSums } = progress;
    checkOptions(name, progress.options, options, free);
    checkSame({ name, progress }, this.progressAt({ lr, epochSums }));
    return { step, lr, ...(epochSums.sums.length === this.terms.length && { epochSums }) };
  }

  /** Sets all variables as a checkpoint says. */
  private restore(gpu: Gpu, checkpoint: Checkpoint): void {
    restore(gpu, this.optimizer, checkpoint, this.buffers);
    const { lr } = checkpoint.progress;
    if (lr !== undefined) this.optimizer.setLearningRate(gpu, lr);
  }

  /** Frees what the trainer made on the GPU, the optimizer's state included. The model's weights stay unless it owns them. */
  destroy(): void {
    this.run.destroy();
    const model = this.options.ownsModel ? [this.parameters.flat, ...this.buffers.values()] : [];
    freeVariables(this.gpu, [...this.graphs.variables, ...model]);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

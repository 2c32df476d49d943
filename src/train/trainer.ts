/// <reference lib="esnext.disposable" preserve="true" />
// The trainer: epochs and batches over a Program, for any module: the commands, the page and an app use this one.
import { type Batch, describeTensors, type TensorDataset } from '../data/tensors.ts';
import { NotFiniteError, OptionError, OutOfMemoryError, ShapeError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Update } from '../graph/graph.ts';
import { type ImageBatch, Model } from '../models/model.ts';
import type { ImageShape } from '../models/networks.ts';
import { type Module, type ModuleBuffer, Parameters } from '../nn/module.ts';
import { Adam, type Optimizer, type Step } from '../nn/optimizers.ts';
import { inEvaluation, inTraining } from '../nn/training.ts';
import { add, equal, modulo, mul, where } from '../ops/elementwise.ts';
import type { RandomKey } from '../ops/random.ts';
import { mean, sum } from '../ops/reduce.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import { show, Tensor } from '../ops/tensor.ts';
import { concat, reshape } from '../ops/view.ts';
import { type CompileOptions, compile, type ProgramDescription } from '../runtime/compile.ts';
import type { Profile, ProfileOptions } from '../runtime/profile.ts';
import type { Program } from '../runtime/program.ts';
import { Readback } from '../runtime/readback.ts';
import { freeVariables, rangeOf, readVariable, writeVariable } from '../runtime/variables.ts';
import {
  type Checkpoint,
  checkOptions,
  checkSame,
  encodeCheckpoint,
  encodeWeights,
  type Metadata,
  type Progress,
  type RunOptions,
  restore,
} from './checkpoint.ts';
import { AHEAD, GpuDataset, MAX_STEPS } from './dataset.ts';
import { firstNotFinite } from './diagnose.ts';
import type { Means, TrainEvent } from './events.ts';
import type { LossContext } from './loss.ts';
import type { Picture } from './pictures.ts';
import type { ShownText, TextSource } from './texts.ts';

/** A submit should take about this long, so that a page stays alive: milliseconds. */
const SUBMIT_MS = 100;

/** Streams of random numbers, one for each use. */
const STREAMS = { train: 1, test: 2, samples: 3 } as const;

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

interface Chunk {
  readonly first: number;
  readonly count: number;
  readonly values: Promise<Float32Array>;
}

/**
 * What is minimised: a scalar, or terms of the examples, f32 [batch] each. The first of several is the loss, and told as
 * `loss`; the others are shown beside it.
 */
export type Loss<Name extends string = string> = (
  batch: Batch<Name>,
  context: LossContext,
) => Tensor | Readonly<Record<string, Tensor>>;

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
}

function checkRun({ name, train, test }: TensorDataset, batch: number, epochs: number, steps = 1): void {
  for (const [key, value] of Object.entries({ batch, epochs, steps })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new OptionError(`Trainer: ${key} must be a positive integer, got ${value}`);
    }
  }
  if (batch <= train.count) return;
  const kind = test && 'images' in train.tensors ? 'images' : 'examples';
  throw new OptionError(`a batch of ${batch} is larger than the data: ${name} has ${train.count} training ${kind}`);
}

/** @throws OutOfMemoryError if the packed parameters are more than this device can bind, before anything is made */
function checkParameters(gpu: Gpu, { named, flat, count }: Parameters): void {
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

/** Trains any module, on any data set of named tensors. */
export class Trainer {
  readonly gpu: Gpu;
  readonly data: TensorDataset;
  readonly model: Module;
  readonly optimizer: Optimizer;
  readonly parameters: Parameters;
  /** What the model keeps beside its parameters: running statistics. */
  readonly buffers: ReadonlyMap<string, ModuleBuffer>;
  /** Names of the terms; the first is `loss`. */
  readonly terms: readonly string[];
  readonly batch: number;
  readonly epochs: number;
  /** Steps made. */
  step = 0;
  private readonly options: TrainerOptions;
  private readonly seed: number;
  private readonly examples: GpuDataset;
  /** Where `setLearningRate` was called. */
  private lr: number | undefined;
  private readonly key: Variable;
  /** A row a step: the terms, then whether the step was made. */
  private readonly history: Variable;
  private readonly readback: Readback;
  private readonly testIndex = new Variable('test index', [], { dtype: 'u32' });
  private readonly testSums: Variable;
  private readonly loss: Tensor;
  /** Whether every term has a number for each example; a scalar is tested on whole batches. */
  private readonly perExample: boolean;
  private readonly updates: readonly Update[];
  /** Where the weights are while their average stands in their place. */
  private trained: Variable | undefined;
  private readonly programs: Program[] = [];
  private stepProgram!: Program;
  private testProgram: Promise<Program> | undefined;
  private pictureProgram: Promise<Program> | undefined;
  private textSource: Promise<TextSource> | undefined;
  private epochSums: { steps: number; sums: number[] };
  private msPerStep = 0;

  private constructor(gpu: Gpu, options: TrainerOptions) {
    const { model, data, batch = 128, epochs = 10, seed = 0, budget } = options;
    this.optimizer = options.optimizer ?? new Adam(new Parameters(model, seed));
    const own = new Set(model.namedParameters().values());
    this.parameters = this.optimizer.parameters;
    if (own.size !== this.parameters.named.size || [...this.parameters.named.values()].some((p) => !own.has(p))) {
      throw new OptionError("Trainer: the optimizer's parameters are not those of the model");
    }
    checkRun(data, batch, epochs, options.steps);
    checkParameters(gpu, this.parameters);
    this.gpu = gpu;
    this.options = options;
    this.data = data;
    this.model = model;
    this.batch = batch;
    this.epochs = epochs;
    this.seed = seed;
    this.key = new Variable('key', [2], { dtype: 'u32', init: () => Uint32Array.of(seed, 0x676c6961) });
    this.examples = new GpuDataset(gpu, data, { batch, key: this.key, budget });
    this.buffers = model.namedBuffers();
    const { loss, terms, step, perExample } = this.trainingGraph();
    this.loss = loss;
    this.perExample = perExample;
    this.terms = Object.keys(terms);
    const { test } = data;
    if (test && !perExample && test.count < batch) {
      throw new OptionError(
        `Trainer: a scalar loss is tested on whole batches, and ${data.name} has ${test.count} test examples for a ` +
          `batch of ${batch}: give a loss for each example, f32 [${batch}], or a smaller batch`,
      );
    }
    this.epochSums = { steps: 0, sums: this.terms.map(() => 0) };
    this.history = new Variable('history', [MAX_STEPS, this.terms.length + 1]);
    this.testSums = new Variable('test sums', [this.terms.length]);
    this.readback = new Readback(gpu, () => rangeOf(gpu, this.history), 'f32', AHEAD + 1);
    this.updates = [...step.updates, { variable: this.history, value: this.historyAfter(Object.values(terms), step) }];
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
      if (options.checkpoint) trainer.resume(options.checkpoint);
      trainer.stepProgram = await trainer.compile({ updates: trainer.updates }, options.compile);
    } catch (error) {
      trainer.destroy();
      throw error;
    }
    return trainer;
  }

  /** What a step computes: nothing is made, so all that is asked of `gpu` is what it allows. */
  static describe<Name extends string>(gpu: Gpu, options: TrainerOptions<Name>): ProgramDescription {
    return { updates: new Trainer(gpu, options as unknown as TrainerOptions).updates };
  }

  private async compile(description: ProgramDescription, options: CompileOptions = {}): Promise<Program> {
    const program = await compile(this.gpu, description, options);
    this.programs.push(program);
    return program;
  }

  private randomKey(counter: Tensor, stream: keyof typeof STREAMS): RandomKey {
    return { key: this.key.tensor, counter, stream: STREAMS[stream] };
  }

  /** The terms of a batch, by name, as the loss gives them. */
  private termsOf(batch: Batch, context: LossContext): Record<string, Tensor> {
    const { loss, model } = this.options;
    if (!loss && !(model instanceof Model)) {
      throw new OptionError(
        `Trainer: ${model.constructor.name} says no loss: give loss: (batch) => …, which returns f32 [${this.batch}]`,
      );
    }
    const given = loss
      ? loss(batch, context)
      : (model as Model).terms(batch as unknown as ImageBatch, context.key, context.step);
    const all = given instanceof Tensor ? { loss: given } : given;
    const [[, first] = [], ...others] = Object.entries(all ?? {});
    const terms: Record<string, Tensor> = { loss: first!, ...Object.fromEntries(others) };
    for (const [name, term] of Object.entries(terms)) {
      if (term instanceof Tensor && term.dtype === 'f32' && ['', String(this.batch)].includes(String(term.shape)))
        continue;
      const got = term instanceof Tensor ? `${term.dtype} ${show(term.shape)}` : String(term);
      throw new ShapeError(
        `the loss gave ${got} for ${name}: terms are f32 [${this.batch}], a number for each example, or one scalar`,
      );
    }
    return terms;
  }

  private trainingGraph() {
    const counter = this.optimizer.step.tensor;
    const batch = this.examples.trainBatch(counter);
    const key = this.randomKey(counter, 'train');
    const { value, updates } = inTraining(key, () => this.termsOf(batch, { key, step: counter }));
    const terms = Object.fromEntries(Object.entries(value).map(([name, values]) => [name, mean(values)]));
    const perExample = Object.values(value).every(({ shape }) => shape.length > 0);
    const loss = terms.loss!;
    return { loss, terms, perExample, step: this.optimizer.minimize(loss, updates) };
  }

  private historyAfter(terms: readonly Tensor[], { finite }: Step): Tensor {
    const row = concat(
      [...terms, finite].map((value) => reshape(value, [1, 1])),
      1,
    );
    const current = modulo(this.optimizer.step.tensor, constant(MAX_STEPS, 'u32'));
    const isCurrent = equal(iota([MAX_STEPS, 1], 0, 'u32'), current);
    return where(isCurrent, row, this.history.tensor);
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
   */
  async *train(signal?: AbortSignal): AsyncGenerator<TrainEvent> {
    const chunks: Chunk[] = [];
    try {
      for (;;) {
        const complete = this.epoch - 1;
        if (this.epochSums.steps > 0 && this.step === this.stepsUntil(complete)) {
          const test = await this.evaluate();
          const train = this.meansOf(this.epochSums.sums, this.epochSums.steps);
          this.epochSums = { steps: 0, sums: this.terms.map(() => 0) };
          yield { event: 'epoch', epoch: complete, train, ...(test && { test }) };
        }
        if (this.step >= this.totalSteps || signal?.aborted) return;
        yield* this.trainUntil(Math.min(this.totalSteps, this.stepsUntil(this.epoch)), chunks, signal);
      }
    } finally {
      // Steps under way are made, whether or not somebody listens.
      for (const chunk of chunks) this.record(chunk, await chunk.values);
    }
  }

  private async *trainUntil(end: number, chunks: Chunk[], signal?: AbortSignal): AsyncGenerator<TrainEvent> {
    let submitted = this.step;
    let since = performance.now();
    while (this.step < end) {
      while (chunks.length < AHEAD && submitted < end && !signal?.aborted) {
        const count = Math.min(this.stepsPerSubmit(this.msPerStep), end - submitted);
        chunks.push(this.submit(submitted, count));
        submitted += count;
      }
      const [chunk] = chunks;
      if (!chunk) return;
      const values = await chunk.values;
      chunks.shift();
      const now = performance.now();
      this.msPerStep = (now - since) / chunk.count;
      since = now;
      const events = this.record(chunk, values);
      yield* events;
      if (events.length < chunk.count) throw await this.notFinite();
    }
  }

  /** As many steps as take about SUBMIT_MS; the first, whose time nobody knows, goes alone. */
  private stepsPerSubmit(msPerStep: number): number {
    return msPerStep ? Math.max(1, Math.min(this.examples.steps, Math.round(SUBMIT_MS / msPerStep))) : 1;
  }

  private submit(first: number, count: number): Chunk {
    this.examples.load('train', first, count);
    this.stepProgram.run({}, { steps: count }, (encoder) => this.readback.record(encoder));
    const values = this.readback.fetch() as Promise<Float32Array>;
    // It is awaited later; until then, its failure is nobody's.
    values.catch(() => {});
    return { first, count, values };
  }

  /** Takes note of the steps of a chunk, up to the first that was not made. */
  private record({ first, count }: Chunk, history: Float32Array): TrainEvent[] {
    const width = this.terms.length + 1;
    const { epoch } = this;
    const events: TrainEvent[] = [];
    for (let step = first; step < first + count; step++) {
      const start = (step % MAX_STEPS) * width;
      const row = history.subarray(start, start + width);
      if (row[width - 1] !== 1 || step !== this.step) break;
      this.step++;
      this.epochSums.steps++;
      for (const i of this.terms.keys()) this.epochSums.sums[i]! += row[i]!;
      events.push({ event: 'step', step: this.step, epoch, ...this.meansOf(row, 1), msPerStep: this.msPerStep });
    }
    return events;
  }

  /** The GPU left everything as it was before the step, so the step can be made again under observation. */
  private async notFinite(): Promise<NotFiniteError> {
    const roots = [this.loss, ...this.updates.map(({ value }) => value)];
    const culprit = await firstNotFinite(this.gpu, roots);
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
    this.optimizer.setLearningRate(this.gpu, lr);
    this.lr = lr;
  }

  /**
   * Means of the terms over the test examples, the last partial batch included; a scalar loss, over whole batches.
   *
   * @returns undefined if the data set has no test
   */
  evaluate(): Promise<Means | undefined> {
    return this.withAverage(() => this.test());
  }

  /** With the moving average of the weights in their place, where the optimizer keeps one. */
  private async withAverage<T>(work: () => Promise<T>): Promise<T> {
    const { average } = this.optimizer;
    if (!average || this.step === 0) return work();
    const { flat } = this.parameters;
    this.trained ??= new Variable('trained weights', flat.shape);
    this.copy(flat, this.trained);
    this.copy(average, flat);
    try {
      return await work();
    } finally {
      this.copy(this.trained, flat);
    }
  }

  private copy(from: Variable, to: Variable): void {
    const [source, target] = [from, to].map((variable) => rangeOf(this.gpu, variable));
    const encoder = this.gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(source!.buffer, source!.offset, target!.buffer, target!.offset, source!.size);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  private async test(): Promise<Means | undefined> {
    const { test } = this.data;
    if (!test) return undefined;
    this.testProgram ??= this.compileTest();
    const program = await this.testProgram;
    writeVariable(this.gpu, this.testIndex, new Uint32Array(1));
    writeVariable(this.gpu, this.testSums, new Float32Array(this.terms.length));
    const batches = this.perExample ? Math.ceil(test.count / this.batch) : Math.floor(test.count / this.batch);
    let msPerBatch = 0;
    for (let done = 0; done < batches; ) {
      const some = Math.min(this.stepsPerSubmit(msPerBatch), batches - done);
      const since = performance.now();
      this.examples.load('test', done, some);
      program.run({}, { steps: some });
      await this.gpu.device.queue.onSubmittedWorkDone();
      msPerBatch = (performance.now() - since) / some;
      done += some;
    }
    const sums = (await readVariable(this.gpu, this.testSums)) as Float32Array;
    return this.meansOf(sums, this.perExample ? test.count : batches);
  }

  private compileTest(): Promise<Program> {
    const index = this.testIndex.tensor;
    const { mask, batch } = this.examples.testBatch(index);
    const key = this.randomKey(index, 'test');
    const terms = inEvaluation(() => this.termsOf(batch, { key, step: undefined }));
    const one = (values: Tensor) => (this.perExample ? sum(mul(values, mask)) : mean(values));
    const sums = concat(Object.values(terms).map((values) => reshape(one(values), [1])));
    const updates = [
      { variable: this.testSums, value: add(this.testSums.tensor, sums) },
      { variable: this.testIndex, value: add(index, 1) },
    ];
    return this.compile({ updates });
  }

  /** Pictures of what the model has learned so far; none for a model that makes no images. */
  async pictures(): Promise<ShownPicture[]> {
    const { pictures: given } = this.options;
    if (!given) return [];
    const { height, width, channels } = given.shape;
    const examples = this.examples.examples(given.examples);
    const key = this.randomKey(constant(0, 'u32'), 'samples');
    const pictures = inEvaluation(() => given.build(examples, key));
    const outputs = Object.fromEntries(Object.entries(pictures).map(([name, { images }]) => [name, images]));
    this.pictureProgram ??= this.compile({ outputs });
    const program = await this.pictureProgram;
    return this.withAverage(async () => {
      program.run();
      return Promise.all(
        Object.entries(pictures).map(async ([name, { columns, caption }]) => {
          const data = (await program.read(name)) as Float32Array;
          return { name, caption, data, columns, height, width, channels };
        }),
      );
    });
  }

  /** Text that shows what the model has learned so far; none for a model that writes none. */
  async texts(): Promise<readonly ShownText[]> {
    const { texts } = this.options;
    if (!texts) return [];
    this.textSource ??= texts(this.gpu);
    return (await this.textSource).write();
  }

  /** The training step: to look at, to explain, to measure. */
  get program(): Program {
    return this.stepProgram;
  }

  /** Profiles the training step; weights and counters stay as they are. */
  profile(options?: ProfileOptions): Promise<Profile> {
    this.examples.load('train', this.step, this.examples.steps);
    return this.stepProgram.profile({}, options);
  }

  private get progress(): Progress {
    const { batch, epochs, seed, lr, epochSums, data, optimizer } = this;
    return {
      options: this.options.options ?? {},
      ...{ optimizer: optimizer.constructor.name, batch, epochs, seed, lr, epochSums },
      data: { name: data.name, count: data.train.count, tensors: describeTensors(data.train) },
    };
  }

  /** All that `create` needs to go on as if nothing had happened. */
  checkpoint(): Promise<Uint8Array> {
    return encodeCheckpoint(this.gpu, this.optimizer, this.progress, this.buffers, this.options.metadata);
  }

  /** The weights alone, under PyTorch's names and layouts. */
  weights(): Promise<Uint8Array> {
    const { options = {}, metadata } = this.options;
    return encodeWeights(this.gpu, this.optimizer, options, this.buffers, metadata);
  }

  private resume(checkpoint: Checkpoint): void {
    const { progress } = checkpoint;
    const { options = {}, free = [] } = this.options;
    checkOptions(checkpoint.name, progress.options, options, free);
    checkSame(checkpoint, this.progress);
    restore(this.gpu, this.optimizer, checkpoint, this.buffers);
    this.step = checkpoint.step;
    if (progress.lr !== undefined) this.setLearningRate(progress.lr);
    const { steps, sums } = progress.epochSums;
    if (sums.length === this.terms.length) this.epochSums = { steps, sums: [...sums] };
  }

  /** Frees what the trainer made on the GPU, the optimizer's state included. The model's weights stay unless it owns them. */
  destroy(): void {
    for (const program of this.programs) program.destroy();
    this.readback.destroy();
    this.textSource?.then(
      (source) => source.destroy(),
      () => {},
    );
    const model = this.options.ownsModel ? [this.parameters.flat, ...this.buffers.values()] : [];
    const { key, history, testIndex, testSums, trained } = this;
    const own = [...this.optimizer.variables, key, history, testIndex, testSums, ...(trained ? [trained] : [])];
    freeVariables(this.gpu, [...own, ...model, ...this.examples.variables]);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

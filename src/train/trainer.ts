/// <reference lib="esnext.disposable" preserve="true" />
// The trainer: epochs and batches over a Program, for the command line and the page alike.
import type { Dataset } from '../data/images.ts';
import { NotFiniteError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Update } from '../graph/graph.ts';
import type { Model } from '../models/model.ts';
import { type ModuleBuffer, Parameters } from '../nn/module.ts';
import { Adam, type Step } from '../nn/optimizers.ts';
import { inverseTimeSchedule } from '../nn/schedules.ts';
import { inEvaluation, inTraining } from '../nn/training.ts';
import { add, equal, modulo, mul, where } from '../ops/elementwise.ts';
import type { RandomKey } from '../ops/random.ts';
import { mean, sum } from '../ops/reduce.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { concat, reshape } from '../ops/view.ts';
import { type CompileOptions, compile, type ProgramDescription } from '../runtime/compile.ts';
import type { Profile, ProfileOptions } from '../runtime/profile.ts';
import type { Program } from '../runtime/program.ts';
import { Readback } from '../runtime/readback.ts';
import { freeVariables, rangeOf, readVariable, writeVariable } from '../runtime/variables.ts';
import { type Checkpoint, checkSame, encodeCheckpoint, encodeWeights, type Progress, restore } from './checkpoint.ts';
import { AHEAD, GpuDataset, MAX_STEPS, MB } from './dataset.ts';
import { firstNotFinite } from './diagnose.ts';
import type { Means, TrainEvent } from './events.ts';
import { exampleCount, modelEntry } from './models.ts';
import type { TrainOptions } from './options.ts';

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

function checkBatch({ name, train }: Dataset, { batch }: TrainOptions): void {
  if (batch <= train.count) return;
  throw new OptionError(`a batch of ${batch} is larger than the data: ${name} has ${train.count} training images`);
}

function describeData({ name, train }: Dataset): Progress['data'] {
  return { name, images: train.count, pixels: train.height * train.width * train.channels };
}

export class Trainer {
  readonly gpu: Gpu;
  readonly options: TrainOptions;
  readonly dataset: Dataset;
  readonly model: Model;
  readonly parameters: Parameters;
  /** What the model keeps beside its parameters: running statistics. */
  readonly buffers: ReadonlyMap<string, ModuleBuffer>;
  /** Names of the per-image terms; the first is the loss. */
  readonly terms: readonly string[];
  /** Steps made. */
  step = 0;
  private readonly data: GpuDataset;
  private readonly optimizer: Adam;
  private readonly key: Variable;
  /** A row a step: the terms, then whether the step was made. */
  private readonly history: Variable;
  private readonly readback: Readback;
  private readonly testIndex = new Variable('test index', [], { dtype: 'u32' });
  private readonly testSums: Variable;
  private readonly loss: Tensor;
  private readonly updates: readonly Update[];
  private readonly programs: Program[] = [];
  private program!: Program;
  private testProgram: Promise<Program> | undefined;
  private pictureProgram: Promise<Program> | undefined;
  private epochSums: { steps: number; sums: number[] };
  private msPerStep = 0;

  private constructor(gpu: Gpu, dataset: Dataset, options: TrainOptions) {
    checkBatch(dataset, options);
    this.gpu = gpu;
    this.dataset = dataset;
    this.options = options;
    this.key = new Variable('key', [2], { dtype: 'u32', init: () => Uint32Array.of(options.seed, 0x676c6961) });
    const { batch, budget } = options;
    this.data = new GpuDataset(gpu, dataset, { batch, key: this.key, budget: budget && budget * MB });
    const entry = modelEntry(options.model);
    this.model = entry.create(dataset, options);
    this.parameters = new Parameters(this.model, options.seed);
    this.buffers = this.model.namedBuffers();
    const { lr = entry.lr ?? 1e-3, decay = entry.decay } = options;
    this.optimizer = new Adam(this.parameters, { lr: decay ? inverseTimeSchedule({ lr, steps: decay }) : lr });
    const { loss, terms, step } = this.trainingGraph();
    this.loss = loss;
    this.terms = Object.keys(terms);
    this.epochSums = { steps: 0, sums: this.terms.map(() => 0) };
    this.history = new Variable('history', [MAX_STEPS, this.terms.length + 1]);
    this.testSums = new Variable('test sums', [this.terms.length]);
    this.readback = new Readback(gpu, () => rangeOf(gpu, this.history), 'f32', AHEAD + 1);
    this.updates = [...step.updates, { variable: this.history, value: this.historyAfter(Object.values(terms), step) }];
  }

  /**
   * Compiles the step, and takes up where a checkpoint left off if one is given.
   *
   * @param compiling how the step is compiled; tuned, say
   * @throws OptionError, DataError or CheckpointError if these do not fit each other
   */
  static async create(
    gpu: Gpu,
    dataset: Dataset,
    options: TrainOptions,
    checkpoint?: Checkpoint,
    compiling: CompileOptions = {},
  ): Promise<Trainer> {
    const trainer = new Trainer(gpu, dataset, options);
    try {
      if (checkpoint) trainer.resume(checkpoint);
      trainer.program = await trainer.compile({ updates: trainer.updates }, compiling);
    } catch (error) {
      trainer.destroy();
      throw error;
    }
    return trainer;
  }

  private async compile(description: ProgramDescription, options: CompileOptions = {}): Promise<Program> {
    const program = await compile(this.gpu, description, options);
    this.programs.push(program);
    return program;
  }

  private randomKey(counter: Tensor, stream: keyof typeof STREAMS): RandomKey {
    return { key: this.key.tensor, counter, stream: STREAMS[stream] };
  }

  private trainingGraph(): { loss: Tensor; terms: Record<string, Tensor>; step: Step } {
    const counter = this.optimizer.step.tensor;
    const batch = this.data.trainBatch(counter);
    const key = this.randomKey(counter, 'train');
    const { value: perImage, updates } = inTraining(key, () => this.model.terms(batch, key, counter));
    const terms = Object.fromEntries(Object.entries(perImage).map(([name, values]) => [name, mean(values)]));
    const loss = terms.loss!;
    return { loss, terms, step: this.optimizer.minimize(loss, updates) };
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

  /** Bytes of GPU memory through which images are streamed, where these do not fit the budget. */
  get streamedThrough(): number | undefined {
    return this.data.streamedThrough;
  }

  /** Steps after which epoch `epoch` (from 1) is complete. */
  stepsUntil(epoch: number): number {
    return Math.ceil((epoch * this.dataset.train.count) / this.options.batch);
  }

  /** Steps of the whole run. */
  get totalSteps(): number {
    return Math.min(this.options.steps ?? Infinity, this.stepsUntil(this.options.epochs));
  }

  /** The epoch in progress, from 1. */
  get epoch(): number {
    let epoch = Math.floor((this.step * this.options.batch) / this.dataset.train.count) + 1;
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
          yield { event: 'epoch', epoch: complete, train, test };
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
    return msPerStep ? Math.max(1, Math.min(this.data.steps, Math.round(SUBMIT_MS / msPerStep))) : 1;
  }

  private submit(first: number, count: number): Chunk {
    this.data.load('train', first, count);
    this.program.run({}, { steps: count }, (encoder) => this.readback.record(encoder));
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

  /** Means of the terms over the test images, the last partial batch included. */
  async evaluate(): Promise<Means> {
    this.testProgram ??= this.compileTest();
    const program = await this.testProgram;
    writeVariable(this.gpu, this.testIndex, new Uint32Array(1));
    writeVariable(this.gpu, this.testSums, new Float32Array(this.terms.length));
    const { count } = this.dataset.test;
    const batches = Math.ceil(count / this.options.batch);
    let msPerBatch = 0;
    for (let done = 0; done < batches; ) {
      const some = Math.min(this.stepsPerSubmit(msPerBatch), batches - done);
      const since = performance.now();
      this.data.load('test', done, some);
      program.run({}, { steps: some });
      await this.gpu.device.queue.onSubmittedWorkDone();
      msPerBatch = (performance.now() - since) / some;
      done += some;
    }
    return this.meansOf((await readVariable(this.gpu, this.testSums)) as Float32Array, count);
  }

  private compileTest(): Promise<Program> {
    const index = this.testIndex.tensor;
    const { mask, ...batch } = this.data.testBatch(index);
    const terms = inEvaluation(() => this.model.terms(batch, this.randomKey(index, 'test')));
    const sums = concat(Object.values(terms).map((values) => reshape(sum(mul(values, mask)), [1])));
    const updates = [
      { variable: this.testSums, value: add(this.testSums.tensor, sums) },
      { variable: this.testIndex, value: add(index, 1) },
    ];
    return this.compile({ updates });
  }

  /** Pictures of what the model has learned so far; none for a model that makes no images. */
  async pictures(): Promise<ShownPicture[]> {
    const build = modelEntry(this.options.model).pictures;
    if (!build) return [];
    const { height, width, channels, count } = this.dataset.test;
    const examples = this.data.examples(exampleCount(count));
    const key = this.randomKey(constant(0, 'u32'), 'samples');
    const pictures = inEvaluation(() => build(this.model, examples, key));
    const outputs = Object.fromEntries(Object.entries(pictures).map(([name, { images }]) => [name, images]));
    this.pictureProgram ??= this.compile({ outputs });
    const program = await this.pictureProgram;
    program.run();
    return Promise.all(
      Object.entries(pictures).map(async ([name, { columns, caption }]) => {
        const data = (await program.read(name)) as Float32Array;
        return { name, caption, data, columns, height, width, channels };
      }),
    );
  }

  /** Profiles the training step; weights and counters stay as they are. */
  profile(options?: ProfileOptions): Promise<Profile> {
    this.data.load('train', this.step, this.data.steps);
    return this.program.profile({}, options);
  }

  private get progress(): Progress {
    return { options: this.options, data: describeData(this.dataset), epochSums: this.epochSums };
  }

  /** All that `create` needs to go on as if nothing had happened. */
  checkpoint(): Promise<Uint8Array> {
    return encodeCheckpoint(this.gpu, this.optimizer, this.progress, this.buffers);
  }

  /** The weights alone, under PyTorch's names and layouts. */
  weights(): Promise<Uint8Array> {
    return encodeWeights(this.gpu, this.parameters, this.options, this.buffers);
  }

  private resume(checkpoint: Checkpoint): void {
    checkSame(checkpoint, this.options, this.progress.data);
    restore(this.gpu, this.optimizer, checkpoint, this.buffers);
    this.step = checkpoint.step;
    const { steps, sums } = checkpoint.progress.epochSums;
    if (sums.length === this.terms.length) this.epochSums = { steps, sums: [...sums] };
  }

  /** Frees all that the trainer made on the GPU. */
  destroy(): void {
    for (const program of this.programs) program.destroy();
    this.readback.destroy();
    const { flat } = this.parameters;
    const own = [flat, ...this.optimizer.variables, this.key, this.history, this.testIndex, this.testSums];
    freeVariables(this.gpu, [...own, ...this.buffers.values(), ...this.data.variables]);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

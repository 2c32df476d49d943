// A run on one device: its compiled programs, and what is read back of them. When the device is lost, another gets another.
import { DeviceLostError, OutOfMemoryError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Block, Variable } from '../ops/source.ts';
import { type CompileOptions, compile, type ProgramDescription } from '../runtime/compile.ts';
import type { Profile, ProfileOptions } from '../runtime/profile.ts';
import type { Program } from '../runtime/program.ts';
import { Readback } from '../runtime/readback.ts';
import { rangeOf, readVariable, writeVariable } from '../runtime/variables.ts';
import { AHEAD } from './dataset.ts';
import { firstNotFinite } from './diagnose.ts';
import type { RunGraphs } from './graphs.ts';
import { news } from './healing.ts';
import type { Pace } from './pace.ts';
import type { Picture } from './pictures.ts';
import { SnapshotCopies } from './snapshots.ts';
import type { ShownText, TextSource } from './texts.ts';

/** Steps that were submitted. */
export interface Chunk {
  readonly first: number;
  readonly count: number;
  /** The history after them. */
  readonly values: Promise<Float32Array>;
  /** The state after them, if it was asked for. */
  readonly state: Promise<Map<Block, Uint8Array>> | undefined;
}

/** It is awaited later; until then, its failure is nobody's. */
function unobserved<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

export class DeviceRun {
  readonly gpu: Gpu;
  private readonly graphs: RunGraphs;
  private readonly readback: Readback;
  private readonly programs: Program[] = [];
  /** Undefined where there is no memory for them. */
  private copies: SnapshotCopies | undefined;
  private stepProgram: Program | undefined;
  private testProgram: Promise<Program> | undefined;
  private textSource: Promise<TextSource> | undefined;
  private pictureProgram: Promise<Program> | undefined;

  constructor(gpu: Gpu, graphs: RunGraphs) {
    this.gpu = gpu;
    this.graphs = graphs;
    this.readback = new Readback(gpu, () => rangeOf(gpu, graphs.history), 'f32', AHEAD + 1);
    this.copies = new SnapshotCopies(gpu, graphs.state);
  }

  /** Compiles the step, if it is not yet. */
  async compile(options?: CompileOptions): Promise<void> {
    this.stepProgram ??= await this.compiled({ updates: this.graphs.updates }, options);
  }

  private async compiled(description: ProgramDescription, options: CompileOptions = {}): Promise<Program> {
    const program = await compile(this.gpu, description, options);
    this.programs.push(program);
    return program;
  }

  /** What `work` gives, or the loss of the device, whichever comes first: what waits for a lost device may wait for ever. */
  orLost<T>(work: Promise<T>): Promise<T> {
    const lost = this.gpu.lost.then((error) => {
      throw error;
    });
    return Promise.race([work, unobserved(lost)]);
  }

  /**
   * Resolves if the device gives back what it is given: one whose process has just died reads as zeros for a while, which look
   * like a step that was not made.
   *
   * @throws DeviceLostError if it does not
   */
  async confirm(): Promise<void> {
    const { gpu } = this;
    const { device } = gpu;
    const said = 0x676c6961;
    try {
      // Without a submit: a step has one.
      const buffer = device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      device.queue.writeBuffer(buffer, 0, Uint32Array.of(said));
      await buffer.mapAsync(GPUMapMode.READ);
      const [heard] = new Uint32Array(buffer.getMappedRange());
      buffer.unmap();
      buffer.destroy();
      if (heard === said) return;
    } catch {
      // What is wrong with it is told below.
    }
    const lost = await Promise.race([gpu.lost, news()]);
    throw lost ?? new DeviceLostError('the GPU no longer gives back what it is given');
  }

  /** The state as it is now; undefined if there is no memory for copies of it. */
  async state(): Promise<Map<Block, Uint8Array> | undefined> {
    const { gpu, copies } = this;
    try {
      return await gpu.guarded('copies of the weights', () => {
        const encoder = gpu.device.createCommandEncoder();
        copies!.record(encoder);
        gpu.device.queue.submit([encoder.finish()]);
        return unobserved(copies!.fetch());
      });
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      copies?.destroy();
      this.copies = undefined;
      return undefined;
    }
  }

  /** Whether a submit may copy the state. */
  get canCopy(): boolean {
    return this.copies?.ready ?? false;
  }

  submit(first: number, count: number, copyState: boolean): Chunk {
    this.graphs.options.examples.load(this.gpu, 'train', first, count);
    this.program.run({}, { steps: count }, (encoder) => {
      this.readback.record(encoder);
      if (copyState) this.copies?.record(encoder);
    });
    const values = unobserved(this.readback.fetch() as Promise<Float32Array>);
    return { first, count, values, state: copyState && this.copies ? unobserved(this.copies.fetch()) : undefined };
  }

  /** With the moving average of the weights in their place, where the optimizer keeps one and steps were made. */
  private async withAverage<T>(stepsMade: boolean, work: () => Promise<T>): Promise<T> {
    const { parameters, average } = this.graphs.options.optimizer;
    if (!average || !stepsMade) return work();
    const { flat } = parameters;
    const { trained } = this.graphs;
    this.copy(flat, trained);
    this.copy(average, flat);
    try {
      return await work();
    } finally {
      this.copy(trained, flat);
    }
  }

  private copy(from: Variable, to: Variable): void {
    const { device } = this.gpu;
    const [source, target] = [from, to].map((variable) => rangeOf(this.gpu, variable));
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source!.buffer, source!.offset, target!.buffer, target!.offset, source!.size);
    device.queue.submit([encoder.finish()]);
  }

  /** Sums of the terms over so many batches of the test. */
  testSums(batches: number, pace: Pace, stepsMade: boolean): Promise<Float32Array> {
    return this.withAverage(stepsMade, () => this.test(batches, pace));
  }

  private async test(batches: number, pace: Pace): Promise<Float32Array> {
    const { gpu, graphs } = this;
    const { testIndex, testSums, options } = graphs;
    this.testProgram ??= this.compiled(graphs.test());
    const program = await this.testProgram.catch((error) => {
      this.testProgram = undefined;
      throw error;
    });
    writeVariable(gpu, testIndex, new Uint32Array(1));
    writeVariable(gpu, testSums, new Float32Array(graphs.terms.length));
    let msPerBatch = 0;
    for (let done = 0; done < batches; ) {
      const some = Math.min(pace.steps(options.examples.steps, msPerBatch), batches - done);
      const since = performance.now();
      options.examples.load(gpu, 'test', done, some);
      program.run({}, { steps: some });
      await gpu.device.queue.onSubmittedWorkDone();
      msPerBatch = (performance.now() - since) / some;
      done += some;
    }
    return (await readVariable(gpu, testSums)) as Float32Array;
  }

  async pictures(pictures: Readonly<Record<string, Picture>>, stepsMade: boolean): Promise<Map<string, Float32Array>> {
    const outputs = Object.fromEntries(Object.entries(pictures).map(([name, { images }]) => [name, images]));
    this.pictureProgram ??= this.compiled({ outputs });
    const program = await this.pictureProgram.catch((error) => {
      this.pictureProgram = undefined;
      throw error;
    });
    return this.withAverage(stepsMade, async () => {
      program.run();
      const names = Object.keys(pictures);
      const read = names.map(async (name) => [name, (await program.read(name)) as Float32Array] as const);
      return new Map(await Promise.all(read));
    });
  }

  /** @param make what writes, on a device */
  async texts(make: (gpu: Gpu) => Promise<TextSource>): Promise<readonly ShownText[]> {
    this.textSource ??= make(this.gpu);
    const source = await this.textSource.catch((error) => {
      this.textSource = undefined;
      throw error;
    });
    return source.write();
  }

  /**
   * What was not finite first, in words: a step that failed left everything as it was, so it can be made once more. Undefined if all
   * is finite then.
   */
  notFinite(): Promise<string | undefined> {
    return firstNotFinite(this.gpu, [this.graphs.loss, ...this.graphs.updates.map(({ value }) => value)]);
  }

  get program(): Program {
    return this.stepProgram!;
  }

  profile(step: number, options?: ProfileOptions): Promise<Profile> {
    const { examples } = this.graphs.options;
    examples.load(this.gpu, 'train', step, examples.steps);
    return this.program.profile({}, options);
  }

  /** Frees programs and staging buffers; variables stay. */
  destroy(): void {
    for (const program of this.programs) program.destroy();
    this.textSource?.then((source) => source.destroy()).catch(() => undefined);
    this.readback.destroy();
    this.copies?.destroy();
  }
}

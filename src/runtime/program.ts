/// <reference lib="esnext.disposable" preserve="true" />
// A Program: a flat list of dispatches with their buffers, encoded into one compute pass as often as it is run.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { type MemoryNeed, memoryNeed } from '../graph/sizes.ts';
import type { Variable } from '../ops/source.ts';
import { checkRun, type Given, outputOf } from './arguments.ts';
import { Bindings, type Bound, type ProgramInput, type ProgramParts } from './bindings.ts';
import { type Command, type Dispatch, type OutputArray, type Outputs, type RunInputs, record } from './dispatch.ts';
import type { Profile, ProfileOptions } from './profile.ts';
import { type BufferRange, copyOut } from './readback.ts';
import { Uploads } from './uploads.ts';

export type { ProgramInput } from './bindings.ts';

export interface RunOptions<O extends Outputs = Outputs> {
  /** How many times in a row, in one pass; 1 by default. */
  readonly steps?: number;
  /** Buffers of the app to write outputs to, without a copy; created with STORAGE usage. */
  readonly outputs?: { readonly [N in keyof O]?: GPUBuffer };
}

/** What `compile` makes: `O` are its outputs, `I` what it is given at every run, as far as `compile` was told. */
export class Program<O extends Outputs = Outputs, I extends RunInputs = RunInputs> {
  readonly gpu: Gpu;
  readonly dispatches: readonly Dispatch[];
  readonly inputs: ReadonlyMap<string, ProgramInput>;
  /** How operands of products are stored: f32 where the device has no f16, whatever was asked for. */
  readonly storage: 'f32' | 'f16';
  /** Planned bytes; `memoryOf` tells them before anything is compiled. */
  readonly memory: MemoryNeed;
  /** What the user should know: kernels that this driver gets wrong, and what takes their place. */
  readonly warnings: readonly string[];
  private readonly parts: ProgramParts;
  private readonly bindings: Bindings;
  /** Where outputs went in the last run: the app's buffers by slot, and the names they were given under. */
  private given: Bound = new Map();
  private elsewhere: Given['elsewhere'] = new Set();
  private uploads: Uploads | undefined;
  private destroyed = false;

  constructor(gpu: Gpu, parts: ProgramParts) {
    this.gpu = gpu;
    this.parts = parts;
    this.dispatches = parts.dispatches;
    this.inputs = parts.inputs;
    this.storage = parts.storage;
    this.warnings = parts.warnings;
    this.memory = memoryNeed(parts.memory);
    gpu.hold(this.pipelines());
    try {
      this.bindings = new Bindings(gpu, parts);
    } catch (error) {
      gpu.release(this.pipelines());
      throw error;
    }
  }

  private pipelines(): GPUComputePipeline[] {
    return this.dispatches.map(({ pipeline }) => pipeline);
  }

  /** What a run is given, once it is checked; where its outputs lie from then on. */
  private bind(inputs: RunInputs, outputs?: RunOptions['outputs']): Given {
    if (this.destroyed) throw new OptionError('this program was destroyed');
    this.gpu.check();
    this.bindings.refresh();
    const given = checkRun(this.parts, this.bindings, inputs, outputs);
    this.elsewhere = given.elsewhere;
    this.given = given.outputs;
    return given;
  }

  /** What a run sets and dispatches, in order. Arrays among the inputs are copied now. */
  commands(inputs: RunInputs = {}): Command[] {
    const { bound, arrays } = this.bind(inputs);
    this.write(arrays);
    return this.commandsOf(bound);
  }

  private commandsOf(bound: Bound): Command[] {
    return this.dispatches.map(({ pipeline, kernel: { workgroups } }, i) => ({
      pipeline,
      group: this.bindings.group(i, bound),
      workgroups,
    }));
  }

  private write(arrays: Given['arrays']): void {
    const { queue } = this.gpu.device;
    for (const [buffer, words] of arrays) queue.writeBuffer(buffer, 0, words as Uint8Array<ArrayBuffer>);
  }

  /**
   * Records the dispatches, `steps` times, into a pass that is open. Inputs are GPUBuffers here: nothing can be copied in
   * the middle of a pass.
   */
  encodePass(pass: GPUComputePassEncoder, inputs: I = {} as I, options: RunOptions<O> = {}): void {
    const { bound, arrays, packs } = this.bind(inputs, options.outputs);
    if (arrays.length > 0) throw new OptionError('encodePass takes GPUBuffers; encode takes arrays as well');
    if (packs.length > 0) throw new OptionError('encodePass gives no pack to a buffer; encode does');
    this.recordPass(pass, bound, options);
  }

  private recordPass(pass: GPUComputePassEncoder, bound: Bound, { steps = 1 }: RunOptions): void {
    if (!Number.isInteger(steps) || steps < 1) throw new OptionError(`steps must be a positive integer, got ${steps}`);
    const commands = this.commandsOf(bound);
    for (let step = 0; step < steps; step++) for (const command of commands) record(pass, command);
  }

  /**
   * Records one compute pass into the app's own encoder; the app submits it, when it likes. Arrays are copied now, for this
   * recording alone; to record often, give GPUBuffers, which are used where they are.
   */
  encode(encoder: GPUCommandEncoder, inputs: I = {} as I, options: RunOptions<O> = {}): void {
    this.encodeWith(encoder, inputs, options, (arrays) => {
      if (arrays.length > 0) this.uploads ??= new Uploads(this.gpu);
      this.uploads?.record(encoder, arrays);
    });
  }

  private encodeWith(
    encoder: GPUCommandEncoder,
    inputs: RunInputs,
    options: RunOptions,
    upload: (arrays: Given['arrays']) => void,
  ): void {
    const { bound, arrays, packs } = this.bind(inputs, options.outputs);
    upload(arrays);
    for (const [buffer, gaps] of packs) {
      for (const [offset, size] of gaps) encoder.clearBuffer(buffer, offset, size);
    }
    const pass = encoder.beginComputePass();
    this.recordPass(pass, bound, options);
    pass.end();
  }

  /**
   * Submits: one encoder, one compute pass, whatever `steps` is. `then` may record copies behind the pass.
   *
   * @throws OptionError if inputs are missing, unknown, or of the wrong size
   */
  run(inputs: I = {} as I, options: RunOptions<O> = {}, then?: (encoder: GPUCommandEncoder) => void): void {
    const { device } = this.gpu;
    const encoder = device.createCommandEncoder();
    this.encodeWith(encoder, inputs, options, (arrays) => this.write(arrays));
    then?.(encoder);
    device.queue.submit([encoder.finish()]);
  }

  /** Profiles the program: every dispatch timed, beside what this adapter can do at best. Variables stay as they are. */
  async profile(inputs: RunInputs = {}, options: ProfileOptions = {}): Promise<Profile> {
    const { profileProgram } = await import('./profile.ts');
    return profileProgram(this, inputs, options);
  }

  /** Why each two neighbouring dispatches, or two by number, are not one: a line for each pair. */
  async explain(a?: number, b?: number): Promise<string[]> {
    const { explainSchedule } = await import('../graph/explain.ts');
    return explainSchedule(this.parts.schedule, a, b);
  }

  /** The schedule as text: what each dispatch reads, computes and stores, and between two of them why they are two. */
  async printSchedule(): Promise<string> {
    const { printExplained } = await import('../graph/explain.ts');
    return printExplained(this.parts.schedule);
  }

  /** Variables that a run changes. */
  get updated(): Variable[] {
    return [...new Set(this.parts.schedule.targets.values())];
  }

  /** Where an output lies after a run: to copy from, or to bind in the app's own kernels. */
  outputRange(name: keyof O & string): BufferRange {
    const { stored, allocation } = outputOf(this.parts, name);
    if (this.elsewhere.has(name))
      throw new OptionError(`output ${name} went to the buffer that was given: read it there`);
    // An output of the same value may have gone to a buffer of the app.
    return this.bindings.resource(allocation, stored, this.given);
  }

  /** The value of an output after the last run; bytes and what is computed of them are u32. */
  async read<N extends keyof O & string>(name: N): Promise<OutputArray<O[N]>> {
    const range = this.outputRange(name);
    if (!(range.buffer.usage & 0x04)) {
      throw new OptionError(
        `output ${name} is in a buffer of the app without COPY_SRC usage: it equals another output`,
      );
    }
    const { size, dtype } = outputOf(this.parts, name).stored;
    const values = await copyOut(this.gpu, range, dtype);
    return values.subarray(0, size) as OutputArray<O[N]>;
  }

  /** Frees the intermediate results. Variables stay: they belong to the model. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.gpu.release(this.pipelines());
    this.bindings.destroy();
    this.uploads?.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

// The steps of a run, on a device that may be lost at any time: then on the next one, from a copy of the state in host memory.
// Whoever asks for steps gets each of them once, and to the same bits.
import { DeviceLostError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { readVariable } from '../runtime/variables.ts';
import type { EpochSums, Read } from './checkpoint.ts';
import { AHEAD, MAX_STEPS } from './dataset.ts';
import { type Chunk, DeviceRun } from './device_run.ts';
import type { RunGraphs } from './graphs.ts';
import { MOST_LOSSES, nextGpu, troubleOf } from './healing.ts';
import { Pace } from './pace.ts';
import { restoreSnapshot, type Snapshot, SnapshotClock, variableIn } from './snapshots.ts';
import type { TrainerOptions } from './trainer_options.ts';

export type HealingOptions = Pick<TrainerOptions, 'compile' | 'onDeviceLost' | 'onRecovery' | 'snapshotEvery'>;

/** Where a run is. */
export interface State {
  /** Steps made, and given to whoever asked for them. */
  readonly step: number;
  readonly epochSums: EpochSums;
  /** The learning rate, where it was set while training. */
  readonly lr: number | undefined;
}

/** What a run goes on from on another device. */
interface Origin extends State {
  readonly blocks: Snapshot['blocks'] | undefined;
  /** Sets the variables, which are new there. */
  readonly restore: (gpu: Gpu) => void;
}

/** The sums with a step's terms added. */
const plus = ({ steps, sums }: EpochSums, row: Float32Array): EpochSums => ({
  steps: steps + 1,
  sums: sums.map((sum, i) => sum + row[i]!),
});

export class HealingRun {
  readonly pace = new Pace();
  private readonly graphs: RunGraphs;
  private readonly options: HealingOptions;
  private readonly clock: SnapshotClock;
  /** The caller's. */
  private readonly firstGpu: Gpu;
  private run: DeviceRun;
  private state: State;
  private origin: Origin | undefined;
  /** Steps submitted, given to somebody or not. */
  private submitted = 0;
  /** Learning rates that were set since the last snapshot, and how many steps were submitted then. */
  private rates: { readonly step: number; readonly lr: number }[] = [];
  /** Losses of the device since a step was made that had not been made before. */
  private losses = 0;
  private recovering: Promise<void> | undefined;
  /** Steps made when a device was last given up for no reason that shows. */
  private distrusted: number | undefined;
  /** Resolves when no copy is under way. */
  private copied: Promise<void> = Promise.resolve();
  /** By how much the last submit took longer because of a copy: milliseconds. */
  private copying: number | undefined;

  constructor(gpu: Gpu, graphs: RunGraphs, options: HealingOptions) {
    const { snapshotEvery } = options;
    this.graphs = graphs;
    this.options = options;
    this.clock = new SnapshotClock(snapshotEvery === undefined ? undefined : snapshotEvery * 1000);
    this.firstGpu = gpu;
    this.run = new DeviceRun(gpu, graphs);
    this.state = { step: 0, epochSums: this.noSums, lr: undefined };
  }

  private get noSums(): EpochSums {
    return { steps: 0, sums: this.graphs.terms.map(() => 0) };
  }

  get gpu(): Gpu {
    return this.run.gpu;
  }

  get device(): DeviceRun {
    return this.run;
  }

  get step(): number {
    return this.state.step;
  }

  get epochSums(): EpochSums {
    return this.state.epochSums;
  }

  /** Compiles the step. @param restore sets the variables that are not to have their first values */
  async begin(state: Partial<State>, restore: (gpu: Gpu) => void): Promise<void> {
    this.state = { ...this.state, ...state };
    this.submitted = this.step;
    const { gpu, graphs, options } = this;
    // Weights that are there already would be lost with the device.
    const known = gpu.peek(graphs.options.optimizer.parameters.flat.place()) === undefined;
    restore(gpu);
    if (known) this.origin = { ...this.state, blocks: undefined, restore };
    await this.onDevice((run) => run.compile(options.compile));
    const blocks = await this.onDevice((run) => run.state());
    if (blocks) this.setOrigin({ ...this.state, blocks });
  }

  private setOrigin(snapshot: Snapshot): void {
    this.origin = { ...snapshot, restore: (gpu) => restoreSnapshot(gpu, snapshot) };
    this.rates = this.rates.filter((rate) => rate.step >= snapshot.step);
  }

  /** Somebody wants to go on, whatever happened before. */
  retry(): void {
    this.losses = 0;
  }

  /** The epoch's means have been told. */
  endEpoch(): void {
    this.state = { ...this.state, epochSums: this.noSums };
  }

  /**
   * Makes steps, and gives the terms of each, some at a time; fewer than were asked for where a step was not made, after which
   * nothing more comes.
   *
   * @param signal ends it too, once the steps under way have been made
   */
  async *steps(end: number, signal?: AbortSignal): AsyncGenerator<{ rows: Float32Array[]; failed: boolean }> {
    const chunks: Chunk[] = [];
    this.submitted = this.step;
    let since = performance.now();
    try {
      while (this.step < end) {
        const { run } = this;
        let rows: Float32Array[] = [];
        let failed = false;
        try {
          while (chunks.length < AHEAD && this.submitted < end && !signal?.aborted) chunks.push(this.submit(run, end));
          const [chunk] = chunks;
          if (!chunk) return;
          const values = await run.orLost(chunk.values);
          chunks.shift();
          since = this.madeIn(chunk, since);
          rows = this.record(run, chunk, values);
          failed = rows.length < chunk.count;
          if (failed) await run.orLost(run.confirm());
        } catch (error) {
          await Promise.allSettled(chunks.map(({ values }) => run.orLost(values)));
          chunks.length = 0;
          if (rows.length > 0) yield { rows, failed: false };
          await this.recoverFrom(error, run);
          this.submitted = this.step;
          since = performance.now();
          continue;
        }
        yield { rows, failed };
        if (failed) return;
      }
    } finally {
      // Steps under way are made, whether or not somebody listens; if their device is lost, they have not been.
      const { run } = this;
      for (const chunk of chunks) {
        const values = await run.orLost(chunk.values).catch(() => undefined);
        if (!values) break;
        this.record(run, chunk, values);
      }
      await run.orLost(this.copied).catch(() => undefined);
    }
  }

  private submit(run: DeviceRun, end: number): Chunk {
    const { examples, optimizer } = this.graphs.options;
    const first = this.submitted;
    for (const { step, lr } of this.rates) if (step === first) optimizer.setLearningRate(run.gpu, lr);
    const change = this.rates.find(({ step }) => step > first)?.step ?? end;
    const count = Math.min(this.pace.steps(examples.steps), Math.min(end, change) - first);
    const due = this.clock.due && run.canCopy;
    if (due) this.clock.taken();
    const chunk = run.submit(first, count, due);
    this.submitted += count;
    return chunk;
  }

  /** @returns now */
  private madeIn({ count, state }: Chunk, since: number): number {
    const now = performance.now();
    const ms = now - since;
    const more = ms - count * this.pace.msPerStep;
    if (state && this.pace.msPerStep) this.copying = more;
    else if (this.copying !== undefined) {
      // What was copied is taken over by JavaScript while the next steps are made.
      this.clock.cost(this.copying + more);
      this.copying = undefined;
    } else this.pace.made(count, ms);
    return now;
  }

  private rowOf(history: Float32Array, step: number): Float32Array {
    const width = this.graphs.terms.length + 1;
    const start = (step % MAX_STEPS) * width;
    return history.subarray(start, start + width);
  }

  /** Takes note of the steps of a chunk, up to the first that was not made. */
  private record(run: DeviceRun, { first, count, state }: Chunk, history: Float32Array): Float32Array[] {
    const rows: Float32Array[] = [];
    for (let step = first; step < first + count; step++) {
      const row = this.rowOf(history, step);
      if (row.at(-1) !== 1 || step !== this.step) break;
      this.state = { ...this.state, step: step + 1, epochSums: plus(this.epochSums, row) };
      this.losses = 0;
      rows.push(row);
    }
    if (rows.length === count) this.keep(run, state, this.step, this.epochSums);
    return rows;
  }

  /** Takes a copy of the state after a step as the one to go on from, when it is there. */
  private keep(run: DeviceRun, copy: Chunk['state'], step: number, epochSums: EpochSums): void {
    if (!copy) return;
    const confirmed = async () => {
      const blocks = await copy;
      await run.confirm();
      return blocks;
    };
    this.copied = confirmed().then(
      (blocks) => {
        // A rate that was set after the last of its steps does not belong to it.
        const lr = this.rates.findLast((rate) => rate.step < step)?.lr ?? this.origin?.lr;
        this.setOrigin({ step, blocks, epochSums, lr });
      },
      // It went with its device.
      () => undefined,
    );
  }

  /** What `work` gives on the device; where that is lost meanwhile, on the next one, from the beginning. */
  async onDevice<T>(work: (run: DeviceRun) => Promise<T>): Promise<T> {
    for (;;) {
      const { run } = this;
      try {
        const made = await run.orLost(work(run));
        await run.orLost(run.confirm());
        return made;
      } catch (error) {
        await this.recoverFrom(error, run);
      }
    }
  }

  /** Resolves when the run can go on; what cannot be mended is thrown. Whoever else waits for the device waits for the same. */
  private async recoverFrom(error: unknown, run: DeviceRun): Promise<void> {
    if (run === this.run) {
      this.recovering ??= this.recover(error).finally(() => {
        this.recovering = undefined;
      });
    }
    await this.recovering;
  }

  private async recover(error: unknown): Promise<void> {
    const { compile, onDeviceLost, onRecovery } = this.options;
    let trouble = await troubleOf(error, this.gpu);
    while (trouble) {
      const lost = trouble instanceof DeviceLostError;
      const lower = this.pace.lower();
      const { origin } = this;
      if (!origin || (!lost && !lower)) throw trouble;
      if (++this.losses > MOST_LOSSES) throw lost ? this.lostForGood(trouble) : trouble;
      const before = this.gpu;
      if (lost) this.replaceRun(await nextGpu(before, trouble, onDeviceLost));
      const { run } = this;
      try {
        origin.restore(run.gpu);
        if (lost) await run.orLost(run.compile(compile));
        await this.makeAgain(run, origin);
        if (!lost) return;
        const [reason, otherAdapter] = [trouble.message, run.gpu.name !== before.name];
        onRecovery?.({ reason, from: origin.step, step: this.step, gpu: run.gpu, otherAdapter });
        return;
      } catch (again) {
        trouble = await troubleOf(again, run.gpu);
        if (!trouble) throw again;
      }
    }
    throw error;
  }

  private lostForGood({ message }: DeviceLostError): DeviceLostError {
    const cause = /\((.*?)\):/.exec(message)?.[1] ?? message;
    return new DeviceLostError(
      `the GPU device was lost ${this.losses} times in a row after step ${this.step}, without a step in between ` +
        `(${cause}): a smaller batch may keep the driver from giving up`,
    );
  }

  private replaceRun(gpu: Gpu): void {
    const { run } = this;
    this.run = new DeviceRun(gpu, this.graphs);
    run.destroy();
    // The first is the caller's, and so are those that the caller brings.
    if (run.gpu !== this.firstGpu && !this.options.onDeviceLost) run.gpu.destroy();
  }

  /** Makes the steps since then once more, and tells nobody. */
  private async makeAgain(run: DeviceRun, origin: State): Promise<void> {
    const { batch, data } = this.graphs.options;
    const beginsEpoch = (step: number) =>
      step === Math.ceil((Math.floor((step * batch) / data.train.count) * data.train.count) / batch);
    const chunks: Chunk[] = [];
    let { step, epochSums } = origin;
    this.submitted = step;
    let since = performance.now();
    while (step < this.step) {
      while (chunks.length < AHEAD && this.submitted < this.step) chunks.push(this.submit(run, this.step));
      const chunk = chunks.shift()!;
      const history = await run.orLost(chunk.values);
      since = this.madeIn(chunk, since);
      for (const end = step + chunk.count; step < end; step++) {
        epochSums = plus(beginsEpoch(step) ? this.noSums : epochSums, this.rowOf(history, step));
      }
      this.keep(run, chunk.state, step, epochSums);
    }
  }

  /**
   * Goes on with another device, from the last copy: for a step that failed on this one, and shows nothing wrong when it is looked at.
   * Once a step.
   *
   * @returns whether there is another, so that the step can be tried there
   */
  async distrust(): Promise<boolean> {
    const { run, step } = this;
    if (this.distrusted === step || (!run.gpu.requestAgain && !this.options.onDeviceLost)) return false;
    this.distrusted = step;
    const reason = `the GPU device failed at step ${step + 1}, and shows nothing wrong with it`;
    await this.recoverFrom(new DeviceLostError(reason), run);
    return true;
  }

  /** Sets the learning rate of the steps to come. @throws OptionError if it is none */
  setLearningRate(lr: number): void {
    try {
      this.graphs.options.optimizer.setLearningRate(this.gpu, lr);
    } catch (error) {
      // The next device gets it.
      if (!(error instanceof DeviceLostError)) throw error;
    }
    this.state = { ...this.state, lr };
    this.rates.push({ step: this.recovering ? this.step : this.submitted, lr });
  }

  /** Encodes the state on the device or, where that is lost and no other is to be had, the last that is in host memory. */
  async encoded<T>(encode: (read: Read, state: State) => Promise<T>): Promise<T> {
    try {
      return await this.onDevice((run) => encode((variable) => readVariable(run.gpu, variable), this.state));
    } catch (error) {
      const { origin } = this;
      if (!(error instanceof DeviceLostError) || !origin?.blocks || this.gpu.isDestroyed) throw error;
      return encode((variable) => variableIn(origin.blocks!, variable), origin);
    }
  }

  destroy(): void {
    this.run.destroy();
  }
}

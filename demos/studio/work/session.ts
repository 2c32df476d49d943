// A run under way in a worker: it trains, tells, and writes itself into the store every few seconds.
import type { EpochEvent, Means, StepEvent, TrainEvent } from '../../../src/train/events.ts';
import type { Recovery } from '../../../src/train/healing.ts';
import type { ShownText } from '../../../src/train/texts.ts';
import type { Trainer } from '../../../src/train/trainer.ts';
import type { ShownPicture } from '../../../src/train/trainer_options.ts';
import { drawPicture } from '../../../src/view/pictures.ts';
import { lineOf } from '../parts/errors.ts';
import type { RunRecord } from '../store/record.ts';
import type { RunWriter } from '../store/writer.ts';

/** Between samples of what it makes, and between snapshots: milliseconds. Where they take long, more, so that most time goes into training. */
const SAMPLE_INTERVAL = 2500;
const SAMPLE_SHARE = 0.1;
const SNAPSHOT_INTERVAL = 5000;
const SNAPSHOT_SHARE = 0.02;
/** Between two tellings of progress: milliseconds. */
const TELL_INTERVAL = 100;

/** A picture as a bitmap, drawn by the worker. */
export interface DrawnPicture {
  readonly name: string;
  readonly caption: string;
  readonly bitmap: ImageBitmap;
}

export interface Progress {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  readonly epochs: number;
  readonly batch: number;
  readonly terms: readonly string[];
  readonly latest: StepEvent | undefined;
  /** Of the last epoch, or of the end of the run if that is within one. */
  readonly test: Means | undefined;
  /** Seconds that it has trained, and that it will take from here. */
  readonly seconds: number;
  readonly secondsLeft: number | undefined;
  /** Events since the last telling. */
  readonly events: readonly TrainEvent[];
  /** The step that the newest snapshot is of. */
  readonly savedStep: number;
  /** Bytes through which images are streamed, where they do not fit. */
  readonly streamedThrough: number | undefined;
}

export interface Listener {
  progress(progress: Progress): void;
  pictures(pictures: readonly DrawnPicture[]): void;
  texts(texts: readonly ShownText[]): void;
  /** Something that does not end the run, and undefined when it is over: snapshots that find no room, say. */
  trouble(line: string | undefined, isQuota: boolean): void;
  /** The device was lost, and the run goes on with another. */
  recovered(recovery: Recovered): void;
}

export interface Recovered {
  /** What was wrong with the device before. */
  readonly reason: string;
  /** The step that it went on from, and the one that it had reached. */
  readonly from: number;
  readonly step: number;
  /** Where it is another one than before: its bits may differ. */
  readonly adapter?: string | undefined;
}

/** Tells a page of it. */
export const tellRecovery =
  (listener: Listener) =>
  ({ reason, from, step, otherAdapter, gpu }: Recovery): void =>
    listener.recovered({ reason, from, step, adapter: otherAdapter ? gpu.name : undefined });

export function draw({ name, caption, ...picture }: ShownPicture): DrawnPicture {
  const canvas = new OffscreenCanvas(1, 1);
  drawPicture(canvas, picture);
  return { name, caption, bitmap: canvas.transferToImageBitmap() };
}

export class Session {
  readonly trainer: Trainer;
  readonly writer: RunWriter;
  private readonly listener: Listener;
  private latest: StepEvent | undefined;
  private lastEpoch: EpochEvent | undefined;
  private test: Means | undefined;
  private untold: TrainEvent[] = [];
  private unsaved: TrainEvent[] = [];
  private turn = new AbortController();
  private wantsPause = false;
  private playing: Promise<void> | undefined;
  private seconds: number;
  private since: number | undefined;
  /** Milliseconds a step, smoothed. */
  private pace: number | undefined;
  private nextSamples = 0;
  private nextSnapshot = 0;
  private nextTelling = 0;
  private isTroubled = false;

  constructor(trainer: Trainer, writer: RunWriter, listener: Listener, before: readonly TrainEvent[]) {
    this.trainer = trainer;
    this.writer = writer;
    this.listener = listener;
    this.seconds = writer.record.seconds;
    this.untold = [...before];
    for (const event of before) this.note(event);
  }

  get isDone(): boolean {
    return this.trainer.step >= this.trainer.totalSteps;
  }

  private note(event: TrainEvent): void {
    if (event.event === 'epoch') {
      this.lastEpoch = event;
      this.test = event.test;
    } else this.latest = event;
  }

  private get elapsed(): number {
    return this.seconds + (this.since === undefined ? 0 : (performance.now() - this.since) / 1000);
  }

  tell(): void {
    const { trainer, latest, test, untold, pace, writer } = this;
    const { step, totalSteps, epochs, batch, terms, streamedThrough } = trainer;
    const left = pace === undefined ? undefined : ((totalSteps - step) * pace) / 1000;
    this.untold = [];
    this.listener.progress({
      ...{ step, totalSteps, epochs, batch, terms, streamedThrough, latest, test, events: untold },
      ...{ epoch: Math.min(trainer.epoch, epochs), seconds: this.elapsed, secondsLeft: left },
      savedStep: writer.record.step,
    });
    this.nextTelling = performance.now() + TELL_INTERVAL;
  }

  /** Shows what the model makes by now: pictures, or text. */
  async showSamples(): Promise<void> {
    const start = performance.now();
    this.listener.pictures((await this.trainer.pictures()).map(draw));
    this.listener.texts(await this.trainer.texts());
    const end = performance.now();
    this.nextSamples = end + Math.max(SAMPLE_INTERVAL, (end - start) / SAMPLE_SHARE);
  }

  /** Trains until it is paused or done. @throws what ended it; the run is saved as failed */
  play(): Promise<void> {
    this.wantsPause = false;
    this.playing = this.loop();
    return this.playing;
  }

  private async loop(): Promise<void> {
    const now = performance.now();
    this.since = now;
    this.nextSamples = now + SAMPLE_INTERVAL;
    this.nextSnapshot = now + SNAPSHOT_INTERVAL;
    try {
      // Whatever ends the tab from here on, it was interrupted.
      await this.writer.commit({ changes: { state: 'training' } }).catch((error) => this.tellRoom(error));
      do {
        await this.run();
        if (this.isDone) await this.testAtEnd();
        await this.save(this.isDone ? 'done' : this.wantsPause ? 'paused' : 'training');
        this.tell();
      } while (!this.wantsPause && !this.isDone);
      await this.showSamples();
    } catch (error) {
      await this.saveFailure(error);
      throw error;
    } finally {
      this.seconds = this.elapsed;
      this.since = undefined;
      this.tell();
    }
  }

  /** Until a snapshot is due, or the run is paused or done. */
  private async run(): Promise<void> {
    this.turn = new AbortController();
    if (this.wantsPause) return;
    const begun = performance.now();
    const first = this.trainer.step;
    for await (const event of this.trainer.train(this.turn.signal)) {
      this.note(event);
      this.untold.push(event);
      this.unsaved.push(event);
      const now = performance.now();
      const made = this.trainer.step - first;
      if (made > 0) this.pace = (now - begun) / made;
      if (event.event === 'epoch' || now >= this.nextTelling) this.tell();
      if (now >= this.nextSamples) await this.showSamples();
      // Steps under way are made and told before the loop ends: the snapshot is of the last of them.
      if (now >= this.nextSnapshot) this.turn.abort();
    }
  }

  /** Of a run that ends within an epoch, there has been no test of what it learned. */
  private async testAtEnd(): Promise<void> {
    const { trainer, lastEpoch } = this;
    if (lastEpoch && trainer.stepsUntil(lastEpoch.epoch) === trainer.step) return;
    this.test = await trainer.evaluate();
  }

  private async save(state: RunRecord['state']): Promise<void> {
    const start = performance.now();
    try {
      const snapshot = await this.trainer.checkpoint();
      const { step, totalSteps } = this.trainer;
      const { test } = this;
      const changes = { state, step, totalSteps, seconds: this.elapsed, failure: undefined, ...(test && { test }) };
      await this.writer.commit({ snapshot, events: this.unsaved, changes });
      this.unsaved = [];
      if (this.isTroubled) this.listener.trouble(undefined, false);
      this.isTroubled = false;
    } catch (error) {
      this.tellRoom(error);
    }
    const end = performance.now();
    this.nextSnapshot = end + Math.max(SNAPSHOT_INTERVAL, (end - start) / SNAPSHOT_SHARE);
  }

  /** Training goes on: what was not saved now is saved when there is room again. @throws what is no want of room */
  private tellRoom(error: unknown): void {
    if (!(error instanceof Error && error.name === 'QuotaError')) throw error;
    this.isTroubled = true;
    this.listener.trouble(lineOf(error), true);
  }

  /** What it had learned, if the device is still there to read it; the snapshot before otherwise. */
  private async saveFailure(error: unknown): Promise<void> {
    const changes = { state: 'failed', failure: lineOf(error), seconds: this.elapsed } as const;
    try {
      const snapshot = await this.trainer.checkpoint();
      await this.writer.commit({ snapshot, events: this.unsaved, changes: { ...changes, step: this.trainer.step } });
      this.unsaved = [];
    } catch {
      await this.writer.commit({ changes }).catch(() => {});
    }
  }

  /** Resolves once the steps under way have been made and saved. */
  async pause(): Promise<void> {
    this.wantsPause = true;
    this.turn.abort();
    // Whoever called play() is told of its failure.
    await this.playing?.catch(() => {});
  }

  async close(): Promise<void> {
    await this.pause();
    this.trainer.destroy();
    this.writer.close();
  }
}

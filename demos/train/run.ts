// A run on the page: the trainer, its curve and its pictures, and a loop that can pause.
import type { EpochEvent, StepEvent } from '../../src/train/events.ts';
import type { ShownText } from '../../src/train/texts.ts';
import type { ShownPicture, Trainer } from '../../src/train/trainer.ts';
import { LossCurve } from '../../src/view/plot.ts';

/** Between pictures: milliseconds. On a slow adapter more, so that most of the time goes into training. */
const PICTURE_INTERVAL = 2500;
const PICTURE_SHARE = 0.1;
/** Between updates of the numbers: milliseconds. */
const VIEW_INTERVAL = 100;

export interface RunView {
  showProgress(run: Run): void;
  showPictures(pictures: readonly ShownPicture[]): void;
  showTexts(texts: readonly ShownText[]): void;
}

export class Run {
  readonly trainer: Trainer;
  readonly curve: LossCurve;
  latest: StepEvent | undefined;
  lastEpoch: EpochEvent | undefined;
  private readonly view: RunView;
  private pausing: AbortController | undefined;
  private playing: Promise<void> | undefined;
  private nextPictures = 0;
  private nextView = 0;

  /** Shows what the model makes of the data before it has learned anything, which also compiles what shows it. */
  static async create(trainer: Trainer, view: RunView): Promise<Run> {
    const run = new Run(trainer, view);
    view.showProgress(run);
    view.showPictures(await trainer.pictures());
    view.showTexts(await trainer.texts());
    return run;
  }

  private constructor(trainer: Trainer, view: RunView) {
    this.trainer = trainer;
    this.view = view;
    this.curve = new LossCurve((epoch) => trainer.stepsUntil(epoch));
  }

  get isDone(): boolean {
    return this.trainer.step >= this.trainer.totalSteps;
  }

  /** Trains until it is paused or done. */
  play(): Promise<void> {
    this.pausing = new AbortController();
    this.nextPictures = performance.now() + PICTURE_INTERVAL;
    this.playing = this.loop(this.pausing.signal);
    return this.playing;
  }

  /** Resolves once the steps under way have been made. */
  async pause(): Promise<void> {
    this.pausing?.abort();
    // Whoever called play() is told of its failure.
    await this.playing?.catch(() => {});
  }

  private async loop(signal: AbortSignal): Promise<void> {
    try {
      for await (const event of this.trainer.train(signal)) {
        this.curve.add(event);
        if (event.event === 'epoch') this.lastEpoch = event;
        else this.latest = event;
        const now = performance.now();
        if (event.event === 'epoch' || now >= this.nextPictures) await this.refreshPictures();
        if (event.event === 'step' && now < this.nextView) continue;
        this.nextView = now + VIEW_INTERVAL;
        this.view.showProgress(this);
      }
      await this.refreshPictures();
    } finally {
      this.view.showProgress(this);
    }
  }

  private async refreshPictures(): Promise<void> {
    const start = performance.now();
    this.view.showPictures(await this.trainer.pictures());
    this.view.showTexts(await this.trainer.texts());
    const end = performance.now();
    this.nextPictures = end + Math.max(PICTURE_INTERVAL, (end - start) / PICTURE_SHARE);
  }

  async destroy(): Promise<void> {
    await this.pause();
    this.trainer.destroy();
  }
}

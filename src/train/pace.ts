// How many steps a submit holds: as many as take a tenth of a second, and fewer after a device had to give up on them.
import { MAX_STEPS } from './dataset.ts';

/** A submit should take about this long, so that a page stays alive: milliseconds. */
const SUBMIT_MS = 100;
/** Submits that go well, after which twice as many steps are tried again. */
const CALM = 20;
/** What a device that gave up is asked for next. */
const PART = 1 / 4;

export class Pace {
  /** Of the last submit; 0 before the first. */
  msPerStep = 0;
  private most = MAX_STEPS;
  private calm = 0;

  /** As many steps as take about SUBMIT_MS; the first, whose time nobody knows, goes alone. */
  steps(limit: number, msPerStep = this.msPerStep): number {
    return msPerStep ? Math.max(1, Math.min(this.most, limit, Math.round(SUBMIT_MS / msPerStep))) : 1;
  }

  /** A submit of so many steps has been made. */
  made(steps: number, ms: number): void {
    this.msPerStep = ms / steps;
    this.calm++;
    if (this.calm % CALM === 0) this.most = Math.min(MAX_STEPS, this.most * 2);
  }

  /** Fewer steps a submit from now on. @returns whether that is possible */
  lower(): boolean {
    this.calm = 0;
    const before = Math.min(this.most, this.steps(MAX_STEPS));
    this.most = Math.max(1, Math.floor(before * PART));
    return before > 1;
  }
}

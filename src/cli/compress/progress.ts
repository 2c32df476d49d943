// How far a coder has come, and how long it took: of images and of text alike.
import { ProgressBar, showDuration } from '../progress.ts';

/** Between two tellings: milliseconds. */
const INTERVAL = 200;

export class CodingProgress {
  private readonly bar = new ProgressBar();
  private readonly isShown: boolean;
  private readonly what: string;
  private readonly unit: string;
  private began = performance.now();
  private told = 0;

  /**
   * @param isShown false where standard output is for a program
   * @param what `compressing`
   * @param unit `images`
   */
  constructor(isShown: boolean, what: string, unit: string) {
    this.isShown = isShown;
    this.what = what;
    this.unit = unit;
  }

  start(): void {
    this.began = this.told = performance.now();
    if (this.isShown) this.bar.start(1, 0, `${this.what} …`);
  }

  tell(done: number, total: number): void {
    const now = performance.now();
    if (!this.isShown || now - this.told < INTERVAL) return;
    this.told = now;
    const perSecond = done / this.seconds;
    const left = showDuration((total - done) / perSecond);
    const far = `${done.toLocaleString('en')} of ${total.toLocaleString('en')} ${this.unit}`;
    this.bar.update(total, done, `${this.what}: ${far} · ${Math.round(perSecond)} a second, ${left} left`);
  }

  print(line: string): void {
    if (this.isShown) this.bar.print(line);
  }

  get seconds(): number {
    return (performance.now() - this.began) / 1000;
  }

  close(): void {
    this.bar.close();
  }
}

/** `8.0 s (networks 5.1 s, coder 2.0 s)`, of seconds. */
export function showTime({ seconds, networks, coder }: Record<'seconds' | 'networks' | 'coder', number>): string {
  return `${seconds.toFixed(1)} s (networks ${networks.toFixed(1)} s, coder ${coder.toFixed(1)} s)`;
}

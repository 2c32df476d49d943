// Progress: a bar on standard error where that is a terminal, and a line on standard output every so often where not.
import { clearLine, cursorTo } from 'node:readline';
import cliProgress from 'cli-progress';

/** Between lines of progress where there is no bar: milliseconds. */
const LINE_INTERVAL = 5000;

export class ProgressBar {
  private bars: cliProgress.MultiBar | undefined;
  private bar: cliProgress.SingleBar | undefined;
  private lastLine = performance.now();

  /** Shows a bar at once, where there is a terminal: there may be nothing to tell of for a while. */
  start(total: number, done: number, status: string): void {
    if (!process.stderr.isTTY) return;
    this.close();
    // Of cli-progress's bars, this kind does not put the cursor back to where it was, over lines printed since.
    this.bars = new cliProgress.MultiBar(
      { format: '{bar} {status}', barsize: 16, fps: 5, clearOnComplete: true, linewrap: false, gracefulExit: false },
      cliProgress.Presets.shades_classic,
    );
    // Who ends the process at once gets the terminal's line wrapping back all the same.
    process.once('exit', () => this.close());
    this.bar = this.bars.create(total, done, { status });
  }

  /** @param status what stands beside the bar, or on the line */
  update(total: number, done: number, status: string): void {
    if (!this.bar) this.start(total, done, status);
    if (this.bar) {
      this.bar.setTotal(total);
      this.bar.update(done, { status });
    } else if (performance.now() - this.lastLine >= LINE_INTERVAL) {
      this.lastLine = performance.now();
      this.print(status);
    }
  }

  /** A line on standard output. It steps over the bar, which comes back with the next update. */
  print(line: string): void {
    if (this.bar) {
      clearLine(process.stderr, 0);
      cursorTo(process.stderr, 0);
    }
    process.stdout.write(`${line}\n`);
  }

  close(): void {
    this.bars?.stop();
    this.bars = this.bar = undefined;
  }
}

/** A JSON line on standard output. */
export function printJson(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** `8 s`, `3 min 5 s`, `2 h 4 min`. */
export function showDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

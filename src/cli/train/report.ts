// What a run says while it runs: to people, or as JSON lines.
import { clearLine, cursorTo } from 'node:readline';
import cliProgress from 'cli-progress';
import { describeTerm, type EpochEvent, type Means, type StepEvent, type TrainEvent } from '../../train/events.ts';
import type { ReadingEvent, StartEvent } from './protocol.ts';

export interface RunStart extends StartEvent {
  readonly model: string;
  readonly batch: number;
  readonly data: StartEvent['data'] & { readonly builtIn: boolean };
  /** The run folder. */
  readonly out: string;
}

export interface RunEnd {
  readonly event: 'done' | 'stopped';
  readonly step: number;
  readonly test?: Means;
  readonly seconds: number;
  readonly out: string;
  readonly files: readonly string[];
  /** The command that goes on. */
  readonly resume: string;
}

export interface Report {
  reading(reading: ReadingEvent): void;
  start(start: RunStart): void;
  /** @param latest the last step made, which need not be among the events */
  events(events: readonly TrainEvent[], latest?: StepEvent): void;
  file(name: string): void;
  /** The page was asked to stop. */
  stopping(): void;
  /** Nothing more comes from the page; an error may be printed next. */
  close(): void;
  end(end: RunEnd): void;
}

/** One JSON line an event. */
export class JsonReport implements Report {
  reading(): void {}

  start(start: RunStart): void {
    this.print(start);
  }

  events(events: readonly TrainEvent[]): void {
    events.forEach(this.print);
  }

  file(name: string): void {
    this.print({ event: 'file', name });
  }

  stopping(): void {}

  close(): void {}

  end(end: RunEnd): void {
    this.print(end);
  }

  private print(event: object): void {
    process.stdout.write(`${JSON.stringify(event)}\n`);
  }
}

/** Without a terminal, a line of progress every so often instead of a bar: milliseconds. */
const LINE_INTERVAL = 5000;

/** Lines on standard output; the bar on standard error, so that output can go to a file. */
export class TextReport implements Report {
  private run: RunStart | undefined;
  private bars: cliProgress.MultiBar | undefined;
  private bar: cliProgress.SingleBar | undefined;
  private began = 0;
  private lastLine = performance.now();
  /** Moving average, so that the number can be read. */
  private msPerStep = 0;

  reading({ done, total }: ReadingEvent): void {
    const status = `reading images: ${done} of ${total}`;
    if (process.stderr.isTTY) {
      this.bar ??= this.createBar(total, done, status);
      this.bar.update(done, { status });
    } else if (performance.now() - this.lastLine >= LINE_INTERVAL) {
      this.lastLine = performance.now();
      this.print(status);
    }
  }

  start(start: RunStart): void {
    this.close();
    this.run = start;
    this.began = performance.now();
    const { adapter, software, model, weights, data, out, step, totalSteps } = start;
    const source = data.builtIn ? 'built-in stroke digits, because no --data was given' : data.name;
    const size = [data.height, data.width, ...(data.channels > 1 ? [data.channels] : [])].join('×');
    const counts = `${data.train} training and ${data.test} test images of ${size}`;
    this.print(`adapter     ${adapter}${software ? ': no GPU was found, so this takes longer' : ''}`);
    const { streamedThrough } = data;
    const stream = streamedThrough ? `, streamed through ${Math.ceil(streamedThrough / 1e6)} MB on the GPU` : '';
    this.print(`data        ${source}: ${counts}${stream}`);
    this.print(`model       ${model}, ${weights.toLocaleString('en')} weights`);
    this.print(`run folder  ${out}`);
    if (step > 0) this.print(`resumed     after step ${step} of ${totalSteps}`);
    if (!process.stderr.isTTY) return;
    this.bar = this.createBar(totalSteps, step, 'compiling …');
  }

  private createBar(total: number, done: number, status: string): cliProgress.SingleBar {
    // Of cli-progress's bars, this kind does not put the cursor back to where it was, over lines printed since.
    this.bars = new cliProgress.MultiBar(
      { format: '{bar} {status}', barsize: 16, fps: 5, clearOnComplete: true, linewrap: false, gracefulExit: false },
      cliProgress.Presets.shades_classic,
    );
    // A second Ctrl-C ends the process at once; the terminal gets its line wrapping back all the same.
    process.once('exit', () => this.close());
    return this.bars.create(total, done, { status });
  }

  events(events: readonly TrainEvent[], latest?: StepEvent): void {
    for (const event of events) if (event.event === 'epoch') this.print(this.epochLine(event));
    if (!latest || !this.run) return;
    this.msPerStep = this.msPerStep ? 0.8 * this.msPerStep + 0.2 * latest.msPerStep : latest.msPerStep;
    const status = this.status(latest, this.run);
    if (this.bar) {
      this.bar.update(latest.step, { status });
    } else if (performance.now() - this.lastLine >= LINE_INTERVAL) {
      this.lastLine = performance.now();
      this.print(status);
    }
  }

  private status(latest: StepEvent, { terms, batch, step, totalSteps }: RunStart): string {
    const seconds = (performance.now() - this.began) / 1000;
    const left = (seconds / Math.max(1, latest.step - step)) * (totalSteps - latest.step);
    return [
      `step ${latest.step}/${totalSteps}`,
      describeTerms(terms, latest),
      `${Math.round((1000 * batch) / this.msPerStep)} images/s`,
      `${showDuration(left)} left`,
    ].join(' · ');
  }

  private epochLine({ epoch, train, test }: EpochEvent): string {
    const terms = this.run?.terms ?? Object.keys(train);
    return `epoch ${epoch}: train ${describeTerms(terms, train)} · test ${describeTerms(terms, test)}`;
  }

  /** Steps over the bar, which comes back with the next step. */
  private print(line: string): void {
    if (this.bar) {
      clearLine(process.stderr, 0);
      cursorTo(process.stderr, 0);
    }
    process.stdout.write(`${line}\n`);
  }

  file(): void {}

  stopping(): void {
    this.print('stopping, with a checkpoint …');
  }

  close(): void {
    this.bars?.stop();
    this.bars = this.bar = undefined;
  }

  end({ event, step, test, seconds, out, files, resume }: RunEnd): void {
    const after = `after step ${step}, ${showDuration(seconds)}`;
    if (event === 'stopped') {
      this.print(`stopped ${after}; the checkpoint is in ${out}`);
      this.print(`go on with: ${resume}`);
      return;
    }
    const result = test ? `: test ${describeTerms(this.run?.terms ?? Object.keys(test), test)}` : '';
    this.print(`done ${after}${result}`);
    this.print(`in ${out}: ${files.join(', ')}`);
  }
}

function describeTerms(terms: readonly string[], means: StepEvent | Means): string {
  return terms
    .map((name) => describeTerm(name, Number(means[name])))
    .map(({ label, text }) => `${label} ${text}`)
    .join(', ');
}

export function showDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

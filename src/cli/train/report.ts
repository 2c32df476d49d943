// What a run says while it runs: to people, or as JSON lines.

import { describeVocabulary } from '../../data/vocabulary.ts';
import { describeTerm, type EpochEvent, type Means, type StepEvent, type TrainEvent } from '../../train/events.ts';
import { examplesOf } from '../../train/registry/registry.ts';
import { ProgressBar, printJson, showDuration } from '../progress.ts';
import type { ReadingEvent, RecoveredEvent, StartEvent } from './protocol.ts';

export interface RunStart extends StartEvent {
  readonly model: string;
  readonly batch: number;
  /** The file of the weights that it begins with. */
  readonly init: string | undefined;
  /** Steps in which the weight of the KL term rises; 0 for none. */
  readonly warmup: number;
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
  recovered(event: RecoveredEvent): void;
  /** Something went wrong without ending the run. */
  warn(message: string): void;
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
    printJson(start);
  }

  events(events: readonly TrainEvent[]): void {
    events.forEach(printJson);
  }

  file(name: string): void {
    printJson({ event: 'file', name });
  }

  recovered(event: RecoveredEvent): void {
    printJson(event);
  }

  warn(message: string): void {
    printJson({ event: 'warning', message });
  }

  stopping(): void {}

  close(): void {}

  end(end: RunEnd): void {
    printJson(end);
  }
}

/** Lines on standard output; the bar on standard error, so that output can go to a file. */
export class TextReport implements Report {
  private run: RunStart | undefined;
  private readonly progress = new ProgressBar();
  private began = 0;
  /** Moving average, so that the number can be read. */
  private msPerStep = 0;

  reading({ done, total }: ReadingEvent): void {
    if (done < total) this.progress.update(total, done, `reading: ${done} of ${total} files`);
    else this.progress.start(1, 0, 'compiling …');
  }

  start(start: RunStart): void {
    this.close();
    this.run = start;
    this.began = performance.now();
    const { adapter, software, model, weights, init, warmup, data, out, step, totalSteps } = start;
    const { vocabulary, images } = data;
    const what = vocabulary ? 'sentences of a grammar' : 'stroke digits';
    const source = data.builtIn ? `built-in ${what}, because no --data was given` : data.name;
    const { height = 0, width = 0, channels = 1 } = images ?? {};
    const kind = vocabulary
      ? `tokens, of a vocabulary of ${describeVocabulary(vocabulary)}`
      : `images of ${[height, width, ...(channels > 1 ? [channels] : [])].join('×')}`;
    const counts = `${data.train.toLocaleString('en')} training and ${data.test.toLocaleString('en')} test ${kind}`;
    this.print(`adapter     ${adapter}${software ? ': no GPU was found, so this takes longer' : ''}`);
    const { streamedThrough } = data;
    const stream = streamedThrough ? `, streamed through ${Math.ceil(streamedThrough / 1e6)} MB on the GPU` : '';
    this.print(`data        ${source}: ${counts}${stream}`);
    const begun = init === undefined ? '' : `, which begin as those of ${init}`;
    this.print(`model       ${model}, ${weights.toLocaleString('en')} weights${begun}`);
    if (step < warmup) {
      const full = warmup.toLocaleString('en');
      const never = totalSteps < warmup ? `, which this run of ${totalSteps.toLocaleString('en')} does not reach` : '';
      this.print(
        `warm-up     train losses have a part of the KL term, test losses all of it, until step ${full}${never}`,
      );
    }
    this.print(`run folder  ${out}`);
    if (step > 0) this.print(`resumed     after step ${step} of ${totalSteps}`);
    this.progress.start(totalSteps, step, 'compiling …');
  }

  events(events: readonly TrainEvent[], latest?: StepEvent): void {
    for (const event of events) if (event.event === 'epoch') this.print(this.epochLine(event));
    if (!latest || !this.run) return;
    this.msPerStep = this.msPerStep ? 0.8 * this.msPerStep + 0.2 * latest.msPerStep : latest.msPerStep;
    this.progress.update(this.run.totalSteps, latest.step, this.status(latest, this.run));
  }

  private status(latest: StepEvent, { model, terms, batch, step, totalSteps }: RunStart): string {
    const seconds = (performance.now() - this.began) / 1000;
    const left = (seconds / Math.max(1, latest.step - step)) * (totalSteps - latest.step);
    const perSecond = (1000 * batch) / this.msPerStep;
    return [
      `step ${latest.step}/${totalSteps}`,
      describeTerms(terms, latest),
      `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)} ${examplesOf(model)}/s`,
      `${showDuration(left)} left`,
    ].join(' · ');
  }

  private epochLine({ epoch, train, test }: EpochEvent): string {
    const terms = this.run?.terms ?? Object.keys(train);
    return `epoch ${epoch}: train ${describeTerms(terms, train)}${test ? ` · test ${describeTerms(terms, test)}` : ''}`;
  }

  private print(line: string): void {
    this.progress.print(line);
  }

  file(): void {}

  recovered({ reason, step, adapter }: RecoveredEvent): void {
    const other = adapter ? `, on ${adapter}: the bits may be others from here` : '';
    this.print(`going on from step ${step}${other}: ${reason.split(':')[0]}`);
  }

  warn(message: string): void {
    this.print(message);
  }

  stopping(): void {
    this.print('stopping, with a checkpoint …');
  }

  close(): void {
    this.progress.close();
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

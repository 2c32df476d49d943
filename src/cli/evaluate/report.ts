// What `npm run evaluate` says: to people, or as JSON lines.
import { IN_USE } from '../../train/evaluate.ts';
import { ProgressBar, printJson, showDuration } from '../progress.ts';
import type { ProgressEvent, Result, StartEvent, Summary } from './protocol.ts';

export interface RunEnd extends Result {
  readonly event: 'done';
  readonly seconds: number;
}

export interface Report {
  start(start: StartEvent): void;
  progress(event: ProgressEvent): void;
  /** Nothing more comes from the page; an error may be printed next. */
  close(): void;
  end(end: RunEnd): void;
}

/** The protocol: what a pixel is here, without which a likelihood compares with none. */
const PIXELS: Readonly<Record<StartEvent['data']['binarize'], (seed: number) => string>> = {
  none: () => 'as they are',
  dynamic: (seed) => `binary: drawn once from the intensities, by seed ${seed} (training: drawn anew in each step)`,
  threshold: () => 'binary: white from 128',
};

/** One JSON line an event. */
export class JsonReport implements Report {
  start(start: StartEvent): void {
    printJson(start);
  }

  progress(): void {}

  close(): void {}

  end(end: RunEnd): void {
    printJson(end);
  }
}

/** Lines on standard output; the bar on standard error, so that output can go to a file. */
export class TextReport implements Report {
  private run: StartEvent | undefined;
  private readonly bar = new ProgressBar();
  /** The first progress, before which kernels were compiled. */
  private first: { readonly done: number; readonly at: number } | undefined;

  start(start: StartEvent): void {
    this.run = start;
    const { adapter, software, checkpoint, model, weights, trained, data } = start;
    const on = [
      `${weights.toLocaleString('en')} weights`,
      ...(trained.steps === undefined ? [] : [`after step ${trained.steps}`]),
      ...(trained.data === undefined ? [] : [`trained on ${trained.data}`]),
    ].join(', ');
    const images = data.images < data.test ? `the first ${data.images} of ${data.test}` : `${data.test}`;
    const builtIn = data.kind === 'image' ? 'built-in stroke digits' : 'built-in sentences';
    const source = data.builtIn ? builtIn : data.name;
    this.bar.print(`adapter     ${adapter}${software ? ': no GPU was found, so this takes longer' : ''}`);
    this.bar.print(`checkpoint  ${checkpoint}: ${model}, ${on}`);
    this.bar.print(`data        ${source}: ${images} test ${data.kind}s of ${data.size}`);
    if (data.kind === 'image') this.bar.print(`pixels      ${PIXELS[data.binarize](data.seed)}`);
    this.bar.start(1, 0, 'compiling …');
  }

  progress({ done, total }: ProgressEvent): void {
    const now = performance.now();
    this.first ??= { done, at: now };
    const perSecond = (1000 * (done - this.first.done)) / (now - this.first.at);
    const left =
      perSecond > 0 ? `${Math.round(perSecond)} a second, ${showDuration((total - done) / perSecond)} left` : '…';
    const percent = Math.floor((100 * done) / total);
    this.bar.update(total, done, `${percent} % of ${total.toLocaleString('en')} samples · ${left}`);
  }

  close(): void {
    this.bar.close();
  }

  end({ images, tokens, loss, reconstruction, kl, layers, nll, seconds }: RunEnd): void {
    const rows: [string, Summary, Summary?][] = [
      ['ELBO, as a loss', loss],
      ['  reconstruction', reconstruction],
      ['  KL', kl],
      ...nll.map((bound): [string, Summary, Summary] => [`−log p(x), K = ${bound.samples}`, bound, bound.below]),
    ];
    const cells = rows.map(([name, ...values]) => [name, ...values.map((value) => (value ? show(value) : ''))]);
    const { kind = 'image' } = this.run?.data ?? {};
    this.bar.print('');
    for (const line of table([[`nats per ${kind}`, 'mean ± error', 'below the ELBO'], ...cells])) this.bar.print(line);
    for (const line of layerLines(layers, kind)) this.bar.print(line);
    const over = images > 1 ? `± is the standard error of the mean over ${images} ${kind}s. ` : '';
    this.bar.print(`\n${over}The estimates of −log p(x) come down to its true value from above, as K grows.`);
    const best = nll.at(-1);
    if (tokens && best) {
      const perplexity = Math.exp((best.mean * images) / tokens).toFixed(3);
      this.bar.print(
        `Perplexity ${perplexity}, by K = ${best.samples}, of ${tokens} tokens, the ends of sentences among them.`,
      );
    }
    const { beta = 1, particles = 1 } = this.run?.trained ?? {};
    if (particles > 1) this.bar.print(`The model was trained by the bound of K = ${particles}.`);
    else if (beta !== 1) this.bar.print(`The model was trained with beta ${beta}; the ELBO here is that of beta 1.`);
    this.bar.print(`done after ${showDuration(seconds)}`);
  }
}

/** `0–3, 7`: numbers in ascending order. */
function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last && number === last[1] + 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(', ');
}

/** Of many, the first ranges say enough; the JSON has all. */
const MOST_SHOWN = 60;

function layerLines(layers: Result['layers'], kind: string): string[] {
  const rows = layers.map(({ name, size, kl, used }) => {
    const all = ranges(used);
    const shown = all.length > MOST_SHOWN ? `${all.slice(0, MOST_SHOWN)}…` : all;
    return { cells: [name, kl.toFixed(3), `${used.length} of ${size}`], shown: used.length < size ? shown : '' };
  });
  const lines = table([['layer of the code', 'KL', 'in use'], ...rows.map(({ cells }) => cells)]);
  return [
    '',
    ...lines.map((line, i) => (i > 0 && rows[i - 1]!.shown ? `${line}   ${rows[i - 1]!.shown}` : line)),
    `In use: numbers with a KL of at least ${IN_USE} nats, averaged over the ${kind}s.`,
  ];
}

function show({ mean, standardError }: Summary): string {
  return Number.isFinite(standardError) ? `${mean.toFixed(3)} ± ${standardError.toFixed(3)}` : mean.toFixed(3);
}

/** Names to the left, numbers to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]! + 3)))
      .join('')
      .trimEnd(),
  );
}

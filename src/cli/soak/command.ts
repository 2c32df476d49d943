// `npm run train` in a process of its own, with what is killed meanwhile, and what must be left in the end.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { kill, memoryOf } from './processes.ts';

/** What is killed: Chrome's GPU process, its renderer, itself, or the command. */
export type Victim = 'gpu' | 'renderer' | 'browser' | 'command';

export interface CommandRun {
  /** Options of `npm run train`, without --out. */
  readonly args: readonly string[];
  readonly out: string;
  readonly victims: readonly Victim[];
  /** Longest time from a new step to the next kill: milliseconds. */
  readonly within: number;
  readonly say?: (line: string) => void;
  /** Called now and then while it runs, with what finds the last step in the metrics, and the process. */
  readonly watch?: (step: () => number, pid: number) => void;
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const metricsOf = (out: string) => join(out, 'metrics.jsonl');

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The last step that the metrics of a run have. */
export function lastStep(out: string): number {
  const path = metricsOf(out);
  if (!existsSync(path)) return 0;
  const steps = readFileSync(path, 'utf8').matchAll(/"event":"step","step":(\d+)/g);
  return Number([...steps].at(-1)?.[1] ?? 0);
}

class Command {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  running = true;
  output = '';

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, ['src/cli/start.mjs', 'train', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (part) => {
        this.output += part;
      });
    }
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code) => {
        this.running = false;
        resolve(code);
      });
    });
  }
}

/**
 * Runs the command to its end, killing one victim after another at random moments, each after a step was made.
 *
 * @returns how many were killed
 * @throws an Error with the command's output if it fails
 */
export async function runCommand({ args, out, victims, within, say, watch }: CommandRun): Promise<number> {
  const start = () => {
    const resumed = existsSync(join(out, 'checkpoint.safetensors'));
    return new Command([...args, '--out', out, ...(resumed ? ['--resume'] : [])]);
  };
  let command = start();
  let killed = 0;
  let seen = 0;
  let due = Number.POSITIVE_INFINITY;
  while (command.running) {
    await later(20);
    watch?.(() => lastStep(out), command.child.pid!);
    const size = sizeOf(metricsOf(out));
    if (size > seen && due === Number.POSITIVE_INFINITY) due = performance.now() + Math.random() * within;
    const victim = victims[killed];
    if (performance.now() < due || !victim || !command.running) continue;
    const { pid } = command.child;
    if (victim !== 'command' && !kill(pid!, victim)) continue;
    say?.(`killed: ${victim}, after step ${lastStep(out)} or later`);
    killed++;
    if (victim === 'command') {
      command.child.kill('SIGKILL');
      await command.ended;
      command = start();
    }
    // The next one follows when there was a step in between.
    seen = sizeOf(metricsOf(out));
    due = Number.POSITIVE_INFINITY;
  }
  const code = await command.ended;
  if (code !== 0)
    throw new Error(`the run ended with ${code}: ${command.output.trim().split('\n').slice(-12).join(' | ')}`);
  return killed;
}

/** What a run left: its weights, and its metrics without times. @throws an Error if a line is none, or told twice */
export function remains(out: string) {
  const lines = readFileSync(metricsOf(out), 'utf8').split('\n');
  if (lines.pop() !== '') throw new Error(`${out}: the metrics end in half a line`);
  const events = lines.map((line) => ({ ...JSON.parse(line), msPerStep: 0 }));
  const steps = events.flatMap(({ event, step }) => (event === 'step' ? [step] : []));
  if (new Set(steps).size !== steps.length) throw new Error(`${out}: the metrics have a step twice`);
  const [model, checkpoint] = ['model', 'checkpoint'].map((name) => readFileSync(join(out, `${name}.safetensors`)));
  return { events, model: model!, checkpoint: checkpoint! };
}

/** In words, in what two runs differ; nothing if they do not. */
export function difference(out: string, other: string): string | undefined {
  const [a, b] = [remains(out), remains(other)];
  if (!a.model.equals(b.model)) return 'the weights have other bits';
  if (!a.checkpoint.equals(b.checkpoint)) return 'the checkpoints have other bits';
  if (JSON.stringify(a.events) === JSON.stringify(b.events)) return undefined;
  const at = a.events.findIndex((event, i) => JSON.stringify(event) !== JSON.stringify(b.events[i]));
  return `the metrics differ from line ${at + 1} on: ${JSON.stringify(a.events[at])}, ${JSON.stringify(b.events[at])}`;
}

/** Samples the memory of a command's browser along its steps. */
export class MemoryWatch {
  private readonly samples: { readonly step: number; readonly gpu: number; readonly renderer: number }[] = [];
  private next = 0;

  readonly look = (step: () => number, pid: number): void => {
    if (performance.now() < this.next) return;
    this.next = performance.now() + 500;
    this.samples.push({ step: step(), gpu: memoryOf(pid, 'gpu'), renderer: memoryOf(pid, 'renderer') });
  };

  /** Median bytes of the samples from a step until another is made, of processes that are there. */
  between(from: number, to: number) {
    const some = this.samples.filter(({ step }) => step >= from && step < to);
    const median = (kind: 'gpu' | 'renderer') => {
      const bytes = some.map((sample) => sample[kind]).filter((bytes) => bytes > 0);
      return bytes.sort((a, b) => a - b)[bytes.length >> 1] ?? Number.NaN;
    };
    return { gpu: median('gpu'), renderer: median('renderer') };
  }
}

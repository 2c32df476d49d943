// What the bench measures, and how it is shown: shared by the command (src/cli/bench.ts) and the page (demos/bench/).
import { OptionError } from '../errors.ts';

/** Engines in the order of the columns. */
export const ENGINES = {
  glia: 'Glia',
  jax: 'jax-js WebGPU',
  tfjs: 'TensorFlow.js WebGPU',
  'jax-wasm': 'jax-js WebAssembly',
  pytorch: 'PyTorch, eager',
  'pytorch-graphs': 'PyTorch, CUDA graphs',
} as const;

/** Under node_modules, so that `npm ci` clears it away, and neither Git nor any tool looks at it. */
export const BENCH_FOLDER = 'node_modules/.bench';
export const TFJS_VERSION = '4.22.0';
/** Where pages find TensorFlow.js, once the command has put it there. */
export const TFJS_URL = `/${BENCH_FOLDER}/tfjs-${TFJS_VERSION}.js`;

export type EngineName = keyof typeof ENGINES;

/** Those that run where a page does. */
export const PAGE_ENGINES = ['glia', 'jax', 'tfjs', 'jax-wasm'] as const satisfies readonly EngineName[];

/** One engine's turns at one piece of work, or why there are none. */
export type Cell = { readonly samples: readonly number[] } | { readonly error: string };

export interface Row {
  readonly id: string;
  readonly name: string;
  readonly unit: 'ms' | 'MB';
  /** Floating-point operations of the work, where these are what it consists of. */
  readonly flops?: number | undefined;
  readonly cells: Readonly<Partial<Record<EngineName, Cell>>>;
}

/** The row of memory: measured by engines that have only just started. */
export const MEMORY = { id: 'memory', name: 'GPU memory of VAE steps, batch 128', unit: 'MB', cells: {} } as const;

/** What the command asks of the page. */
export interface BenchOptions {
  readonly engines: readonly EngineName[];
  /** Selects workloads by id; all by default. */
  readonly only?: readonly string[] | undefined;
  readonly rounds: number;
}

/** The ids that are asked for, by name or by the beginning of it up to a hyphen. @throws OptionError */
export function select(ids: readonly string[], only: readonly string[] | undefined): string[] {
  const selects = (name: string) => (id: string) => id === name || id.startsWith(`${name}-`);
  const unknown = only?.find((name) => !ids.some(selects(name)));
  if (unknown !== undefined) throw new OptionError(`--only ${unknown}: there are ${ids.join(', ')}`);
  return ids.filter((id) => only?.some((name) => selects(name)(id)) ?? true);
}

/** What the command gets of `startBench`, which does in Node what the page does in a browser. */
export interface NodeBench {
  readonly adapter: string;
  readonly software: boolean;
  /** Of its workloads. */
  readonly ids: readonly string[];
  /** Those that have started. */
  readonly engines: readonly EngineName[];
  /** Why others have not. */
  readonly leftOut: ReadonlyMap<EngineName, string>;
  rows(options: BenchOptions, tell: (what: string) => void): AsyncIterable<Row>;
}

/** The page calls this as each row is complete. */
export const TELL = 'gliaTell';

/** What a fresh page (demos/bench/load.html) finds out about one engine. */
export type FirstStep =
  | { readonly ms: number; readonly bytes: number; readonly error?: undefined }
  | { readonly error: string };

/** Who comes when in a round: a different one begins each time, so that nobody always bears the cost of beginning. */
export function turns<T>(all: Iterable<T>, round: number): T[] {
  const list = [...all];
  const first = round % Math.max(1, list.length);
  return [...list.slice(first), ...list.slice(0, first)];
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function summarize(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** How many times as much as Glia an engine needs: the median of the rounds, since a machine's speed may drift. */
export function ratioToGlia({ cells }: Row, engine: EngineName): number | undefined {
  const [own, glia] = [cells[engine], cells.glia];
  if (engine === 'glia' || !own || !glia || !('samples' in own) || !('samples' in glia)) return undefined;
  const rounds = Math.min(own.samples.length, glia.samples.length);
  return summarize(own.samples.slice(0, rounds).map((sample, i) => sample / glia.samples[i]!)).median;
}

/** Billions of floating-point operations a second, in the median round. */
export function gflopsOf({ flops, cells }: Row, engine: EngineName): number | undefined {
  const cell = cells[engine];
  if (!flops || !cell || 'error' in cell) return undefined;
  return flops / summarize(cell.samples).median / 1e6;
}

/** Three digits that matter. */
export function number(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

export interface Shown {
  readonly median: string;
  readonly range: string;
  readonly ratio: string;
  /** GFLOP/s */
  readonly rate: string;
  /** Why there is no number; the others are then empty. */
  readonly error: string;
}

/** A cell as text. */
export function show(row: Row, engine: EngineName): Shown {
  const cell = row.cells[engine];
  if (!cell || 'error' in cell) return { median: '', range: '', ratio: '', rate: '', error: cell?.error ?? '' };
  const { median, min, max } = summarize(cell.samples);
  const [ratio, rate] = [ratioToGlia(row, engine), gflopsOf(row, engine)];
  return {
    median: number(median),
    range: cell.samples.length > 1 ? `${number(min)}–${number(max)}` : '',
    ratio: ratio === undefined ? '' : `${ratio.toFixed(2)}×`,
    rate: rate === undefined ? '' : number(rate),
    error: '',
  };
}

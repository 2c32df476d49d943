// What the bench measures, and how it is shown: shared by the command (src/cli/bench.ts) and the page (demos/bench/).
import { OptionError } from '../errors.ts';
import type { Ceilings } from '../runtime/ceilings.ts';

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

/** What a piece of work takes at least, whoever does it. */
export interface Work {
  /** Floating-point operations, a multiply-add as two. */
  readonly flops: number;
  /** Bytes: everything that it reads and everything that it writes, once. */
  readonly bytes: number;
  /** Tokens that it writes, if it does. */
  readonly tokens?: number;
}

export interface Row {
  readonly id: string;
  readonly name: string;
  readonly unit: 'ms' | 'MB';
  /** What the work takes at least, if it is timed. */
  readonly work?: Work | undefined;
  readonly cells: Readonly<Partial<Record<EngineName, Cell>>>;
}

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
  readonly ceilings: Ceilings;
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

/** What a fresh page (demos/bench/load.html) finds out about one engine at one workload. */
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

/** Milliseconds of the median round. */
function medianOf({ cells }: Row, engine: EngineName): number | undefined {
  const cell = cells[engine];
  return cell && 'samples' in cell ? summarize(cell.samples).median : undefined;
}

/** Below so many operations a byte it is memory that bounds the work, on every adapter. */
const BOUND_BY_MEMORY = 4;

/** Units of rates, as they are named in files. */
const RATES = { 'GFLOP/s': 'gigaflops', 'GB/s': 'gigabytesPerSecond', 'tokens/s': 'tokensPerSecond' } as const;

export interface Rate {
  readonly value: number;
  readonly unit: keyof typeof RATES;
}

/** How fast the work is done, by what bounds it: thousand million operations or bytes a second, in the median round; or tokens. */
export function rateOf(row: Row, engine: EngineName): Rate | undefined {
  const ms = medianOf(row, engine);
  if (!row.work || ms === undefined) return undefined;
  const { flops, bytes, tokens } = row.work;
  if (tokens !== undefined) return { value: (1000 * tokens) / ms, unit: 'tokens/s' };
  if (flops < BOUND_BY_MEMORY * bytes) return { value: bytes / ms / 1e6, unit: 'GB/s' };
  return { value: flops / ms / 1e6, unit: 'GFLOP/s' };
}

/** The share, from 0 to 1, of what the adapter's ceilings allow at best: the roofline's measure. */
export function shareOf(row: Row, engine: EngineName, ceilings: Ceilings): number | undefined {
  const ms = medianOf(row, engine);
  if (!row.work || ms === undefined) return undefined;
  const { flops, bytes } = row.work;
  return Math.max(flops / ceilings.gigaflops, bytes / ceilings.gigabytesPerSecond) / 1e6 / ms;
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
  /** With its unit. */
  readonly rate: string;
  /** Why there is no number; the others are then empty. */
  readonly error: string;
}

/** A cell as text. */
export function show(row: Row, engine: EngineName): Shown {
  const cell = row.cells[engine];
  if (!cell || 'error' in cell) return { median: '', range: '', ratio: '', rate: '', error: cell?.error ?? '' };
  const { median, min, max } = summarize(cell.samples);
  const [ratio, rate] = [ratioToGlia(row, engine), rateOf(row, engine)];
  return {
    median: number(median),
    range: cell.samples.length > 1 ? `${number(min)}–${number(max)}` : '',
    ratio: ratio === undefined ? '' : `${ratio.toFixed(2)}×`,
    rate: rate === undefined ? '' : `${number(rate.value)} ${rate.unit}`,
    error: '',
  };
}

/** The ceilings, for people. */
export function showCeilings({ gigaflops, gigabytesPerSecond }: Ceilings): string {
  return `at best ${number(gigaflops)} GFLOP/s and ${number(gigabytesPerSecond)} GB/s, measured here`;
}

/** What was measured, for programs: the command's file, and what the page lets people copy. */
export interface BenchReport {
  /** Where: adapter, browser. */
  readonly about: Readonly<Record<string, string>>;
  readonly ceilings: Ceilings;
  readonly rounds: number;
  readonly engines: readonly EngineName[];
  readonly rows: readonly Row[];
}

export function toJson({ about, ceilings, rounds, engines, rows }: BenchReport): string {
  const cellOf = (row: Row, engine: EngineName) => {
    const cell = row.cells[engine];
    if (!cell || 'error' in cell) return { engine: ENGINES[engine], ...cell };
    const { value, unit } = rateOf(row, engine) ?? {};
    const rate = unit && { [RATES[unit]]: value };
    const [ratio, share] = [ratioToGlia(row, engine), shareOf(row, engine, ceilings)];
    return { engine: ENGINES[engine], ...summarize(cell.samples), ratio, ...rate, share, samples: cell.samples };
  };
  const described = rows.map((row) => ({ ...row, cells: engines.map((engine) => cellOf(row, engine)) }));
  const date = new Date().toISOString();
  return `${JSON.stringify({ date, ...about, ceilings, rounds, rows: described }, null, 1)}\n`;
}

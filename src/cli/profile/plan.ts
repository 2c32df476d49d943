// `npm run profile -- --plan`: the dispatches that an adapter would get for a model's step, without a device.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { strokeDigits } from '../../data/digits.ts';
import { OptionError } from '../../errors.ts';
import { printExplained } from '../../graph/explain.ts';
import { outlineOf } from '../../graph/link.ts';
import { kernelsOf, type PlannedKernel, planGraph } from '../../graph/plan.ts';
import { memoryNeed } from '../../graph/sizes.ts';
import type { Tensor } from '../../ops/tensor.ts';
import { traitsOf } from '../../runtime/build.ts';
import { builtInText, isOfText } from '../../train/built_in.ts';
import { describeStep } from '../../train/named.ts';
import type { TrainOptions } from '../../train/options.ts';
import { showPath } from '../arguments.ts';
import { type DescribedAdapter, readAdapter } from './adapter.ts';
import { short } from './format.ts';
import { tableOf } from './table.ts';

export interface PlanRequest {
  readonly what: 'plan';
  readonly options: TrainOptions;
  /** A name of those that ship, or a file. */
  readonly adapter: string;
  /** Where the WGSL goes, if anywhere. */
  readonly folder: string | undefined;
  readonly explain: boolean;
}

/** A dispatch by the numbers. */
export interface PlannedDispatch {
  readonly op: string;
  readonly variant: string;
  readonly shapes: string;
  readonly workgroups: number;
  readonly threads: number;
  /** Results that the tiles of a matmul compute, for each that is wanted. */
  readonly waste: number | undefined;
  /** Threads, of those that the adapter holds at once. */
  readonly share: number;
  /** Cores that have a workgroup at all. */
  readonly cores: number;
  readonly buffers: number;
  readonly bytes: number;
  readonly flops: number;
  readonly code: string;
}

/** The kernels of a model's training step, with the data set on the GPU, as they are planned for an adapter. */
export async function planStep(adapter: DescribedAdapter, options: TrainOptions) {
  const data = isOfText(options)
    ? await builtInText(options)
    : strokeDigits({ seed: options.seed, train: options.batch, test: 1 });
  const { outputs = {}, updates = [] } = await describeStep(adapter.gpu, data, options);
  const plan = planGraph({ outputs, updates }, traitsOf(adapter.gpu));
  const dispatches = [...kernelsOf(plan)].map((kernel) => describe(kernel, adapter));
  return { plan, dispatches };
}

const shapesOf = (tensors: Iterable<Tensor>) => [...tensors].map(({ shape }) => shape.join('×') || '1').join(' ');

function describe({ lowered, code }: PlannedKernel, { cores, threadsPerCore }: DescribedAdapter): PlannedDispatch {
  const { label, variant, group, bindings, bytes, flops } = lowered;
  const workgroups = lowered.workgroups.reduce((product, count) => product * count, 1);
  const { threads } = outlineOf(lowered);
  return {
    op: label,
    variant,
    shapes: `${shapesOf(group.reads.keys())} → ${shapesOf(group.outputs)}`,
    workgroups,
    threads,
    waste: wasteOf(lowered.constants),
    share: (workgroups * threads) / (cores * threadsPerCore),
    cores: Math.min(1, workgroups / cores),
    buffers: bindings.length,
    ...{ bytes, flops, code },
  };
}

function wasteOf(constants: Readonly<Record<string, number | boolean>>): number | undefined {
  const { M, N, TILE_M, TILE_N, TILE_N4 } = constants as Record<string, number>;
  if (!M || !N || !TILE_M) return undefined;
  const across = TILE_N ?? 4 * TILE_N4!;
  return (Math.ceil(M / TILE_M) * TILE_M * Math.ceil(N / across) * across) / (M * N);
}

const HEAD = [
  '#',
  'op',
  'variant',
  'shapes',
  'groups',
  'threads',
  'waste',
  '% full',
  '% cores',
  'buffers',
  'MB',
  'MFLOP',
];
const WEIGHTS = HEAD.map((head) => ({ op: 2, variant: 2, shapes: 3 })[head]);

function rowOf(dispatch: PlannedDispatch, i: number): string[] {
  const { op, variant, shapes, workgroups, threads, waste, share, cores, buffers, bytes, flops } = dispatch;
  const numbers = [100 * share, 100 * cores].map((value) => short(value));
  const cells = [String(i + 1), op, variant, shapes, String(workgroups), String(threads)];
  const tail = [String(buffers), short(bytes / 1e6), short(flops / 1e6)];
  return [...cells, waste === undefined ? '' : `${waste.toFixed(2)}×`, ...numbers, ...tail];
}

/** Plans, and prints. @throws OptionError */
export async function printPlan(
  { options, adapter: name, folder, explain }: PlanRequest,
  width: number,
): Promise<PlannedDispatch[]> {
  const adapter = readAdapter(name);
  const { plan, dispatches } = await planStep(adapter, options);
  const { cores, threadsPerCore } = adapter;
  console.log(`${adapter.name}: described, not measured; ${cores} cores of ${threadsPerCore} threads`);
  console.log(`${options.model}, batch ${options.batch}: ${dispatches.length} dispatches\n`);
  if (explain) console.log(printExplained(plan.schedule));
  else console.log(tableOf([HEAD, ...dispatches.map(rowOf)], WEIGHTS, width).join('\n'));
  const sum = (value: (dispatch: PlannedDispatch) => number) => dispatches.reduce((all, one) => all + value(one), 0);
  const [bytes, flops] = [sum((one) => one.bytes), sum((one) => one.flops)];
  console.log(`\n${short(bytes / 1e6)} MB and ${short(flops / 1e6)} MFLOP in all; each byte counts once a dispatch`);
  const { peakBytes, lowerBoundBytes } = memoryNeed(plan.memory);
  const [planned, least] = [peakBytes, lowerBoundBytes].map((count) => short(count / 1e6));
  console.log(`${planned} MB planned for intermediate results; no plan needs less than ${least} MB`);
  if (folder) writeShaders(folder, dispatches);
  return dispatches;
}

function writeShaders(folder: string, dispatches: readonly PlannedDispatch[]): void {
  const digits = String(dispatches.length).length;
  try {
    mkdirSync(folder, { recursive: true });
    dispatches.forEach(({ op, code }, i) => {
      const name = `${String(i + 1).padStart(digits, '0')}-${op.replace(/[^\w]+/g, '_')}.wgsl`;
      writeFileSync(join(folder, name), `${code}\n`);
    });
  } catch (error) {
    throw new OptionError(`--wgsl: ${showPath(folder)} cannot be written: ${(error as Error).message}`);
  }
  console.log(`written: ${dispatches.length} shaders in ${showPath(folder)}`);
}

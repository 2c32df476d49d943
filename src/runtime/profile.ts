// The profiler: how long each dispatch of a program takes, what it moves and computes, and how near that comes to what
// this adapter can do at best.
import type { Gpu } from '../gpu/gpu.ts';
import type { Variable } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { type Ceilings, measureCeilings } from './ceilings.ts';
import { type Command, type Dispatch, type RunInputs, record } from './dispatch.ts';
import { countsFor, hasTimestamps, median, repeated, type Timed, timePasses } from './timer.ts';
import { rangeOf } from './variables.ts';

/** What is profiled: a Program. */
interface Profilable {
  readonly gpu: Gpu;
  readonly dispatches: readonly Dispatch[];
  readonly memory: { readonly peakBytes: number; readonly lowerBoundBytes: number };
  readonly updated: readonly Variable[];
  commands(inputs: RunInputs): Command[];
}

export interface ProfileOptions {
  /** Times that each dispatch is measured; the median counts. 11 by default. */
  readonly repeats?: number;
}

export interface DispatchProfile {
  readonly label: string;
  readonly variant: string;
  /** Shapes of what it reads and stores. */
  readonly shapes: string;
  readonly workgroups: readonly [number, number, number];
  /** When it began in the run that the trace shows, and how long it took there: milliseconds. */
  readonly trace: Timed;
  /** Median of the repeats. */
  readonly ms: number;
  /**
   * Milliseconds before it: what it and the dispatch before it take in one pass beyond what each takes by itself. Less than
   * none where they overlap. The first follows the last, as in a run of several steps.
   */
  readonly gapMs: number;
  readonly flops: number;
  /** Bytes that it must move at least: everything that it touches, once. */
  readonly bytes: number;
  readonly gigaflops: number;
  readonly gigabytesPerSecond: number;
  /** Operations a byte. */
  readonly intensity: number;
  /** The share of the nearer ceiling that it reaches, from 0 to 1: the roofline's measure. */
  readonly share: number;
}

export interface Profile {
  readonly adapter: string;
  /** False where times were taken by the clock, because the device has no timestamps. */
  readonly timestamps: boolean;
  readonly ceilings: Ceilings;
  readonly dispatches: readonly DispatchProfile[];
  /** A whole run, from submit to done, or of several in a row: milliseconds. */
  readonly stepMs: number;
  /** The sum of the dispatches' times. */
  readonly dispatchMs: number;
  /** What the dispatches do not account for: gaps between them, submitting, waiting. */
  readonly gapMs: number;
  /** Time on the CPU to encode one run, and each command's part of it. */
  readonly encodeMs: number;
  readonly encoding: readonly Timed[];
  readonly flops: number;
  /** Share of the arithmetic ceiling that the whole step reaches (model FLOP utilisation). */
  readonly utilisation: number;
  readonly memory: { readonly peakBytes: number; readonly lowerBoundBytes: number };
}

/** Time for all measurements of the whole run; each is of several in a row where these are short: milliseconds. */
const RUNS_MS = 500;

/** Profiles a program on given inputs. Variables are as they were afterwards. */
export async function profileProgram(
  program: Profilable,
  inputs: RunInputs,
  { repeats = 11 }: ProfileOptions,
): Promise<Profile> {
  const { gpu } = program;
  const ceilings = await measureCeilings(gpu);
  const restore = keep(gpu, program.updated);
  try {
    const commands = program.commands(inputs);
    const { encodeMs, encoding } = timeEncoding(gpu, commands);
    const { stepMs, rounds, gaps } = await timeRounds(gpu, commands, repeats);
    const dispatches = program.dispatches.map((dispatch, i) =>
      describe(
        dispatch,
        rounds.map((round) => round[i]!),
        median(gaps.map((round) => round[i]!)),
        ceilings,
      ),
    );
    const dispatchMs = dispatches.reduce((sum, { ms }) => sum + ms, 0);
    const flops = dispatches.reduce((sum, dispatch) => sum + dispatch.flops, 0);
    return {
      adapter: gpu.name,
      timestamps: hasTimestamps(gpu),
      ceilings,
      dispatches,
      stepMs,
      dispatchMs,
      gapMs: stepMs - dispatchMs,
      encodeMs,
      encoding,
      flops,
      utilisation: flops / stepMs / 1e6 / ceilings.gigaflops,
      memory: program.memory,
    };
  } finally {
    restore();
  }
}

/** Copies variables aside, and gives what copies them back. */
function keep(gpu: Gpu, variables: readonly Variable[]): () => void {
  const kept = variables.map((variable) => {
    const { buffer, offset, size } = rangeOf(gpu, variable);
    // COPY_SRC and COPY_DST.
    return { buffer, offset, size, copy: gpu.createBuffer({ label: 'kept', size, usage: 0x04 | 0x08 }) };
  });
  const encoder = gpu.device.createCommandEncoder();
  for (const { buffer, offset, size, copy } of kept) encoder.copyBufferToBuffer(buffer, offset, copy, 0, size);
  gpu.device.queue.submit([encoder.finish()]);
  return () => {
    const back = gpu.device.createCommandEncoder();
    for (const { buffer, offset, size, copy } of kept) back.copyBufferToBuffer(copy, 0, buffer, offset, size);
    gpu.device.queue.submit([back.finish()]);
    for (const { copy } of kept) copy.destroy();
  };
}

/** Milliseconds a run, of `count` in one pass. */
async function runs(gpu: Gpu, commands: readonly Command[], count: number): Promise<number> {
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (let i = 0; i < count; i++) for (const command of commands) record(pass, command);
  pass.end();
  await gpu.device.queue.onSubmittedWorkDone();
  const start = performance.now();
  gpu.device.queue.submit([encoder.finish()]);
  await gpu.device.queue.onSubmittedWorkDone();
  return (performance.now() - start) / count;
}

/** Times the run as a whole and dispatch by dispatch, by turns, so that both meet the same state of the machine. */
async function timeRounds(
  gpu: Gpu,
  commands: readonly Command[],
  repeats: number,
): Promise<{ stepMs: number; rounds: Timed[][]; gaps: number[][] }> {
  const passes = commands.map((command) => ({ record: (pass: GPUComputePassEncoder) => record(pass, command) }));
  const pairs = commands.map((command, i) => ({
    record(pass: GPUComputePassEncoder) {
      record(pass, commands.at(i - 1)!);
      record(pass, command);
    },
  }));
  // Where the clock is coarse, each dispatch is run several times.
  const counts = await countsFor(gpu, passes);
  const pairCounts = counts.map((count, i) => Math.min(count, counts.at(i - 1)!));
  const once = await runs(gpu, commands, 1);
  const inRow = Math.max(1, Math.min(100, Math.round(RUNS_MS / repeats / once)));
  const steps: number[] = [];
  const rounds: Timed[][] = [];
  const gaps: number[][] = [];
  for (let i = 0; i < repeats; i++) {
    steps.push(await runs(gpu, commands, inRow));
    const times = await timePasses(gpu, repeated(passes, counts));
    rounds.push(counts.some((count) => count > 1) ? endToEnd(times, counts) : times);
    const alone = times.map(({ ms }, j) => ms / counts[j]!);
    const together = await timePasses(gpu, repeated(pairs, pairCounts));
    gaps.push(together.map(({ ms }, j) => ms / pairCounts[j]! - alone[j]! - alone.at(j - 1)!));
  }
  return { stepMs: median(steps), rounds, gaps };
}

/** As if each had run once, without gaps: those of a real run are not known. */
function endToEnd(times: readonly Timed[], counts: readonly number[]): Timed[] {
  let start = 0;
  return times.map((time, i) => {
    const ms = time.ms / counts[i]!;
    start += ms;
    return { start: start - ms, ms };
  });
}

/** Encodings that are timed together: a page's clock is too coarse for one. */
const ENCODINGS = 100;

/** Time to encode a run; each command's part of it is taken as equal. */
function timeEncoding(gpu: Gpu, commands: readonly Command[]): Pick<Profile, 'encodeMs' | 'encoding'> {
  const start = performance.now();
  for (let i = 0; i < ENCODINGS; i++) {
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const command of commands) record(pass, command);
    pass.end();
    encoder.finish();
  }
  const encodeMs = (performance.now() - start) / ENCODINGS;
  const ms = encodeMs / commands.length;
  return { encodeMs, encoding: commands.map((_, i) => ({ start: i * ms, ms })) };
}

function describe({ kernel }: Dispatch, rounds: readonly Timed[], gapMs: number, ceilings: Ceilings): DispatchProfile {
  const { label, variant, workgroups, flops, bytes, group } = kernel;
  const ms = median(rounds.map((round) => round.ms));
  const show = (tensors: Iterable<Tensor>) => [...tensors].map(({ shape }) => shape.join('×') || '1').join(' ');
  const gigaflops = ms > 0 ? flops / ms / 1e6 : 0;
  const gigabytesPerSecond = ms > 0 ? bytes / ms / 1e6 : 0;
  return {
    label,
    variant,
    shapes: `${show(group.reads.keys())} → ${show(group.outputs)}`,
    workgroups,
    trace: rounds.at(-1)!,
    ms,
    gapMs,
    flops,
    bytes,
    gigaflops,
    gigabytesPerSecond,
    intensity: flops / bytes,
    share: Math.max(gigaflops / ceilings.gigaflops, gigabytesPerSecond / ceilings.gigabytesPerSecond),
  };
}

/** The profile as a trace that Perfetto and chrome://tracing open: encoding and kernels on tracks of their own. */
export function traceOf({ dispatches, encoding, adapter }: Profile): { traceEvents: object[] } {
  const name = (tid: number, value: string) => ({ ph: 'M', name: 'thread_name', pid: 1, tid, args: { name: value } });
  const event = (tid: number, label: string, start: number, ms: number, args: object) => {
    return { ph: 'X', name: label, cat: 'glia', pid: 1, tid, ts: start * 1000, dur: ms * 1000, args };
  };
  return {
    traceEvents: [
      { ph: 'M', name: 'process_name', pid: 1, args: { name: 'Glia' } },
      name(1, 'CPU, encoding'),
      name(2, `GPU, ${adapter}`),
      ...dispatches.map(({ label }, i) => event(1, label, encoding[i]!.start, encoding[i]!.ms, {})),
      ...dispatches.map(({ label, variant, shapes, workgroups, trace, gigaflops, gigabytesPerSecond, share }) => {
        const args = { variant, shapes, workgroups: workgroups.join('×'), gigaflops, gigabytesPerSecond, share };
        return event(2, label, trace.start, trace.ms, args);
      }),
    ],
  };
}

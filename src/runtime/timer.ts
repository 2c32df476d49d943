// Times compute passes on the GPU, by timestamps where the device has them and by the clock where it has not.
import type { Gpu } from '../gpu/gpu.ts';

export interface TimedPass {
  /** Records the dispatches to be timed. */
  record(pass: GPUComputePassEncoder): void;
}

export interface Timed {
  /** Milliseconds from the beginning of the first pass. */
  readonly start: number;
  readonly ms: number;
}

/** Timestamps that one query set holds. */
const MAX_QUERIES = 4096;

/** Work is repeated within a pass until the pass lasts at least this many ticks of the clock, so that rounding is below 5 %. */
const TICKS = 20;
/** What a pass must last, in milliseconds: a short one is mostly its beginning and its end. */
const SHORTEST_MS = 0.1;
/** The shortest tick, in milliseconds, that counts as coarse. */
const COARSE_MS = 1e-3;
/** The longest tick that a browser rounds timestamps to, in milliseconds. */
const COARSEST_MS = 0.2;
/** Submitting a pass by itself and waiting for it takes about this long: the tick of devices without timestamps. */
const SUBMIT_MS = 0.5;
/** Most times that a pass's work is repeated in it. */
const MAX_COUNT = 1000;

/** Whether the device tells when a pass began and ended. */
export function hasTimestamps(gpu: Gpu): boolean {
  return gpu.has('timestamp-query');
}

/**
 * Runs passes in order, once, and gives the milliseconds that each took, and when it began, from the first on.
 *
 * Without timestamps each pass is submitted by itself and waited for: the times then hold the way there and back.
 */
export async function timePasses(gpu: Gpu, passes: readonly TimedPass[]): Promise<Timed[]> {
  if (!hasTimestamps(gpu)) return timeByClock(gpu, passes);
  const times: Timed[] = [];
  for (let first = 0; first < passes.length; first += MAX_QUERIES / 2) {
    times.push(...(await timeByQueries(gpu, passes.slice(first, first + MAX_QUERIES / 2))));
  }
  return times;
}

async function timeByQueries(gpu: Gpu, passes: readonly TimedPass[]): Promise<Timed[]> {
  const { device } = gpu;
  const count = 2 * passes.length;
  const querySet = gpu.createQuerySet({ type: 'timestamp', count });
  // QUERY_RESOLVE and COPY_SRC; MAP_READ and COPY_DST.
  const resolved = gpu.createBuffer({ size: 8 * count, usage: 0x200 | 0x04 });
  const staging = gpu.createBuffer({ size: 8 * count, usage: 0x01 | 0x08 });
  try {
    const encoder = device.createCommandEncoder();
    passes.forEach(({ record }, i) => {
      const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 };
      const pass = encoder.beginComputePass({ timestampWrites });
      record(pass);
      pass.end();
    });
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    const stamps = new BigInt64Array(staging.getMappedRange().slice(0));
    const at = (i: number) => Number(stamps[i]! - stamps[0]!) / 1e6;
    // A driver may give a later pass an earlier stamp when it overlaps them; a time is never negative.
    return passes.map((_, i) => ({ start: at(2 * i), ms: Math.max(0, at(2 * i + 1) - at(2 * i)) }));
  } finally {
    for (const thing of [querySet, resolved, staging]) thing.destroy();
  }
}

async function timeByClock(gpu: Gpu, passes: readonly TimedPass[]): Promise<Timed[]> {
  const { device } = gpu;
  const times: Timed[] = [];
  await device.queue.onSubmittedWorkDone();
  const origin = performance.now();
  for (const { record } of passes) {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    record(pass);
    pass.end();
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    times.push({ start: start - origin, ms: performance.now() - start });
  }
  return times;
}

/** Passes that do their work several times over. */
export function repeated(passes: readonly TimedPass[], counts: readonly number[]): TimedPass[] {
  return passes.map(({ record }, i) => ({
    record(pass) {
      for (let count = 0; count < counts[i]!; count++) record(pass);
    },
  }));
}

/**
 * How often each pass must do its work to be timed well: until it lasts a tenth of a millisecond, and longer if the clock is
 * coarse (browsers may round timestamps to as much) or the pass is to last `least` milliseconds.
 */
export async function countsFor(gpu: Gpu, passes: readonly TimedPass[], least = 0): Promise<number[]> {
  let counts = passes.map(() => 1);
  // A pass that took no time to be seen tells little of how much more it needs: three rounds get there.
  for (let round = 0; round < 3; round++) {
    const times = await timePasses(gpu, repeated(passes, counts));
    const tick = hasTimestamps(gpu) ? tickOf(times) : SUBMIT_MS;
    const wanted = Math.max(least, SHORTEST_MS, tick < COARSE_MS ? 0 : TICKS * tick);
    const before = counts;
    counts = before.map((count, i) => {
      const more = Math.min(32, wanted / Math.max(times[i]!.ms, tick / 2));
      return Math.max(count, Math.min(MAX_COUNT, Math.ceil(count * more)));
    });
    if (counts.every((count, i) => count === before[i])) break;
  }
  return counts;
}

/** What timestamps are rounded to, as far as these tell: milliseconds, 0 if they are not. */
function tickOf(times: readonly Timed[]): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  const stamps = times.flatMap(({ start, ms }) => [start, ms].map((value) => Math.round(value * 1e6)));
  const tick = stamps.reduce(divisor, 0) / 1e6 || COARSEST_MS;
  // A larger one is an accident of few times.
  return tick > COARSEST_MS ? 0 : tick;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** What a quarter of the values do not exceed. */
export function lowerQuartile(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 4)]!;
}

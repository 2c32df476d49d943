// What a profile says, in words and cells: the same for the command's table and the page's (demos/studio/measure/).
import type { DispatchProfile, Profile } from '../../runtime/profile.ts';
import type { Difference } from '../../runtime/shader_data.ts';
import type { ShaderProfile } from '../../runtime/shader_profile.ts';

/** A number with three digits that count. */
export function short(value: number | null): string {
  // JSON has no infinity.
  if (value === null || !Number.isFinite(value)) return '∞';
  if (Math.abs(value) >= 100) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

/** No more than two decimals: what is slower than that is slow. */
function cell(value: number): string {
  return value < 10 ? value.toFixed(2) : short(value);
}

export function percent(share: number): string {
  return share < 0.0995 ? (100 * share).toFixed(1) : String(Math.round(100 * share));
}

/** Columns of the table of dispatches. Those with a weight hold words, and give way in that proportion. */
export const COLUMNS = [
  { head: '#', help: 'place in the order of the step' },
  { head: 'op', help: 'what is computed, fused into one kernel', weight: 2 },
  { head: 'variant', help: 'which of the kernels for it', weight: 2 },
  { head: 'shapes', help: 'what is read → what is stored', weight: 3 },
  { head: 'groups', help: 'workgroups' },
  { head: 'ms', help: 'median of the repeats' },
  { head: 'gap µs', help: 'before it: what it and the dispatch before take together beyond what each takes alone' },
  { head: '% sum', help: 'share of the sum of all dispatches' },
  { head: 'GFLOP/s', help: 'thousand million operations a second' },
  { head: 'GB/s', help: 'thousand million bytes a second, each byte that must be moved counted once' },
  { head: 'flop/B', help: 'arithmetic intensity: operations a byte' },
  { head: '% roof', help: 'share of the nearer measured ceiling; beyond 100 where data stay in caches' },
] as const;

export function cellsOf(profile: Profile, index: number): string[] {
  const dispatch = profile.dispatches[index]!;
  const { label, variant, shapes, workgroups, ms, gapMs, gigaflops, gigabytesPerSecond, intensity, share } = dispatch;
  return [
    String(index + 1),
    label,
    variant,
    shapes,
    workgroups.join('×').replace(/(×1)+$/, ''),
    short(ms),
    String(Math.round(gapMs * 1e4) / 10),
    percent(ms / profile.dispatchMs),
    cell(gigaflops),
    cell(gigabytesPerSecond),
    cell(intensity),
    percent(share),
  ];
}

/** The least time that the two ceilings allow a dispatch: milliseconds. */
function boundOf({ flops, bytes }: DispatchProfile, { ceilings }: Profile): number {
  return Math.max(flops / ceilings.gigaflops, bytes / ceilings.gigabytesPerSecond) / 1e6;
}

export interface Total {
  readonly name: string;
  readonly value: string;
  readonly note: string;
}

export function totalsOf(profile: Profile): Total[] {
  const { dispatches, stepMs, dispatchMs, gapMs, encodeMs, flops, utilisation, ceilings, memory } = profile;
  const bound = dispatches.reduce((sum, dispatch) => sum + boundOf(dispatch, profile), 0);
  const between = dispatches.reduce((sum, dispatch) => sum + dispatch.gapMs, 0);
  const gaps =
    gapMs < 0
      ? 'less than none: timed one by one, dispatches take longer than in a row, or do not overlap'
      : `${percent(gapMs / stepMs)} % of the step: ${short(between)} ms between dispatches, two by two; the rest is submitting, waiting`;
  return [
    { name: 'step', value: `${short(stepMs)} ms`, note: 'from submit to done' },
    {
      name: 'dispatches',
      value: `${short(dispatchMs)} ms`,
      note: `sum of the ${dispatches.length}, each timed by itself: ${percent(dispatchMs / stepMs)} % of the step`,
    },
    { name: 'gaps', value: `${short(gapMs)} ms`, note: gaps },
    { name: 'bound', value: `${short(bound)} ms`, note: 'the least that the two ceilings allow these dispatches' },
    { name: 'encoding', value: `${short(encodeMs)} ms`, note: 'on the CPU, for one step' },
    {
      name: 'utilisation',
      value: `${percent(utilisation)} %`,
      note: `of the arithmetic ceiling: ${short(flops / 1e6)} MFLOP, ${short(flops / stepMs / 1e6)} GFLOP/s over the whole step`,
    },
    {
      name: 'ceilings',
      value: `${short(ceilings.gigaflops)} GFLOP/s`,
      note: `multiply-adds in registers, and ${short(ceilings.gigabytesPerSecond)} GB/s copying, measured in this run`,
    },
    {
      name: 'memory',
      value: `${short(memory.peakBytes / 1e6)} MB`,
      note: `planned for intermediate results; no plan needs less than ${short(memory.lowerBoundBytes / 1e6)} MB`,
    },
  ];
}

/** Where the times are from. */
export function clockOf({ timestamps }: { timestamps: boolean }): string {
  return timestamps
    ? 'times from GPU timestamps'
    : 'this device has no timestamps: times are by the clock, and hold the way to the GPU and back';
}

/** Lines about profiled shaders: a name, and a value for each shader. */
export function shaderRows({ shaders, flops }: ShaderProfile): [name: string, ...values: string[]][] {
  const row = (name: string, value: (shader: ShaderProfile['shaders'][number]) => string): [string, ...string[]] => {
    return [name, ...shaders.map(value)];
  };
  const rows = [
    row('median', ({ ms }) => `${short(ms)} ms`),
    row('least – most', ({ minMs, maxMs }) => `${short(minMs)} – ${short(maxMs)} ms`),
    row('workgroups', ({ workgroups }) => workgroups.join('×')),
    row('dispatches timed together', ({ dispatches }) => String(dispatches)),
    row('bound bytes a second', ({ gigabytesPerSecond }) => `${short(gigabytesPerSecond)} GB/s`),
    row('share of the copy ceiling', ({ copyShare }) => `${percent(copyShare)} %`),
  ];
  if (flops === undefined) return rows;
  return [
    ...rows,
    row('operations a second', ({ gigaflops }) => `${short(gigaflops!)} GFLOP/s`),
    row('share of the arithmetic ceiling', ({ arithmeticShare }) => `${percent(arithmeticShare!)} %`),
  ];
}

export function shaderNotes({ bytes, flops, ceilings }: ShaderProfile): string {
  const work = flops === undefined ? '' : `, ${short(flops / 1e6)} MFLOP`;
  return (
    `${short(bytes / 1e6)} MB in bound buffers${work}; ceilings measured in this run: ` +
    `${short(ceilings.gigabytesPerSecond)} GB/s copying, ${short(ceilings.gigaflops)} GFLOP/s multiply-adds`
  );
}

/** Which of two is the faster, in a sentence. */
export function verdictOf({ ratio }: NonNullable<ShaderProfile['comparison']>): string {
  if (ratio > 0.97 && ratio < 1.03) return 'Both take the same time, within 3 %.';
  const [faster, factor] = ratio < 1 ? ['second', 1 / ratio] : ['first', ratio];
  return `The ${faster} is ${short(factor)} times as fast.`;
}

/** How a buffer compares, in a sentence. */
export function differenceOf(difference: Difference): string {
  const { binding, count, different, wrong, maxAbsolute, maxRelative, first, changed } = difference;
  const what = `binding ${binding}`;
  if (!changed) return `${what}: neither shader changed anything there, so agreement tells nothing`;
  if (different === 0) return `${what}: the same, bit for bit`;
  const most = `by ${short(maxAbsolute)} at most (${short(100 * (maxRelative ?? Number.POSITIVE_INFINITY))} %)`;
  if (!first) return `${what}: agrees, as far as rounding goes; ${different} of ${count} elements differ, ${most}`;
  const [a, b] = first.values.map((value) => (value === null ? 'not finite' : String(Number(value.toPrecision(6)))));
  return `${what}: differs in ${wrong} of ${count} elements, ${most}; the first is element ${first.index}: ${a} and ${b}`;
}

// The tuner: times the variants of every kernel op of a graph, for its own shapes, and remembers the fastest.
import type { Gpu } from '../gpu/gpu.ts';
import { idOf } from '../graph/form.ts';
import { rootsOf, topological } from '../graph/graph.ts';
import { type ChooseVariant, possibleVariants, signatureOf } from '../graph/variants.ts';
import type { Tensor, Variant } from '../ops/tensor.ts';
import { VERSION } from '../version.ts';
import { prepare, traitsOf, type Work } from './build.ts';
import { record } from './dispatch.ts';
import { loadAllKernels } from './kit.ts';
import { agree, buildProbe, probe } from './probe.ts';
import { countsFor, lowerQuartile, median, repeated, type TimedPass, timePasses } from './timer.ts';
import { type TuneStore, tuneStore } from './tune_store.ts';

export interface TuneOptions {
  /** Where winners are remembered: IndexedDB by default where there is one. */
  readonly store?: TuneStore;
  /** Measure again what is remembered. */
  readonly again?: boolean;
  /** So many times as many rounds as usual. */
  readonly care?: number;
  /** Told of each op as it is done. */
  readonly onResult?: (result: TuneResult) => void;
}

export interface TuneCandidate {
  readonly name: string;
  /** Of the rounds; none if the result was wrong or the driver refused the kernel. */
  readonly ms: number | undefined;
  readonly gigaflops: number | undefined;
  readonly problem?: string;
}

export interface TuneResult {
  /** Op, shapes and attributes. */
  readonly signature: string;
  readonly winner: string;
  /** What the rule takes where nothing is tuned. */
  readonly rule: string;
  /** Empty if the winner was remembered. */
  readonly candidates: readonly TuneCandidate[];
}

export interface Tuned {
  readonly choose: ChooseVariant;
  readonly results: readonly TuneResult[];
}

/** Rounds, and how much slower than the fastest a variant may be to take part in those that follow. */
const STAGES = [
  { rounds: 1, within: 3 },
  { rounds: 3, within: 1.6 },
  { rounds: 6, within: 1.2 },
  { rounds: 24, within: 1 },
];
/** After this long no stage has more than a few rounds: milliseconds. */
const PATIENCE_MS = 5000;
const FEW = 10;
/** Repeats within a round take about this long: short enough that the machine is the same for all in a round. */
const ROUND_MS = 8;

/** What winners depend on: they are remembered for this adapter, driver, browser and version of Glia alone. */
export function tuneKey(gpu: Gpu): string {
  const browser = (globalThis.navigator as Navigator | undefined)?.userAgent ?? '';
  const version = /(Chrome|Firefox|Version)\/[\d.]+/.exec(browser)?.[0] ?? browser;
  return `glia ${VERSION} | ${gpu.name} | ${version}`;
}

/** Tunes the ops of a graph that have more than one variant here. */
export async function tune(
  gpu: Gpu,
  description: Work,
  { store = tuneStore(), again = false, care = 1, onResult }: TuneOptions = {},
): Promise<Tuned> {
  await loadAllKernels(gpu);
  const key = tuneKey(gpu);
  const remembered: Record<string, string> = JSON.parse((await store.get(key)) ?? '{}');
  const before = { ...remembered };
  /** What a winner is remembered under from run to run, where an op is known by its name and its variants'. */
  const nameOf = (node: Tensor) => `${signatureOf(node)} by ${node.op.variants!.map(({ name }) => name).join(' | ')}`;
  // In this run ops of one name are told apart.
  const identityOf = (node: Tensor) => `${idOf(node.op)} ${signatureOf(node)}`;
  const winners = new Map<string, string>();
  const nodes = new Map<string, Tensor>();
  for (const node of topological(rootsOf(await prepare(gpu, description)))) {
    if (possibleVariants(node, traitsOf(gpu)).length > 1 && node.size > 0) nodes.set(identityOf(node), node);
  }
  const results: TuneResult[] = [];
  for (const [identity, node] of nodes) {
    const known = before[nameOf(node)];
    const possible = possibleVariants(node, traitsOf(gpu));
    const rule = possible.find(({ heuristic }) => heuristic?.(node, traitsOf(gpu)) ?? true)!.name;
    const isKnown = known !== undefined && possible.some(({ name }) => name === known);
    const candidates = isKnown && !again ? [] : await measure(gpu, node, possible, care);
    const timed = candidates.filter(({ ms }) => ms !== undefined).sort((a, b) => a.ms! - b.ms!);
    const result = { signature: signatureOf(node), winner: timed[0]?.name ?? known ?? rule, rule, candidates };
    remembered[nameOf(node)] = result.winner;
    winners.set(identity, result.winner);
    results.push(result);
    onResult?.(result);
  }
  if (results.some(({ candidates }) => candidates.length > 0)) await store.set(key, JSON.stringify(remembered));
  const choose: ChooseVariant = (node, possible) => {
    const winner = winners.get(identityOf(node));
    return possible.find(({ name }) => name === winner);
  };
  return { choose, results };
}

/** Times the variants, and says what is wrong with those that cannot be. */
async function measure(gpu: Gpu, node: Tensor, variants: readonly Variant[], care: number): Promise<TuneCandidate[]> {
  const subject = probe(node.op, node.inputs, node.attrs);
  // The last is possible everywhere and the plainest: the others are held against it.
  const built = await Promise.all(
    variants.map(async (variant) => {
      try {
        return { variant, program: await buildProbe(gpu, subject, variant) };
      } catch (error) {
        return { variant, problem: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
  try {
    const reference = built.at(-1)!.program!;
    reference.run(subject.data);
    const expected = await reference.read('y');
    const flops = reference.dispatches.reduce((sum, { kernel }) => sum + kernel.flops, 0);
    const runners = await Promise.all(
      built.map(async ({ variant, program, problem }) => {
        if (!program) return { variant, problem };
        program.run(subject.data);
        if (!agree(await program.read('y'), expected)) return { variant, problem: 'its result is wrong' };
        const commands = program.commands(subject.data);
        return {
          variant,
          pass: {
            record(pass: GPUComputePassEncoder) {
              for (const command of commands) record(pass, command);
            },
          },
        };
      }),
    );
    const times = await race(
      gpu,
      runners.flatMap(({ pass }) => (pass ? [pass] : [])),
      care,
    );
    return runners.map(({ variant: { name }, pass, problem }) => {
      if (!pass) return { name, ms: undefined, gigaflops: undefined, ...(problem && { problem }) };
      const ms = times.shift()!;
      return { name, ms, gigaflops: flops / ms / 1e6 };
    });
  } finally {
    for (const { program } of built) program?.destroy();
  }
}

/**
 * Times passes in turns; the fewer are left, the more often. What else the machine does slows all that run in a round, so
 * a pass is judged by the median of its share of the round: of two that are the same, thirty rounds find one faster by
 * up to 5 %, where medians, quartiles or least times of each by itself find up to 30 %.
 *
 * @returns milliseconds of each: a lower quartile of the fastest one's, times how much longer the pass took than that in
 *   the same round
 */
async function race(gpu: Gpu, passes: readonly TimedPass[], care: number): Promise<number[]> {
  const deadline = performance.now() + PATIENCE_MS * care;
  const repeats = await countsFor(gpu, passes, ROUND_MS);
  const filled = repeated(passes, repeats);
  // Of each round, by pass; those that took no part are left out.
  const rounds: number[][] = [];
  const ratio = (i: number, to: (round: number[]) => number) =>
    median(rounds.flatMap((round) => (round[i] === undefined ? [] : [round[i] / to(round)])));
  let left = passes.map((_, i) => i);
  for (const stage of STAGES) {
    for (let n = 0; n < (left.length > 1 ? stage.rounds * care : 1); n++) {
      if (n >= FEW && performance.now() > deadline) break;
      // Another one begins each time: the first may pay for waking the device.
      left.push(left.shift()!);
      const times = await timePasses(
        gpu,
        left.map((i) => filled[i]!),
      );
      const round: number[] = [];
      for (const [n, i] of left.entries()) round[i] = times[n]!.ms / repeats[i]!;
      rounds.push(round);
    }
    const ofLeft = (round: number[]) => left.reduce((sum, i) => sum + round[i]!, 0);
    const share = new Map(left.map((i) => [i, ratio(i, ofLeft)]));
    const best = Math.min(...share.values());
    left = left.filter((i) => share.get(i)! <= stage.within * best);
  }
  const fastest = left[0]!;
  const ms = lowerQuartile(rounds.map((round) => round[fastest]!));
  return passes.map((_, i) => ms * ratio(i, (round) => round[fastest]!));
}

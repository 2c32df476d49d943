// The tuner: times the variants of every heavy op of a graph, for its own shapes, and remembers the fastest.
import type { Gpu } from '../gpu/gpu.ts';
import { rootsOf, topological } from '../graph/graph.ts';
import { type ChooseVariant, possibleVariants, signatureOf } from '../graph/variants.ts';
import type { Tensor, Variant } from '../ops/tensor.ts';
import { VERSION } from '../version.ts';
import { agree, alone, buildAlone } from './alone.ts';
import { prepare, traitsOf, type Work } from './build.ts';
import { record } from './dispatch.ts';
import { loadExperimental } from './experimental.ts';
import { lowerQuartile, repeated, type TimedPass, timePasses } from './timer.ts';
import { type TuneStore, tuneStore } from './tune_store.ts';

export interface TuneOptions {
  /** Where winners are remembered: IndexedDB where there is one, unless told. */
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
  /** Lower quartile of its rounds; none if the result was wrong or the driver refused the kernel. */
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
  { rounds: 2, within: 2 },
  { rounds: 5, within: 1.3 },
  { rounds: 8, within: 1 },
];
/** After this long each stage has one round more, and no further ones: milliseconds. */
const PATIENCE_MS = 5000;
/** Repeats within a round take about this long. */
const ROUND_MS = 20;

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
  await loadExperimental(gpu);
  const key = tuneKey(gpu);
  const remembered: Record<string, string> = JSON.parse((await store.get(key)) ?? '{}');
  const nodes = new Map<string, Tensor>();
  for (const node of topological(rootsOf(await prepare(gpu, description)))) {
    if (possibleVariants(node, traitsOf(gpu)).length > 1 && node.size > 0) nodes.set(signatureOf(node), node);
  }
  const results: TuneResult[] = [];
  for (const [signature, node] of nodes) {
    const known = remembered[signature];
    const possible = possibleVariants(node, traitsOf(gpu));
    const rule = possible.find(({ sensible }) => sensible?.(node, traitsOf(gpu)) ?? true)!.name;
    const isKnown = known !== undefined && possible.some(({ name }) => name === known);
    const candidates = isKnown && !again ? [] : await measure(gpu, node, possible, care);
    const timed = candidates.filter(({ ms }) => ms !== undefined).sort((a, b) => a.ms! - b.ms!);
    const result = { signature, winner: timed[0]?.name ?? known ?? rule, rule, candidates };
    remembered[signature] = result.winner;
    results.push(result);
    onResult?.(result);
  }
  if (results.some(({ candidates }) => candidates.length > 0)) await store.set(key, JSON.stringify(remembered));
  const choose: ChooseVariant = (node, possible) => {
    const winner = remembered[signatureOf(node)];
    return possible.find(({ name }) => name === winner);
  };
  return { choose, results };
}

/** Times the variants, and says what is wrong with those that cannot be. */
async function measure(gpu: Gpu, node: Tensor, variants: readonly Variant[], care: number): Promise<TuneCandidate[]> {
  const subject = alone(node.op, node.inputs, node.attrs);
  // The last is possible everywhere and the plainest: the others are held against it.
  const built = await Promise.all(
    variants.map(async (variant) => {
      try {
        return { variant, program: await buildAlone(gpu, subject, variant) };
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
 * Times passes in turns, so that whatever else the machine does slows all of them; the fewer are left, the more often.
 *
 * @returns milliseconds of each: the lower quartile, since others at work on the machine can only add to a time
 */
async function race(gpu: Gpu, passes: readonly TimedPass[], care: number): Promise<number[]> {
  const deadline = performance.now() + PATIENCE_MS * care;
  const once = await timePasses(gpu, passes);
  const repeats = once.map(({ ms }) => Math.max(1, Math.min(50, Math.round(ROUND_MS / Math.max(ms, 0.05)))));
  const filled = repeated(passes, repeats);
  const samples = passes.map((): number[] => []);
  const result = () => samples.map(lowerQuartile);
  let left = passes.map((_, i) => i);
  for (const { rounds, within } of STAGES) {
    for (let round = 0; round < (left.length > 1 ? rounds * care : 1); round++) {
      if (round > 0 && performance.now() > deadline) break;
      // Another one begins each time: the first may pay for waking the device.
      left.push(left.shift()!);
      const times = await timePasses(
        gpu,
        left.map((i) => filled[i]!),
      );
      for (const [n, i] of left.entries()) samples[i]!.push(times[n]!.ms / repeats[i]!);
    }
    const ms = result();
    const best = Math.min(...left.map((i) => ms[i]!));
    left = left.filter((i) => ms[i]! <= within * best);
  }
  return result();
}

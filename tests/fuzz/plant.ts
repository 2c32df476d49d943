// The search for one planted fault: random graphs, until one of them shows it.
import fc from 'fast-check';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { kernelsOf, planGraph } from '../../src/graph/plan.ts';
import { DEFAULT_LIMITS } from '../../src/ops/tensor.ts';
import { traitsOf } from '../../src/runtime/build.ts';
import { ADAPTERS } from './adapters.ts';
import type { Kind } from './builder.ts';
import { emptyTally } from './compare.ts';
import { deviceFor, PLANS } from './device.ts';
import { FAULTS, type Fault } from './faults.ts';
import { checkGradients } from './gradient_check.ts';
import { violations } from './kernel_check.ts';
import { KINDS } from './kinds.ts';
import { Picker, type Recipe, recipes } from './picker.ts';
import { build, type Case } from './random_graph.ts';
import { runCase } from './run_case.ts';
import { scheduleProblems } from './schedule_check.ts';
import { checkSimplified } from './simplify_check.ts';
import { countingTwin, storeProblems } from './stores.ts';

interface Search {
  readonly kinds: readonly Kind[];
  readonly needsDevice?: boolean;
  /** @throws Error if a graph shows a fault */
  hold(made: Case, recipe: Recipe, gpu: Gpu): void | Promise<void>;
}

const all = [KINDS.general, KINDS.updates, KINDS.indices, KINDS.images];
const fail = (problems: readonly string[]) => {
  if (problems.length > 0) throw new Error(problems.join('\n'));
};
const adapterOf = ({ ends }: Recipe) => new Picker(ends.slice(40)).pick(ADAPTERS);

const SEARCHES: Readonly<Record<Fault['search'], Search>> = {
  results: { kinds: all, needsDevice: true, hold: (made, _, gpu) => runCase(gpu, made, emptyTally()) },
  plans: {
    kinds: all,
    hold(made, recipe) {
      const plan = planGraph(made.graph, adapterOf(recipe));
      fail([...scheduleProblems(plan), ...[...kernelsOf(plan)].flatMap((kernel) => violations(kernel, plan))]);
    },
  },
  simplified: {
    kinds: all,
    hold: (made, { ends }) => checkSimplified(made, new Picker(ends.slice(40)), emptyTally()),
  },
  gradients: {
    kinds: [
      { ...KINDS.general, variables: 0, most: 120, steps: KINDS.general.steps.filter((step) => step !== 'half') },
    ],
    hold: (made, { ends }) => checkGradients(made, new Picker(ends.slice(24)), { compared: 0, bent: 0 }),
  },
  stores: {
    kinds: all,
    needsDevice: true,
    async hold({ graph }, _, gpu) {
      // One buffer is left for the counters.
      const plan = planGraph(graph, {
        ...traitsOf(gpu),
        limits: { ...DEFAULT_LIMITS, maxStorageBuffersPerShaderStage: 7 },
      });
      for (const kernel of kernelsOf(plan)) {
        if (kernel.lowered.bindings.length !== countingTwin(kernel, plan.memory).bytes.length - 1) continue;
        fail(await storeProblems(gpu.device, kernel, plan.memory));
      }
    },
  },
};

/** @returns how many graphs it took, or undefined if it was not found within so many seconds */
export async function find(name: string, seed: number, seconds: number): Promise<number | undefined> {
  const end = performance.now() + 1000 * seconds;
  const { kinds, needsDevice, hold } = SEARCHES[FAULTS[name]!.search];
  const gpu = needsDevice ? await deviceFor(PLANS[0]!) : (undefined as unknown as Gpu);
  for (let count = 1; performance.now() < end; count++) {
    const [recipe] = fc.sample(recipes(20), { numRuns: 1, seed: seed + count });
    try {
      await hold(build(kinds[count % kinds.length]!, recipe!), recipe!, gpu);
    } catch (error) {
      if (/there is nothing to compute/.test(String(error))) continue;
      return count;
    }
  }
  return undefined;
}

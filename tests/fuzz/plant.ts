// The search for one planted fault: random graphs, until one of them shows it.
import fc from 'fast-check';
import { kernelsOf, planGraph } from '../../src/graph/plan.ts';
import { ADAPTERS } from './adapters.ts';
import { emptyTally } from './compare.ts';
import { deviceFor, PLANS } from './device.ts';
import { FAULTS } from './faults.ts';
import { violations } from './kernel_check.ts';
import { KINDS } from './kinds.ts';
import { Picker, recipes } from './picker.ts';
import { build } from './random_graph.ts';
import { runCase } from './run_case.ts';
import { scheduleProblems } from './schedule_check.ts';

/** @returns how many graphs it took, or undefined if it was not found within so many seconds */
export async function find(name: string, seed: number, seconds: number): Promise<number | undefined> {
  const end = performance.now() + 1000 * seconds;
  const isLowered = FAULTS[name]!.search === 'lowering.node';
  const gpu = isLowered ? undefined : await deviceFor(PLANS[0]!);
  const kinds = [KINDS.general, KINDS.updates, KINDS.indices, KINDS.images];
  for (let count = 1; performance.now() < end; count++) {
    const [recipe] = fc.sample(recipes(20), { numRuns: 1, seed: seed + count });
    try {
      const made = build(kinds[count % kinds.length]!, recipe!);
      if (gpu) {
        await runCase(gpu, made, emptyTally());
        continue;
      }
      const plan = planGraph(made.graph, new Picker(recipe!.ends.slice(40)).pick(ADAPTERS));
      const problems = [
        ...scheduleProblems(plan),
        ...[...kernelsOf(plan)].flatMap((kernel) => violations(kernel, plan)),
      ];
      if (problems.length > 0) return count;
    } catch (error) {
      if (/there is nothing to compute/.test(String(error))) continue;
      return count;
    }
  }
  return undefined;
}

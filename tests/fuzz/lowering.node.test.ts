// Random graphs and the models' training steps, lowered for forty described adapters, in Node without a device: every kernel
// keeps to the limits, binds no buffer in conflict, and finds in memory what it reads.
import { afterAll, expect, test } from 'vitest';
import type { Graph } from '../../src/graph/graph.ts';
import { mixedPrecision } from '../../src/graph/mixed_precision.ts';
import { kernelsOf, planGraph } from '../../src/graph/plan.ts';
import { sampled } from '../sampled.ts';
import { ADAPTERS, type Adapter } from './adapters.ts';
import { MINUTES, search, TIMEOUT } from './budget.ts';
import { violations } from './kernel_check.ts';
import { KINDS } from './kinds.ts';
import { largeGraphs } from './large_graphs.ts';
import { modelSteps } from './model_steps.ts';
import { Picker, recipes } from './picker.ts';
import { build } from './random_graph.ts';
import { describe } from './run_case.ts';
import { scheduleProblems } from './schedule_check.ts';

const tally = { plans: 0, kernels: 0 };
afterAll(() => console.log(`lowering: ${tally.plans} plans for ${ADAPTERS.length} adapters, ${tally.kernels} kernels`));

function problemsOf(graph: Graph, adapter: Adapter, variants?: number, half = false): string[] {
  let calls = 0;
  const plan = planGraph(graph, adapter, {
    ...(variants !== undefined && { choose: (_, possible) => possible[(variants + 7 * calls++) % possible.length] }),
    ...(half && { transform: mixedPrecision }),
  });
  const found = scheduleProblems(plan);
  for (const kernel of kernelsOf(plan)) {
    found.push(...violations(kernel, plan));
    tally.kernels++;
  }
  tally.plans++;
  return found.map((line) => `${adapter.name}: ${line}`);
}

for (const kind of Object.values(KINDS)) {
  const name = `random graphs, ${kind.name}`;
  test(
    name,
    async () => {
      await search(name, recipes(30), { runs: 10, share: 1 / 6 }, (recipe) => {
        const made = build(kind, recipe);
        if (Object.keys(made.graph.outputs).length === 0) return;
        const p = new Picker(recipe.ends.slice(40));
        for (let i = 0; i < 4; i++) {
          const found = problemsOf(made.graph, p.pick(ADAPTERS), p.chance(3) ? p.int(100) : undefined, p.chance(4));
          if (found.length) throw new Error(`${found.join('\n')}\n${describe(made)}`);
        }
      });
    },
    TIMEOUT,
  );
}

test.each(Object.entries(largeGraphs))(
  'large: %s',
  (_, make) => {
    for (const adapter of ADAPTERS) expect(problemsOf(make(), adapter)).toEqual([]);
  },
  TIMEOUT,
);

// `npm test` takes some of the models, others each time.
test.each(sampled(Object.entries(modelSteps()), 4))(
  'training step: %s',
  (_, make) => {
    const graph = make();
    const chosen = MINUTES > 0 ? ADAPTERS : ADAPTERS.filter((_, i) => i % 7 === 0);
    for (const adapter of chosen) {
      expect(problemsOf(graph, adapter)).toEqual([]);
      if (adapter.subgroupSize === 8) expect(problemsOf(graph, adapter, undefined, true)).toEqual([]);
    }
  },
  TIMEOUT,
);

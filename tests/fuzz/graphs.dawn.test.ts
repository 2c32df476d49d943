// Random graphs on lavapipe, against a float64 evaluation of the graph before simplification: outputs, gradients, updates in
// place, planned as for the software adapter that it is and as for a GPU. tests/fuzz/README.md says how to read a failure.
import { afterAll, describe, inject, test } from 'vitest';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { MINUTES, search, TIMEOUT } from './budget.ts';
import type { Kind } from './builder.ts';
import { emptyTally, type Tally } from './compare.ts';
import { deviceFor, PLANS } from './device.ts';
import { KINDS } from './kinds.ts';
import { recipes } from './picker.ts';
import { build } from './random_graph.ts';
import { type RunOptions, runCase } from './run_case.ts';

const missing = inject('withoutLavapipe');

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

/** In a short run each plan meets some kinds of graphs; in a long one, all. */
const SHORT: Readonly<Record<string, readonly (keyof typeof KINDS)[]>> = {
  software: ['general'],
  'software, 8 buffers, no subgroups': ['indices'],
  GPU: ['updates'],
  'GPU, 8 buffers, no subgroups': ['updates'],
};

/** By rule, by any variant that is possible, and stored as f16. */
const WAYS: Readonly<Record<string, (run: number) => RunOptions>> = {
  'by rule': () => ({}),
  'any variants': (run) => ({ variants: run }),
  'f16 storage': () => ({ storage: 'f16' }),
};

describe.skipIf(missing).each(PLANS.map((plan) => [plan.name, plan] as const))('planned for: %s', (_, plan) => {
  const tallies = new Map<string, Tally>();
  let gpu: Gpu | undefined;
  afterAll(() => {
    gpu?.destroy();
    console.log(report(plan.name, tallies));
  });

  const kinds = MINUTES > 0 ? Object.values(KINDS) : SHORT[plan.name]!.map((name) => KINDS[name]);
  const share = 1 / (PLANS.length * kinds.length * Object.keys(WAYS).length);
  describe.each(kinds.map((kind): [string, Kind] => [kind.name, kind]))('%s', (_, kind) => {
    test.each(Object.entries(WAYS))(
      `${kind.name}, %s`,
      async (way, options) => {
        gpu ??= await deviceFor(plan);
        const tally = emptyTally();
        tallies.set(`${kind.name}, ${way}`, tally);
        let run = 0;
        const runs = MINUTES > 0 ? 20 : way === 'by rule' ? 3 : 1;
        await search(`${kind.name}, ${way}`, recipes(MINUTES > 0 ? 40 : 20), { runs, share }, (recipe) =>
          runCase(gpu!, build(kind, recipe), tally, options(run++)),
        );
        // Another device for what comes next: a driver keeps what it compiled. A long run tells how far it is.
        if (MINUTES > 0) {
          gpu.destroy();
          gpu = undefined;
          console.log(row(`${kind.name}, ${way}`, tally));
        }
      },
      TIMEOUT,
    );
  });
});

function report(plan: string, tallies: ReadonlyMap<string, Tally>): string {
  return [`${plan}:`, ...[...tallies].map(([name, tally]) => row(name, tally))].join('\n');
}

function row(name: string, { graphs, nodes, tensors, elements, undecided, worst }: Tally): string {
  return `  ${name.padEnd(24)} ${graphs} graphs, ${nodes} nodes, ${tensors} tensors, ${elements} elements (${undecided} undecided), worst ${worst.toFixed(2)} of its tolerance`;
}

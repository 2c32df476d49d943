// Random models with every optimizer, trained on lavapipe for some steps against the float64 evaluation of the whole step: loss,
// parameters, moments, and running statistics. As graphs.dawn.test.ts, planned for software and for a GPU.
import { afterAll, describe, inject, test } from 'vitest';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { MINUTES, search, TIMEOUT } from './budget.ts';
import { emptyTally } from './compare.ts';
import { deviceFor, PLANS } from './device.ts';
import { recipes } from './picker.ts';
import { buildModel } from './random_model.ts';
import { runCase } from './run_case.ts';

const missing = inject('withoutLavapipe');

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing).each(PLANS.map((plan) => [plan.name, plan] as const))('models, planned for: %s', (_, plan) => {
  const tally = emptyTally();
  let gpu: Gpu | undefined;
  afterAll(() => {
    gpu?.destroy();
    const { graphs, nodes, tensors, elements, undecided } = tally;
    console.log(
      `${plan.name}: ${graphs} models, ${nodes} nodes, ${tensors} tensors, ${elements} elements (${undecided} undecided)`,
    );
  });

  test(
    'random models',
    async () => {
      gpu ??= await deviceFor(plan);
      const runs = MINUTES > 0 ? 20 : 1;
      await search('random models', recipes(MINUTES > 0 ? 12 : 9), { runs, share: 1 / PLANS.length }, (recipe) =>
        runCase(gpu!, buildModel(recipe), tally),
      );
    },
    TIMEOUT,
  );
});

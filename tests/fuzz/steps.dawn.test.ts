// The training steps of the models that are trained by name, planned for each GPU that is described, on lavapipe against a float64
// evaluation of the whole step: loss, norm of the gradient, parameters, moments and statistics after two steps. Narrow models and
// small images, since it is the kernels that count. `npm test` takes some pairs of a model and a GPU, others each time, and
// `npm test -- --all` every one.
import { afterAll, beforeAll, describe, inject, test } from 'vitest';
import { startDawn } from '../../src/cli/dawn/dawn.ts';
import { readAdapter, shippedAdapters } from '../../src/cli/profile/adapter.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import type { AdapterTraits } from '../../src/ops/tensor.ts';
import { traitsOf } from '../../src/runtime/build.ts';
import { freshSeed } from '../../src/testing/check_op.ts';
import { randomFrom } from '../../src/testing/numbers.ts';
import { emptyTally } from './compare.ts';
import { imageModels, smallStep } from './model_steps.ts';
import { runCase } from './run_case.ts';

const missing = inject('withoutLavapipe');
const SIDES = [8, 9];
/** Pairs of a model and a GPU that a short run takes. */
const TAKEN = 3;

const SEED = Number(process.env.GLIA_FUZZ_SEED ?? freshSeed());
const pairs = shippedAdapters().flatMap((adapter, i) =>
  imageModels.map((model, j) => ({ adapter, model, side: SIDES[(i + j) % SIDES.length]! })),
);
const random = randomFrom(SEED);
const shuffled = pairs.map((pair) => ({ pair, at: random() })).sort((a, b) => a.at - b.at);
const taken = ALL_TESTS ? pairs : shuffled.slice(0, TAKEN).map(({ pair }) => pair);

describe.skipIf(missing)(`training steps as planned for GPUs (GLIA_FUZZ_SEED=${SEED})`, () => {
  let gpu: Gpu;
  const tally = emptyTally();

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });

  afterAll(() => {
    gpu?.destroy();
    const { graphs, tensors, elements, undecided, worst } = tally;
    console.log(
      `${graphs} steps, ${tensors} tensors, ${elements} elements (${undecided} undecided), at most ${worst.toFixed(2)} of the tolerance`,
    );
  });

  test.each(taken)('$model, images of $side, for $adapter', async ({ model, side, adapter }) => {
    await runCase(gpu, smallStep(model, side), tally, { adapter: within(traitsOf(readAdapter(adapter).gpu), gpu) });
  });
});

/** A described adapter with no more of anything than the device has that stands in for it. */
function within(adapter: AdapterTraits, { device }: Gpu): AdapterTraits {
  const least = Object.entries(adapter.limits).map(([name, limit]) => [
    name,
    Math.min(limit, device.limits[name as keyof AdapterTraits['limits']]),
  ]);
  return { ...adapter, limits: Object.fromEntries(least) };
}

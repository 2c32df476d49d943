// The training steps of the models that are trained by name, of images and of text, planned for each GPU that is described, against
// a float64 evaluation of the whole step: loss, norm of the gradient, parameters, moments and statistics after two steps. Narrow
// models and small images, since it is the kernels that count. `npm test` takes one pair of a model and a GPU, another each time, and
// `npm test -- --all` every one.
//
// On Chromium's own driver: lavapipe compiles barriers as coroutines, and took over a minute for the kernels of one step.
import { afterAll, beforeAll, describe, test, vi } from 'vitest';
import { startDawn } from '../../src/cli/dawn/dawn.ts';
import { readAdapter, shippedAdapters } from '../../src/cli/profile/adapter.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import { kernelsOf, planGraph } from '../../src/graph/plan.ts';
import type { AdapterTraits } from '../../src/ops/tensor.ts';
import { traitsOf } from '../../src/runtime/build.ts';
import { sampled } from '../sampled.ts';
import { TIMEOUT } from './budget.ts';
import { emptyTally } from './compare.ts';
import { modelNames, smallStep } from './model_steps.ts';
import { runCase } from './run_case.ts';

// Marked loops stay loops, which is the same shader and compiles sooner. Each variant is checked as it is written out, in
// lavapipe.dawn.test.ts.
vi.mock('../../src/gpu/specialise.ts', async (original) => {
  const actual = await original<typeof import('../../src/gpu/specialise.ts')>();
  const specialise: typeof actual.specialise = (source, what) =>
    actual.specialise(source.replaceAll('// unroll', ''), what);
  return { ...actual, specialise };
});

const SIDES = [8, 9];
/** Pairs of a model and a GPU that a short run takes: each compiles for a quarter of a minute, and of convolutions for one. */
const TAKEN = 1;

const pairs = shippedAdapters().flatMap((adapter) =>
  modelNames.map((model, j) => ({ adapter, model, side: SIDES[j % SIDES.length]! })),
);
const taken = sampled(pairs, TAKEN);

describe(`training steps as planned for GPUs (GLIA_FUZZ_SEED=${TEST_SEED})`, () => {
  let gpu: Gpu;
  const tally = emptyTally();

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('swiftshader') });
  });

  afterAll(() => {
    gpu?.destroy();
    const { graphs, tensors, elements, undecided, worst } = tally;
    console.log(
      `${graphs} steps, ${tensors} tensors, ${elements} elements (${undecided} undecided), at most ${worst.toFixed(2)} of the tolerance`,
    );
  });

  /** By the text of its kernels: GPUs for which a step is planned alike. */
  const seen = new Set<string>();

  test.each(taken)(
    '$model, images of $side where it has images, for $adapter',
    async ({ model, side, adapter }) => {
      const traits = within(traitsOf(readAdapter(adapter).gpu), gpu);
      const made = smallStep(model, side);
      const text = [...kernelsOf(planGraph(made.graph, traits))].map(({ code }) => code).join();
      if (!seen.has(text)) await runCase(gpu, made, tally, { adapter: traits });
      seen.add(text);
    },
    TIMEOUT,
  );
});

/** A described adapter with no more of anything than the device has that stands in for it. */
function within(adapter: AdapterTraits, gpu: Gpu): AdapterTraits {
  const least = Object.entries(adapter.limits).map(([name, limit]) => [
    name,
    Math.min(limit, gpu.device.limits[name as keyof AdapterTraits['limits']]),
  ]);
  return { ...adapter, f16: adapter.f16 && gpu.has('shader-f16'), limits: Object.fromEntries(least) };
}

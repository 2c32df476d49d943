// Dispatches of several members, as planned for a GPU, on lavapipe, against the float64 evaluation of the traced graph. Random
// graphs and models of tests/fuzz meet them, too.
import { afterAll, describe, expect, inject, test } from 'vitest';
import type { Gpu } from '../src/gpu/gpu.ts';
import { planGraph } from '../src/graph/plan.ts';
import { add, div, isFinite, mul, sqrt, square, where } from '../src/ops/elementwise.ts';
import { matmul } from '../src/ops/matmul.ts';
import { sum } from '../src/ops/reduce.ts';
import { input, Variable } from '../src/ops/source.ts';
import { pack } from '../src/ops/view.ts';
import { traitsOf } from '../src/runtime/build.ts';
import { emptyTally } from './fuzz/compare.ts';
import { deviceFor, PLANS } from './fuzz/device.ts';
import type { Case } from './fuzz/random_graph.ts';
import { runCase } from './fuzz/run_case.ts';

const missing = inject('withoutLavapipe');

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

/** Gradients of a layer, their norm, and an update that hangs on it. */
function step(): Case {
  const [g, x] = [input('g', [8, 12]), input('x', [8, 16])];
  const gradient = pack([matmul(g, x, { transposeA: true }), sum(g, { axis: 0 }), sum(x, { axis: 0 })]);
  const squares = sum(square(gradient));
  const finite = isFinite(squares);
  const [weights, counter] = [new Variable('w', gradient.shape), new Variable('n', [])];
  const rate = div(0.1, add(sqrt(squares), add(counter.tensor, 1)));
  const graph = {
    outputs: { norm: sqrt(squares) },
    updates: [
      { variable: weights, value: where(finite, add(weights.tensor, mul(gradient, rate)), weights.tensor) },
      { variable: counter, value: add(counter.tensor, finite) },
    ],
  };
  const numbers = Object.fromEntries(
    [g, x].map(({ attrs, size }) => [
      (attrs as { name: string }).name,
      Float32Array.from({ length: size }, (_, i) => Math.fround(Math.sin(size + 0.7 * i * i))),
    ]),
  );
  const variables = [weights, counter];
  return { graph, inputs: numbers, numbers, variables, toBuffers: ['norm'], runs: 2, stepsInARun: 2 };
}

describe.skipIf(missing)('planned for a GPU', () => {
  let gpu: Gpu | undefined;
  afterAll(() => gpu?.destroy());

  test('members side by side and in turn compute what the evaluator does', { timeout: 120_000 }, async () => {
    gpu ??= await deviceFor(PLANS.find(({ name }) => name === 'GPU')!);
    const made = step();
    const arrangements = planGraph(made.graph, traitsOf(gpu)).schedule.groups.map(({ arrangement }) => arrangement);
    expect(arrangements).toContain('side by side');
    await runCase(gpu, made, emptyTally());
  });
});

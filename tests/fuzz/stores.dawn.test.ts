// No two invocations of a kernel store one element, and none is left out: counted on lavapipe, for the kernels of random graphs and
// of large sizes, planned for software and for a GPU.
import { afterAll, describe, expect, inject, test } from 'vitest';
import type { Gpu } from '../../src/gpu/gpu.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { kernelsOf, planGraph } from '../../src/graph/plan.ts';
import { matmul } from '../../src/ops/matmul.ts';
import { sum } from '../../src/ops/reduce.ts';
import { input } from '../../src/ops/source.ts';
import { DEFAULT_LIMITS, type Tensor } from '../../src/ops/tensor.ts';
import { traitsOf } from '../../src/runtime/build.ts';
import { MINUTES, search, TIMEOUT } from './budget.ts';
import { deviceFor, PLANS } from './device.ts';
import { KINDS } from './kinds.ts';
import { Picker, recipes } from './picker.ts';
import { build } from './random_graph.ts';
import { describe as print } from './run_case.ts';
import { countingTwin, storeProblems } from './stores.ts';

const missing = inject('withoutLavapipe');

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing).each(PLANS.map((plan) => [plan.name, plan] as const))('stores, planned for: %s', (_, plan) => {
  let gpu: Gpu | undefined;
  let kernels = 0;
  afterAll(() => {
    gpu?.destroy();
    console.log(`${plan.name}: every element stored once by ${kernels} kernels`);
  });

  async function problemsOf(graph: Graph, variants?: number): Promise<string[]> {
    gpu ??= await deviceFor({ ...plan, storageBuffers: 16 });
    const found: string[] = [];
    let calls = 0;
    // One buffer is left for the counters.
    const limits = { ...DEFAULT_LIMITS, maxStorageBuffersPerShaderStage: plan.storageBuffers - 1 };
    const planned = planGraph(
      graph,
      { ...traitsOf(gpu), limits },
      {
        ...(variants !== undefined && {
          choose: (_, possible) => possible[(variants + 7 * calls++) % possible.length],
        }),
      },
    );
    for (const kernel of kernelsOf(planned)) {
      // An opaque kernel names its buffers itself.
      if (kernel.lowered.bindings.length !== countingTwin(kernel, planned.memory).bytes.length - 1) continue;
      found.push(...(await storeProblems(gpu.device, kernel, planned.memory)));
      kernels++;
    }
    return found;
  }

  const kinds = MINUTES > 0 ? Object.values(KINDS) : [KINDS[plan.software ? 'general' : 'images']];
  test.each(kinds.map((kind) => [kind.name, kind] as const))(
    'random graphs, %s',
    async (name, kind) => {
      const share = 1 / (PLANS.length * kinds.length);
      await search(
        `random graphs, ${name}`,
        recipes(MINUTES > 0 ? 30 : 8),
        { runs: MINUTES > 0 ? 20 : 1, share },
        async (recipe) => {
          const made = build(kind, recipe);
          if (Object.keys(made.graph.outputs).length === 0) return;
          const p = new Picker(recipe.ends.slice(40));
          const found = await problemsOf(made.graph, p.chance(3) ? p.int(100) : undefined);
          if (found.length) throw new Error(`${found.join('\n')}\n${print(made)}`);
        },
      );
    },
    TIMEOUT,
  );

  // Where there are more workgroups than one dimension takes, and spare ones.
  const large: Record<string, () => Tensor> = {
    'sums of 65,539 rows': () => sum(input('x', [65_539, 256]), { axis: 1 }),
    'a matmul of 13×18×27': () => matmul(input('x', [13, 27]), input('y', [27, 18])),
  };
  test.each(Object.entries(large))('%s', async (_, make) => {
    expect(await problemsOf({ outputs: { y: make() }, updates: [] })).toEqual([]);
  });
});

test.skipIf(missing)('a kernel that stores an element twice, or leaves one out, is told', async () => {
  const gpu = await deviceFor(PLANS[2]!);
  const planned = planGraph({ outputs: { y: sum(input('x', [300, 256]), { axis: 1 }) }, updates: [] }, traitsOf(gpu));
  const [kernel] = [...kernelsOf(planned)];
  const problems = async (from: string, to: string) => {
    expect(kernel!.code).toContain(from);
    return storeProblems(gpu.device, { ...kernel!, code: kernel!.code.replace(from, to) }, planned.memory);
  };
  const [row, index] = /let o = ([^;]+);/.exec(kernel!.code) as unknown as [string, string];
  const stored = async (other: string) => (await problems(row, `let o = (${index}) ${other};`)).join();
  expect(await stored('& 0xfffffffeu')).toMatch(/store 0 of 300 is made 2 times/);
  expect(await stored('+ 1u')).toMatch(/store 0 of 300 is made 0 times/);
  gpu.destroy();
});

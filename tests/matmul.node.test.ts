// Which tile the heuristic takes for a matmul on a described GPU, and how much of it is wasted.
import { describe, expect, test } from 'vitest';
import { readAdapter, shippedAdapters } from '../src/cli/profile/adapter.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { rootsOf, topological } from '../src/graph/graph.ts';
import type { Lowered } from '../src/graph/lower.ts';
import { kernelsOf, planGraph } from '../src/graph/plan.ts';
import { simplify } from '../src/graph/simplify.ts';
import { possibleVariants } from '../src/graph/variants.ts';
import { mul } from '../src/ops/elementwise.ts';
import { matmul, matmulOp } from '../src/ops/matmul.ts';
import { sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import { apply, DEFAULT_LIMITS, type DeviceLimits, type Variant } from '../src/ops/tensor.ts';
import { traitsOf } from '../src/runtime/build.ts';
import { modelSteps } from './fuzz/model_steps.ts';
import { sampled } from './sampled.ts';

const GPU = { software: false, vendor: 'nvidia', subgroupSize: 32, f16: false, limits: DEFAULT_LIMITS };

function kernelOf(batch: number, m: number, k: number, n: number) {
  const c = matmul(input('a', [batch, m, k]), input('b', [batch, k, n]));
  const [one] = kernelsOf(planGraph({ outputs: { c }, updates: [] }, GPU));
  return one!.lowered;
}

/** Results that the threads of a kernel of tiles compute for each that is wanted. */
function wasteOf(batch: number, m: number, k: number, n: number): number {
  return tiledWaste(kernelOf(batch, m, k, n));
}

function tiledWaste({ variant, constants, workgroups, group }: Lowered): number {
  if (!variant.includes('tile')) return 1;
  const { TILE_M, TILE_N, TILE_N4, GROUP_X, GROUP_Y, GROUP_Z } = constants as Record<string, number>;
  const area = TILE_N ? TILE_M! * TILE_N : TILE_M! * 4 * TILE_N4! * GROUP_X! * GROUP_Y! * GROUP_Z!;
  return (area * workgroups[0] * workgroups[1] * workgroups[2]) / group.kernelOps[0]!.size;
}

describe('on a GPU', () => {
  test.each([
    [4096, 8, 8, 8],
    [1024, 12, 64, 12],
    [196, 32, 128, 12],
    [1, 25088, 72, 12],
    [128, 16, 16, 16],
    [1, 132, 64, 132],
  ])('%i times %i×%i×%i wastes less than three fifths', (batch, m, k, n) => {
    expect(wasteOf(batch, m, k, n)).toBeLessThan(2.5);
  });

  test('a tile wastes less than three quarters, whatever the sizes', () => {
    for (let m = 5; m < 300; m += 23) {
      for (const n of [5, 8, 9, 20, 33, 36, 64, 65, 100, 132, 260, 1000]) {
        for (const batch of [1, 3, 64]) expect(wasteOf(batch, m, 16, n), `${batch}, ${m}, ${n}`).toBeLessThan(4);
      }
    }
  });

  // µs there: what is taken, and the next best.
  test.each([
    [128, 784, 400, '32×16, 4×4 a thread, 8 slices of K', 9.9, 10.3],
    [128, 400, 40, '32×16, 4×4 a thread, 8 slices of K', 6.5, 6.7],
    [784, 128, 400, '64×64, 8×8 a thread, 4 slices of K', 7.8, 8.7],
    [128, 20, 400, '32×16, 4×4 a thread, 8 slices of K', 3.2, 3.2],
    [128, 400, 20, '32×16, 4×4 a thread, 8 slices of K', 6.5, 6.7],
    [512, 784, 400, '64×32, 8×8 a thread, 8 slices of K', 22.7, 23.2],
    [3136, 288, 64, '64×32, 8×8 a thread, 8 slices of K', 10.8, 10.9],
    [25088, 288, 32, '64×32, 8×8 a thread, 8 slices of K', 31.1, 33.4],
  ])('%i×%i×%i takes the tile that an H200 was fastest with', (m, k, n, tile) => {
    expect(kernelOf(1, m, k, n).variant).toBe(`workgroup tile ${tile}`);
  });

  test('large matmuls take the largest tile, and small ones share out what is summed over', () => {
    expect(kernelOf(1, 4096, 64, 4096).variant).toBe('workgroup tile 128×128, 8×8 a thread');
    // An adapter of a few cores has work enough in larger tiles.
    const few = planGraph(
      { outputs: { y: matmul(input('a', [512, 512]), input('b', [512, 512])) }, updates: [] },
      { ...GPU, vendor: '' },
    );
    expect([...kernelsOf(few)][0]!.lowered.variant).toBe('workgroup tile 128×128, 8×8 a thread');
  });
});

test('a batch of rows and one weight is one flat matmul, and so are its gradients', () => {
  const [x, w] = [input('x', [2, 3, 5, 8]), input('w', [8, 4])];
  const y = matmul(x, w);
  const graph = simplify({
    outputs: { y, ...Object.fromEntries(gradients(sum(mul(y, y)), [x, w]).entries()) },
    updates: [],
  });
  const shapes = topological(rootsOf(graph))
    .filter(({ op }) => op.name === 'matmul')
    .map(({ inputs, shape }) => [...inputs.map((x) => x.shape), shape]);
  expect(shapes).toEqual([
    [
      [30, 8],
      [8, 4],
      [30, 4],
    ],
    [
      [30, 4],
      [8, 4],
      [30, 8],
    ],
    [
      [30, 8],
      [30, 4],
      [8, 4],
    ],
  ]);
});

test('what a workgroup needs of a device is held against its limits', () => {
  const node = matmul(input('a', [64, 64]), input('b', [64, 64]));
  const named = (limits: DeviceLimits) => possibleVariants(node, { ...GPU, limits }).map(({ name }) => name);
  const greedy: Variant = {
    ...node.op.variants!.at(-1)!,
    name: 'greedy',
    needs: () => ({ threads: 256, memory: 16384 }),
  };
  const op = { ...node.op, variants: [greedy, ...node.op.variants!] };
  const both = (limits: DeviceLimits) =>
    possibleVariants(apply(op, node.inputs, node.attrs), { ...GPU, limits }).some(({ name }) => name === 'greedy');
  expect(both(DEFAULT_LIMITS)).toBe(true);
  for (const limit of [
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupSizeX',
    'maxComputeWorkgroupStorageSize',
  ]) {
    expect(both({ ...DEFAULT_LIMITS, [limit]: 128 }), limit).toBe(false);
  }
  // The plain tile is possible wherever there is WebGPU.
  expect(named({ ...DEFAULT_LIMITS, maxComputeWorkgroupStorageSize: 0 })).toContain('register tile 4×4');
});

describe('of the matmuls of any model', () => {
  test.each(sampled(Object.keys(modelSteps()), 4))(
    '%s has none that wastes three fifths, on no adapter that is described',
    (name) => {
      for (const adapter of shippedAdapters()) {
        const plan = planGraph(modelSteps()[name]!(), traitsOf(readAdapter(adapter).gpu));
        for (const { lowered } of kernelsOf(plan)) {
          const [node] = lowered.group.kernelOps;
          if (node?.op !== (matmulOp as unknown)) continue;
          expect(tiledWaste(lowered), `${adapter}: ${lowered.variant} of ${node}`).toBeLessThan(2.5);
        }
      }
    },
  );
});

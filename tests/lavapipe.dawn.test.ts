// Heavy ops and a training step on lavapipe, in Node on Dawn: with f16 and subgroups of 8, which no browser has without
// a GPU.

import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startBench } from '../src/bench/node.ts';
import type { Row } from '../src/bench/results.ts';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { OptionError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { possibleVariants } from '../src/graph/variants.ts';
import { kernels, variantsOf } from '../src/ops/kernels_all.ts';
import { matmulOp } from '../src/ops/matmul.ts';
import { ops } from '../src/ops/registry.ts';
import { input } from '../src/ops/source.ts';
import { apply, type Op, type Variant } from '../src/ops/tensor.ts';
import { traitsOf } from '../src/runtime/build.ts';
import { checkOp } from '../src/testing/check_op.ts';
import { checkOf } from '../src/testing/samples.ts';

const missing = inject('withoutLavapipe');
/** Lavapipe's subgroups have eight lanes, and it is no GPU, which alone has blocks of attention. */
const isElsewhere = ({ name }: Variant) => name.includes('quad swaps') || name.startsWith('block of');
const kernelsHere = (op: Op) => variantsOf(op).filter((variant) => !isElsewhere(variant));
/** Samples that a kernel is tried on, others each time: every one is a shader to compile. */
const TRIED = ALL_TESTS ? 2 : 1;
/** Ops computed in several ways. Those of a single kernel are checked by all their samples in `ops.test.ts`, and here by `--all`. */
const heavy = ops.filter((op) => kernelsHere(op).length > (ALL_TESTS ? 0 : 1));

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing)('on lavapipe', () => {
  let dawn: GPU;
  let gpu: Gpu;

  beforeAll(async () => {
    dawn = await startDawn('lavapipe');
    gpu = await Gpu.request({ gpu: dawn });
  });

  afterAll(() => gpu?.destroy());

  test('the device has f16 and subgroups of 8, and a product can use these', () => {
    expect(gpu.name).toMatch(/llvmpipe/);
    expect(gpu.has('shader-f16')).toBe(true);
    expect(traitsOf(gpu)).toMatchObject({ software: true, subgroupSize: 8 });
    const inputs = ['a', 'b'].map((name) => input(name, [64, 64]));
    const product = apply(matmulOp, inputs, { transposeA: false, transposeB: false });
    const names = possibleVariants(product, { ...traitsOf(gpu), kernels }).map(({ name }) => name);
    expect(names.filter((name) => name.includes('subgroup')).length).toBeGreaterThan(0);
    expect(names.filter((name) => name.startsWith('workgroup')).length).toBeGreaterThan(0);
  });

  describe.each(heavy.map((op) => [op.name, op] as const))('%s', (_, op) => {
    test.each(kernelsHere(op).map((variant) => [variant.name, variant] as const))('by %s', async (_, variant) => {
      await checkOp(gpu, op, checkOf(op).samples!, { variant, most: TRIED });
    });
  });

  test('the bench measures Glia and jax-js, and the memory of both; what does not run is named', async () => {
    const bench = await startBench(dawn, ['glia', 'jax', 'tfjs']);
    expect(bench).toMatchObject({ software: true, engines: ['glia', 'jax'] });
    expect([...bench.leftOut.keys()]).toEqual(['tfjs']);
    // For the memory both make two steps of the default VAE, whose losses have to be float64's.
    const only = ['softmax', 'memory'];
    const rows: Row[] = [];
    for await (const row of bench.rows({ engines: bench.engines, only, rounds: 1 }, () => {})) rows.push(row);
    expect(rows.map(({ id }) => id)).toEqual(only);
    for (const { cells } of rows) {
      expect(cells).toMatchObject({ glia: { samples: [expect.any(Number)] }, jax: { samples: [expect.any(Number)] } });
    }
  });

  test('a driver that is not there is a mistake of whoever named it', async () => {
    await expect(startDawn('no/such.json')).rejects.toThrow(OptionError);
    await expect(startDawn('no/such.json')).rejects.toThrow(/system, lavapipe, swiftshader/);
  });
});

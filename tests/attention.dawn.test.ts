// Attention and its gradients as GPUs compute them, by a workgroup for a block of rows, on Chromium's own driver for the CPU: lavapipe
// compiles barriers in loops as coroutines, for minutes. The interpreter (attention.node.test.ts) tries many forms, and this that a
// driver makes the same of the shaders.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { probesOf } from '../src/ops/attention_reference.ts';
import { ops } from '../src/ops/registry.ts';
import { checkOp } from '../src/testing/check_op.ts';
import { sampled } from './sampled.ts';

// Marked loops stay loops, which is the same shader and compiles sooner.
vi.mock('../src/gpu/specialise.ts', async (original) => {
  const actual = await original<typeof import('../src/gpu/specialise.ts')>();
  const specialise: typeof actual.specialise = (source, what) =>
    actual.specialise(source.replaceAll('// unroll', ''), what);
  return { ...actual, specialise };
});

let gpu: Gpu;
beforeAll(async () => {
  const device = await Gpu.request({ gpu: await startDawn('swiftshader') });
  gpu = Object.create(device, { adapter: { value: { ...device.adapter, software: false } } }) as Gpu;
});
afterAll(() => gpu?.destroy());

const blocks = ops.flatMap((op) =>
  (op.variants ?? [])
    .filter(({ name }) => name.startsWith('block of'))
    .map((variant) => [op.name, variant.name, op, variant] as const),
);

test.each(sampled(blocks, 1))('%s by a %s', async (name, _, op, variant) => {
  const samples = probesOf(name.startsWith('masked'), name.includes('Gradient'));
  const { skipped } = await checkOp(gpu, op, samples as never, { variant, most: 1 });
  expect(skipped).toBe(undefined);
});

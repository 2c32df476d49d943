// The subgroup matrix kernel as Dawn validates it: its null backend knows every extension of WGSL, checks the whole
// shader and makes a pipeline of it, and runs nothing.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dawnPackage } from '../src/cli/dawn/dawn.ts';
import { SUBGROUP_MATRIX } from '../src/gpu/adapter.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import type { ChooseVariant } from '../src/graph/variants.ts';
import { type MatmulAttrs, matmulOp } from '../src/ops/matmul.ts';
import { input } from '../src/ops/source.ts';
import { subgroupMatrixVariants } from '../src/ops/subgroup_matrix.ts';
import { apply, type Op } from '../src/ops/tensor.ts';
import { build, plan } from '../src/runtime/build.ts';
import { compile } from '../src/runtime/compile.ts';

let gpu: Gpu;
const configs = [
  { componentType: 'f32', resultComponentType: 'f32', M: 8, N: 8, K: 8 },
  { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 },
];

/** Dawn's null backend, with an adapter that claims the configurations. */
async function nullBackend(): Promise<GPU> {
  const { create } = await import(/* @vite-ignore */ pathToFileURL(join(dawnPackage(), 'index.js')).href);
  const dawn: GPU = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  return {
    async requestAdapter(options) {
      const adapter = await dawn.requestAdapter(options);
      const { limits, features, info } = adapter!;
      const { vendor, architecture, subgroupMinSize, subgroupMaxSize } = info;
      const claimed = { vendor, architecture, subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs: configs };
      return {
        limits,
        features,
        info: claimed,
        requestDevice: adapter!.requestDevice.bind(adapter),
      } as unknown as GPUAdapter;
    },
  } as GPU;
}

beforeAll(async () => {
  gpu = await Gpu.request({ gpu: await nullBackend(), experimental: ['subgroup-matrix'] });
  expect(gpu.has(SUBGROUP_MATRIX)).toBe(true);
});

afterAll(() => gpu?.destroy());

test.each(configs)('Dawn takes the kernel with matrices of $componentType, in every form', async (config) => {
  const [variant] = subgroupMatrixVariants([config], gpu.adapter.largestSubgroup);
  const op: Op<MatmulAttrs> = { ...matmulOp, variants: [variant!, ...matmulOp.variants!] };
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      const shapes = [transposeA ? [40, 36] : [36, 40], transposeB ? [68, 40] : [40, 68]];
      const inputs = shapes.map((shape, i) => input(`x${i}`, shape, config.componentType as 'f32'));
      const y = apply(op, inputs, { transposeA, transposeB });
      const description = { outputs: { y } };
      const planned = await plan(gpu, description, (_, among) => among.find((one) => one === variant));
      using program = await build(gpu, description, planned);
      const [{ code, kernel }] = program.dispatches as [(typeof program.dispatches)[0]];
      expect(kernel.variant).toBe(variant!.name);
      expect(code).toMatch(/^enable chromium_experimental_subgroup_matrix;/);
      if (config.componentType === 'f16') expect(code).toContain('enable f16;');
    }
  }
});

test('a device that was asked for it tries it first', async () => {
  const y = apply(matmulOp, [input('a', [256, 64]), input('b', [64, 256])], { transposeA: false, transposeB: false });
  const names: string[] = [];
  const chooseVariant: ChooseVariant = (_, possible) => {
    names.push(...possible.map(({ name }) => name));
    return possible.at(-1);
  };
  (await compile(gpu, { outputs: { y } }, { chooseVariant })).destroy();
  expect(names[0]).toBe('subgroup matrix 8×8×8 of f32');
});

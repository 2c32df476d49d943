// The subgroup matrix kernel as Dawn validates it: its null backend knows every extension of WGSL, checks the whole
// shader and makes a pipeline of it, and runs nothing.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dawnPackage } from '../src/cli/dawn/dawn.ts';
import { SUBGROUP_MATRIX } from '../src/gpu/adapter.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { planGraph } from '../src/graph/plan.ts';
import { type ChooseVariant, possibleVariants } from '../src/graph/variants.ts';
import { type MatmulAttrs, matmulOp } from '../src/ops/matmul.ts';
import { input } from '../src/ops/source.ts';
import { subgroupMatrixVariants } from '../src/ops/subgroup_matrix.ts';
import { apply, type Op, type Variant } from '../src/ops/tensor.ts';
import { build, plan, traitsOf } from '../src/runtime/build.ts';
import { compile } from '../src/runtime/compile.ts';

let gpu: Gpu;
const configs = [
  { componentType: 'f32', resultComponentType: 'f32', M: 8, N: 8, K: 8 },
  { componentType: 'f16', resultComponentType: 'f32', M: 16, N: 16, K: 16 },
  { componentType: 'f16', resultComponentType: 'f16', M: 16, N: 16, K: 16 },
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

const cases = configs.flatMap((config) => {
  const { componentType: type, resultComponentType: sums } = config;
  return subgroupMatrixVariants([config], 32, true).map((variant) => ({ name: variant.name, type, sums, variant }));
});

/** With as little workgroup memory as Dawn's null backend has. */
const shallow = (variant: Variant<MatmulAttrs>): Variant<MatmulAttrs> => ({
  ...variant,
  needs: () => ({ threads: 1, memory: 1 }),
  kernel(node, writer) {
    const kernel = variant.kernel(node, writer);
    return { ...kernel, constants: { ...kernel.constants, DEPTH: 16 } };
  },
});

test('tiles are as large as sixteen matrices a subgroup make them, or small, and padded by 16 bytes', () => {
  expect(cases.map(({ name }) => name)).toEqual([
    'subgroup matrix 8×8×8 of f32, tile 64×64',
    'subgroup matrix 8×8×8 of f32, tile 32×32',
    'subgroup matrix 16×16×16 of f16, tile 128×128',
    'subgroup matrix 16×16×16 of f16, tile 32×32',
    'subgroup matrix 16×16×16 of f16, sums of f16, tile 128×128',
    'subgroup matrix 16×16×16 of f16, sums of f16, tile 32×32',
  ]);
});

async function isTaken(given: Variant<MatmulAttrs>, type: string, sums: string, pins: boolean): Promise<void> {
  const variant = shallow(given);
  const op: Op<MatmulAttrs> = { ...matmulOp, variants: [variant, ...matmulOp.variants!] };
  for (const [transposeA, transposeB] of [
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ] as const) {
    const shapes = [transposeA ? [40, 36] : [36, 40], transposeB ? [68, 40] : [40, 68]];
    const inputs = shapes.map((shape, i) => input(`x${i}`, shape, type as 'f32'));
    const description = { outputs: { y: apply(op, inputs, { transposeA, transposeB }) } };
    const choose: ChooseVariant = (_, among) => among.find((one) => one === variant);
    const { pinsSubgroups: _, ...fixed } = traitsOf(gpu);
    const planned = pins
      ? await plan(gpu, description, choose)
      : planGraph({ updates: [], ...description }, { ...fixed, subgroupSize: 0 }, { choose });
    using program = await build(gpu, description, planned);
    const [{ code, kernel }] = program.dispatches as [(typeof program.dispatches)[0]];
    expect(kernel.variant).toBe(variant.name);
    expect(code).toContain('enable chromium_experimental_subgroup_matrix;');
    expect(code.includes('@subgroup_size(32)')).toBe(pins);
    if (type === 'f16') expect(code).toContain('enable f16;');
    expect(code).toContain(`alias Sum = ${sums};`);
  }
}

test.each(cases)(
  'Dawn takes $name, in every form, with subgroups of a size that is asked for',
  ({ variant, type, sums }) => isTaken(variant, type, sums, true),
);

// Subgroups may have 128 lanes then, and of such the null backend's workgroups have two at most.
test.each(configs)(
  'Dawn takes matrices of $componentType with sums of $resultComponentType, whatever subgroups have',
  (config) => {
    const small = subgroupMatrixVariants([config], gpu.adapter.largestSubgroup, true)[1]!;
    return isTaken(small, config.componentType, config.resultComponentType, false);
  },
);

test('a tile that relies on the size of subgroups asks for it where it may vary, and is not possible where nobody can', async () => {
  const y = apply(matmulOp, [input('a', [64, 64]), input('b', [64, 64])], { transposeA: false, transposeB: false });
  const isShared = ({ name }: { name: string }) => name === 'register tile 32×4, subgroup broadcast';
  expect(possibleVariants(y, { ...traitsOf(gpu), subgroupSize: 0 }).some(isShared)).toBe(false);
  expect(traitsOf(gpu)).toMatchObject({ pinsSubgroups: true, subgroupSize: 32 });
  const planned = await plan(gpu, { outputs: { y } }, (_, among) => among.find(isShared));
  using program = await build(gpu, { outputs: { y } }, planned);
  expect(program.dispatches[0]!.code).toMatch(
    /^enable subgroup_size_control;[\s\S]*@subgroup_size\(32\) @workgroup_size/m,
  );
});

test('a device that was asked for it tries it first', async () => {
  const y = apply(matmulOp, [input('a', [256, 64]), input('b', [64, 256])], { transposeA: false, transposeB: false });
  const names: string[] = [];
  const chooseVariant: ChooseVariant = (_, possible) => {
    names.push(...possible.map(({ name }) => name));
    return possible.at(-1);
  };
  (await compile(gpu, { outputs: { y } }, { chooseVariant })).destroy();
  expect(names[0]).toMatch(/^subgroup matrix 8×8×8 of f32/);
});

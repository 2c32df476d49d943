// The subgroup matrix kernel on an adapter without subgroup matrices: with its three instructions written out as loops,
// so that all the rest of it (tiles, edges, forms, stacks) is run and compared. (What the instructions themselves do, no
// adapter here can tell; Dawn's validation of the whole shader is in subgroup_matrix.dawn.test.ts.)
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { type MatmulAttrs, matmulOp } from '../src/ops/matmul.ts';
import { subgroupMatrixVariants } from '../src/ops/subgroup_matrix.ts';
import type { Op, Sample, Variant } from '../src/ops/tensor.ts';
import { checkOp } from '../src/testing/check_op.ts';

/** The instructions as Dawn's documentation describes them, every thread computing whole matrices by itself. */
const INSTRUCTIONS = `
alias Left = array<Component, SIZE_M * SIZE_K>;
alias Right = array<Component, SIZE_K * SIZE_N>;
alias Result = array<Sum, SIZE_M * SIZE_N>;
fn load_left(offset: u32, stride: u32) -> Left {
  var result: Left;
  for (var r = 0u; r < SIZE_M; r++) { for (var c = 0u; c < SIZE_K; c++) { result[r * SIZE_K + c] = tile_a[offset + stride * c + r]; } }
  return result;
}
fn load_right(offset: u32, stride: u32) -> Right {
  var result: Right;
  for (var r = 0u; r < SIZE_K; r++) { for (var c = 0u; c < SIZE_N; c++) { result[r * SIZE_N + c] = tile_b[offset + stride * r + c]; } }
  return result;
}
fn accumulate(left_in: Left, right_in: Right, sums: Result) -> Result {
  var left = left_in;
  var right = right_in;
  var result = sums;
  for (var r = 0u; r < SIZE_M; r++) { for (var c = 0u; c < SIZE_N; c++) { for (var k = 0u; k < SIZE_K; k++) { result[r * SIZE_N + c] += Sum(left[r * SIZE_K + k]) * Sum(right[k * SIZE_N + c]); } } }
  return result;
}
fn store_result(offset: u32, value_in: Result, stride: u32) {
  var value = value_in;
  for (var r = 0u; r < SIZE_M; r++) { for (var c = 0u; c < SIZE_N; c++) { stage[offset + stride * r + c] = value[r * SIZE_N + c]; } }
}`;

function emulated(source: string): string {
  const replacements: [RegExp, string][] = [
    [/^enable chromium.*$/m, ''],
    [/^diagnostic.*$/m, ''],
    // Written out, the loops inside would take SwiftShader minutes to compile.
    [/ \/\/ unroll/g, ''],
    [/^alias (Left|Right|Result) = .*$/gm, ''],
    [/subgroupMatrixLoad<Left, col_major>\(&tile_a, /g, 'load_left('],
    [/subgroupMatrixLoad<Right, row_major>\(&tile_b, /g, 'load_right('],
    [/subgroupMatrixMultiplyAccumulate\(/g, 'accumulate('],
    [/subgroupMatrixStore<row_major>\(&stage, /g, 'store_result('],
    [/, @builtin\(subgroup_id\) subgroup: u32/, ''],
    [/^ {2}batch = tile_at\.z;$/m, '  batch = tile_at.z;\n  let subgroup = local;'],
  ];
  let text = source;
  for (const [pattern, replacement] of replacements) {
    expect(text, String(pattern)).toMatch(pattern);
    text = text.replace(pattern, replacement);
  }
  expect(text).not.toMatch(/subgroup_matrix|subgroupMatrix/);
  return text.replace('// Which of several', `${INSTRUCTIONS}\n\n// Which of several`);
}

let gpu: Gpu;

// On Chromium's own driver: lavapipe takes minutes to compile a kernel of so many sums and barriers.
beforeAll(async () => {
  gpu = await Gpu.request({ gpu: await startDawn('swiftshader') });
});

afterAll(() => gpu?.destroy());

const written = (variant: Variant<MatmulAttrs>): Variant<MatmulAttrs> => ({
  ...variant,
  unverified: false,
  kernel(node, writer) {
    const kernel = variant.kernel(node, writer);
    return { ...kernel, source: emulated(kernel.source) };
  },
});

/** A thread by itself is a subgroup here, with all of its sums in registers: so the matrices are small. */
const small = (M: number, N: number, K: number) =>
  subgroupMatrixVariants([{ componentType: 'f32', resultComponentType: 'f32', M, N, K }], 1).map(written);
/** Four subgroups of sixteen matrices, and two of a few; every sample is a kernel that takes its time to compile. */
const variants = [
  { variant: small(4, 4, 4)[0]!, forms: 1 },
  { variant: small(8, 4, 12)[1]!, forms: 4 },
];

test.each(variants)('$variant.name computes products, in $forms forms', async ({ variant, forms }) => {
  const op = { ...matmulOp, variants: [variant, ...matmulOp.variants!] };
  const sizes: [number, number, number, boolean, boolean, number[]][] = [
    [36, 40, 20, false, false, []],
    [40, 68, 36, false, true, []],
    [36, 44, 33, true, false, []],
    [12, 36, 16, true, true, [3]],
  ];
  const samples = sizes.slice(0, forms).map(([m, n, k, transposeA, transposeB, batch]): Sample<MatmulAttrs> => {
    const shapes = [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n]];
    return { inputs: shapes.map((shape) => ({ shape: [...batch, ...shape] })), attrs: { transposeA, transposeB } };
  });
  await checkOp(gpu, op as Op, samples, { variant: variant as Variant });
});

test('it is there for configurations that add up in f32 alone, and for f16 where the operands are f16', () => {
  const config = (componentType: string, resultComponentType: string) => ({
    componentType,
    resultComponentType,
    M: 16,
    N: 16,
    K: 16,
  });
  const configs = [config('f16', 'f16'), config('u8', 'u32'), config('f16', 'f32'), config('f32', 'f32')];
  const found = subgroupMatrixVariants(configs, 32);
  expect(found.map(({ name }) => name)).toEqual([
    'subgroup matrix 16×16×16 of f16, tile 128×128',
    'subgroup matrix 16×16×16 of f16, tile 32×32',
    'subgroup matrix 16×16×16 of f32, tile 128×128',
    'subgroup matrix 16×16×16 of f32, tile 32×32',
  ]);
  expect(found.every(({ unverified }) => unverified)).toBe(true);
  const all = subgroupMatrixVariants(configs, 32, true);
  expect(all.filter(({ name }) => /sums of f16/.test(name))).toHaveLength(2);
});

test('nobody gets it without asking, and only experiments that exist can be asked for', async () => {
  expect(gpu.has('chromium-experimental-subgroup-matrix' as GPUFeatureName)).toBe(false);
  await expect(Gpu.request({ experimental: ['magic' as 'subgroup-matrix'] })).rejects.toThrow(
    /no experiment is called magic/,
  );
  using asked = await Gpu.request({ experimental: ['subgroup-matrix'] });
  expect(asked.name).toBe(gpu.name);
});

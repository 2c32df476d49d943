// Ops of one's own, on lavapipe in Node: pointwise, by a kernel with two results, composite; and what a wrong one is told.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { ShaderError, ShapeError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { defineOp, type KernelSpec } from '../src/ops/define.ts';
import { add, div, exp, mul, relu, sigmoid, sub, tanh } from '../src/ops/elementwise.ts';
import { matmul } from '../src/ops/matmul.ts';
import { sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import { apply, applyAll, type Tensor } from '../src/ops/tensor.ts';
import { reshape } from '../src/ops/view.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { CheckError, checkOp } from '../src/testing/check_op.ts';

const missing = inject('withoutLavapipe');
const f32 = (shape: readonly number[]) => ({ shape, dtype: 'f32' }) as const;

const mishOp = defineOp({
  name: 'mish',
  functions: `// x·tanh(log(1 + exp(x))).
fn part(x: f32) -> f32 { return exp(x) * (exp(x) + 2.0); }
fn mish(x: f32) -> f32 {
  let e = part(x);
  return x * e / (e + 2.0);
}`,
  wgsl: (x) => `mish(${x})`,
  reference: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
  grad: (g, [x], y) => {
    const t = div(y, x!);
    return [mul(g, add(t, mul(mul(x!, sub(1, mul(t, t))), sigmoid(x!))))];
  },
  range: [0.5, 3],
});

/** A helper of the same name as another op's, and another text. */
const otherOp = defineOp({
  name: 'other',
  functions: 'fn part(x: f32) -> f32 { return x + 100.0; }',
  wgsl: (x) => `part(${x})`,
  reference: (x) => x + 100,
  grad: (g) => [g],
});

const NORM = `// The norm of each row, and the row divided by it.
const ROWS: u32 = 1;
const LENGTH: u32 = 4;

@group(0) @binding(0) var<storage, read_write> unit: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@binding(2) @group(0) var<storage, read_write> norm: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ROWS) { return; }
  var total = 0.0;
  for (var i = 0u; i < LENGTH; i++) { // unroll
    total += x[id.x * LENGTH + i] * x[id.x * LENGTH + i];
  }
  norm[id.x] = sqrt(total);
  for (var i = 0u; i < LENGTH; i++) {
    unit[id.x * LENGTH + i] = x[id.x * LENGTH + i] / norm[id.x];
  }
}
`;

const kernel: KernelSpec = {
  wgsl: NORM,
  inputs: ['x'],
  outputs: ['norm', 'unit'],
  constants: ({ inputs: [x] }) => ({ ROWS: x!.shape[0]!, LENGTH: x!.shape[1]! }),
  workgroups: ({ inputs: [x] }) => Math.ceil(x!.shape[0]! / 64),
};

const rowNormSpec = {
  name: 'rowNorm',
  infer: ([x]: readonly Tensor[]) => [f32([x!.shape[0]!]), f32(x!.shape)],
  grad: ({ all, inputs: [x] }: Tensor<object>, gn: Tensor, gu: Tensor) => {
    const [n, u] = all as [Tensor, Tensor];
    const column = (t: Tensor) => reshape(t, [x!.shape[0]!, 1]);
    const along = sum(mul(gu, u), { axis: 1, keepDims: true });
    return [add(mul(column(gn), u), div(sub(gu, mul(u, along)), column(n)))];
  },
  kernel,
  check: {
    reference: ([x]: readonly { data: Float64Array; shape: readonly number[] }[]) => {
      const [rows, length] = x!.shape as [number, number];
      const norm = Float64Array.from({ length: rows }, (_, i) =>
        Math.hypot(...x!.data.subarray(i * length, (i + 1) * length)),
      );
      return [norm, x!.data.map((value, i) => value / norm[Math.floor(i / length)]!)];
    },
    samples: [3, 65].map((rows) => ({ inputs: [{ shape: [rows, 5], min: 0.5, max: 2 }], attrs: {} })),
  },
};
const rowNormOp = defineOp(rowNormSpec);

const squareSumOp = defineOp<object>({
  name: 'squareSum',
  decompose: ([x]) => sum(mul(x!, x!)),
  check: {
    reference: ([x]) => Float64Array.of(x!.data.reduce((total, value) => total + value * value, 0)),
    samples: [{ inputs: [{ shape: [3, 4] }], attrs: {} }],
  },
});

describe.skipIf(missing)("ops of one's own", () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  test.each([mishOp, otherOp, rowNormOp, squareSumOp])('$name is right, forward and backward', async (op) => {
    const { samples, elements, gradients } = await checkOp(gpu, op);
    expect(Math.min(samples, elements, gradients)).toBeGreaterThan(0);
  });

  test('they stand in the middle of a graph; helpers of one name do not meet', async () => {
    const x = input('x', [4, 5]);
    const [norm, unit] = applyAll(rowNormOp, [relu(add(x, 1))], {}) as [Tensor, Tensor];
    const y = add(apply(mishOp, [unit], {}), apply(otherOp, [reshape(norm, [4, 1])], {}));
    const z = matmul(unit, unit, { transposeB: true });
    const data = Float64Array.from({ length: 20 }, (_, i) => ((i * 7) % 5) - 0.5);
    const program = await compile(gpu, { outputs: { y, norm, z, loss: sum(y) } });
    program.run({ x: Float32Array.from(data) });
    const [ys, norms, zs] = (await Promise.all((['y', 'norm', 'z'] as const).map((name) => program.read(name)))) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const rows = [0, 1, 2, 3].map((i) => Array.from(data.slice(i * 5, i * 5 + 5), (v) => Math.max(0, v + 1)));
    rows.forEach((row, i) => {
      const n = Math.hypot(...row);
      expect(norms[i]).toBeCloseTo(n, 4);
      expect(zs[i * 5]).toBeCloseTo(1, 4);
      row.forEach((v, j) => {
        const u = v / n;
        expect(ys[i * 5 + j]).toBeCloseTo(u * Math.tanh(Math.log1p(Math.exp(u))) + n + 100, 3);
      });
    });
    expect(program.dispatches.map(({ kernel: { label } }) => label)).toContain('rowNorm');
    program.destroy();
  });

  test('one result alone, and equal names are different ops', async () => {
    const x = input('x', [2, 4]);
    const same = (constant: string) => defineOp({ name: 'same', wgsl: (a) => `${a} + ${constant}` });
    const y = add(apply(same('1.0'), [x], {}), apply(same('2.0'), [x], {}));
    const outputs = { unit: applyAll(rowNormOp, [x], {})[1]!, y };
    const data = Float32Array.of(3, 4, 0, 0, 1, 1, 1, 1);
    const values = await evaluate(gpu, outputs, { x: data });
    expect(Array.from(values.unit as Float32Array, (v) => Math.round(v * 1e5) / 1e5)).toEqual([
      0.6, 0.8, 0, 0, 0.5, 0.5, 0.5, 0.5,
    ]);
    expect(values.y[0]).toBe(9);
  });

  test('mixed precision leaves what a kernel binds in the type that it declares', async () => {
    const x = input('x', [8, 8]);
    const [, unit] = applyAll(rowNormOp, [tanh(matmul(x, x))], {}) as [Tensor, Tensor];
    const data = Float32Array.from({ length: 64 }, (_, i) => (i % 9) / 9);
    const run = (storage: 'f16' | 'f32') => evaluate(gpu, { y: matmul(unit, unit) }, { x: data }, { storage });
    const [half, full] = [await run('f16'), await run('f32')];
    half.y.forEach((value, i) => {
      expect(value).toBeCloseTo(full.y[i]!, 2);
    });
  });

  const bad = (more: Partial<KernelSpec>) => () => defineOp({ ...rowNormSpec, kernel: { ...kernel, ...more } });
  test.each([
    [{ outputs: ['norm', 'unit', 'rest'] }, 'rowNorm: its WGSL has no binding for the output rest'],
    [{ inputs: ['x', 'w'] }, 'rowNorm: its WGSL has no binding for the input w'],
    [{ inputs: ['w'] }, 'rowNorm: its WGSL binds x, which is neither an input (w) nor an output (norm, unit)'],
    [{ inputs: ['x', 'unit'], outputs: ['norm'] }, 'rowNorm: unit is an input: bind it var<storage, read>'],
    [{ wgsl: NORM.replace('@binding(2)', '@binding(3)') }, 'norm is @binding(3), not 2'],
    [{ wgsl: NORM.replace('@group(0) @binding(1)', '@group(1) @binding(1)') }, 'x must be in @group(0)'],
    [{ wgsl: NORM.replace('storage, read>', 'uniform>') }, 'x is no storage buffer'],
    [{ wgsl: NORM.replace('fn main', 'fn start') }, 'rowNorm: its WGSL has no entry point main'],
  ] as [Partial<KernelSpec>, string][])('a kernel that binds wrongly: %#', (more, message) => {
    expect(bad(more)).toThrow(ShaderError);
    expect(bad(more)).toThrow(message);
  });

  const x = input('x', [3, 4]);
  const compiled = (more: Partial<KernelSpec>) =>
    compile(gpu, { outputs: { y: applyAll(bad(more)(), [x], {}, 'net.0')[0]! } });

  test.each([
    [{ constants: () => ({ WIDTH: 3 }) }, 'rowNorm: the shader declares no constant WIDTH'],
    [{ constants: () => ({ ROWS: 1.5 }) }, 'rowNorm: constant ROWS is u32, got 1.5'],
    [{ workgroups: () => 70000 }, 'rowNorm: it wants 70000 workgroups: each must be a whole number up to 65535'],
    [
      { wgsl: NORM.replace('sqrt(total)', 'sqroot(total)') },
      /net.0: rowNorm: the driver refuses its WGSL: line 16: .*sqroot.* in «norm\[id.x\] = sqroot\(total\);»/,
    ],
  ] as [Partial<KernelSpec>, string | RegExp][])('a kernel that cannot be: %#', async (more, message) => {
    await expect(compiled(more)).rejects.toThrow(ShaderError);
    await expect(compiled(more)).rejects.toThrow(message);
  });

  test('a pointwise op whose WGSL does not compile is told the line of its own text', async () => {
    const broken = defineOp({
      name: 'broken',
      functions: 'fn fine(x: f32) -> f32 { return x; }\nfn wrong(x: f32) -> f32 {\n  return fine(x, 1u);\n}',
      wgsl: (a) => `wrong(${a})`,
    });
    const y = add(exp(apply(broken, [x], {}, 'net.1')), 1);
    await expect(compile(gpu, { outputs: { y } })).rejects.toThrow(
      /net.1: broken: the driver refuses its WGSL: line 3: .* in «return fine\(x, 1u\);»/,
    );
    const typo = defineOp({ name: 'typo', wgsl: (a) => `${a} +* 2.0` });
    await expect(compile(gpu, { outputs: { y: apply(typo, [x], {}) } })).rejects.toThrow(/typo: the driver refuses/);
  });

  test('an op of several results next to others: what is pointwise is fused before and behind it, and not to it', async () => {
    const x = input('x', [6, 20]);
    const w = input('w', [20, 4]);
    const [norm, unit] = applyAll(rowNormOp, [exp(mul(x, 0.5))], {}) as [Tensor, Tensor];
    const both = relu(sub(div(unit, reshape(norm, [6, 1])), 0.04));
    const outputs = { both, product: tanh(matmul(both, w)), log: add(norm, sum(unit, { axis: 1 })), unit };
    const program = await compile(gpu, { outputs });
    const lines = (await program.printSchedule()).split('\n').filter((line) => /^\d/.test(line));
    expect(lines.map((line) => line.replace(/^\d+ (\S+) .*/, '$1')).sort()).toEqual(
      ['mul+exp', 'rowNorm', 'div+sub+relu', 'matmul+tanh', 'sum+add'].sort(),
    );
    const data = Float32Array.from({ length: 120 }, (_, i) => Math.sin(i));
    const weights = Float32Array.from({ length: 80 }, (_, i) => Math.cos(i));
    program.run({ x: data, w: weights });
    const got = {
      both: await program.read('both'),
      product: await program.read('product'),
      log: await program.read('log'),
      unit: await program.read('unit'),
    };
    program.destroy();
    const near = (actual: ArrayLike<number>, expected: readonly number[]) => {
      expect(actual).toHaveLength(expected.length);
      for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, 5);
    };
    const rows = Array.from({ length: 6 }, (_, r) =>
      [...data.subarray(20 * r, 20 * r + 20)].map((v) => Math.exp(v / 2)),
    );
    const norms = rows.map((row) => Math.hypot(...row));
    const units = rows.map((row, r) => row.map((value) => value / norms[r]!));
    const relued = units.map((row, r) => row.map((value) => Math.max(0, value / norms[r]! - 0.04)));
    near(got.unit as Float32Array, units.flat());
    near(got.both as Float32Array, relued.flat());
    near(
      got.log as Float32Array,
      units.map((row, r) => norms[r]! + row.reduce((a, b) => a + b)),
    );
    near(
      got.product as Float32Array,
      relued.flatMap((row) =>
        [0, 1, 2, 3].map((c) => Math.tanh(row.reduce((total, value, k) => total + value * weights[4 * k + c]!, 0))),
      ),
    );
  });

  test('shapes that lie', () => {
    expect(() => apply(rowNormOp, [x], {})).toThrow('rowNorm gives 2 results: use applyAll');
    expect(() => applyAll(rowNormOp, [x, x], {})).toThrow('rowNorm: takes 1 tensors (x), got 2');
    const forgets = defineOp({ ...rowNormSpec, infer: () => f32([3]) });
    expect(() => apply(forgets, [x], {})).toThrow('its infer gives 1 results, its kernel 2 (norm, unit)');
    expect(() => apply(mishOp, [x, x], {})).toThrow('mish: takes 1 tensors, got 2');
    const { grad: _, ...without } = rowNormSpec;
    const [norm] = applyAll(defineOp(without), [x], {}) as [Tensor];
    expect(() => gradients(sum(norm), [x])).toThrow(ShapeError);
    expect(() => gradients(sum(norm), [x])).toThrow('rowNorm has no gradient rule');
  });

  test('checkOp says what is wrong, and where', async () => {
    const wrong = defineOp({ ...rowNormSpec, kernel: { ...kernel, wgsl: NORM.replace('= sqrt(total)', '= total') } });
    await expect(checkOp(gpu, wrong, rowNormSpec.check.samples, { seed: 5 })).rejects.toThrow(
      /^rowNorm, sample .*"shape":\[3,5\].*, seed 5: element \[\d\] of result 0 is [\d.]+, expected [\d.]+: a relative error of/,
    );
    const flat = defineOp({ ...rowNormSpec, grad: (_: Tensor<object>, _gn: Tensor, gu: Tensor) => [gu] });
    await expect(checkOp(gpu, flat)).rejects.toThrow(/gradient \[\d,\d\] of input 0 is/);
    const short = defineOp({ ...rowNormSpec, check: { ...rowNormSpec.check, reference: () => new Float64Array(2) } });
    await expect(checkOp(gpu, short)).rejects.toThrow(/^rowNorm: its reference gives 1 results, and its infer 2$/);
    // An infer that is wrong is named, and not the gradient that was made of what it said.
    const larger = defineOp({ ...rowNormSpec, infer: ([x]) => [f32([x!.shape[0]! + 1]), f32(x!.shape)] });
    await expect(checkOp(gpu, larger)).rejects.toThrow(
      /^rowNorm, sample .*: its reference gives 3, 15 numbers, and its infer says f32\[4\], f32\[3, 5\]: 4, 15$/,
    );
    const turned = defineOp({ ...rowNormSpec, infer: ([x]) => [f32([x!.shape[0]!]), f32([...x!.shape].reverse())] });
    await expect(checkOp(gpu, turned)).rejects.toThrow(
      /^rowNorm: its grad fails for cotangents f32\[3\], f32\[5, 3\]: grad: mul: shapes .* do not broadcast/,
    );
    const whole = defineOp({
      ...rowNormSpec,
      infer: ([x]) => [{ shape: [x!.shape[0]!], dtype: 'u32' }, f32(x!.shape)] as const,
      grad: ({ inputs: [x] }: Tensor<object>) => [x],
    });
    await expect(checkOp(gpu, whole)).rejects.toThrow(
      /^rowNorm, sample .* of result 0 is .*; its infer says u32\[3\], and what its kernel stores is right as f32$/,
    );
    const { check: _, ...unchecked } = rowNormSpec;
    await expect(checkOp(gpu, defineOp(unchecked))).rejects.toThrow(CheckError);
    await expect(checkOp(gpu, defineOp(unchecked))).rejects.toThrow('rowNorm has no reference');
    await expect(checkOp(gpu, rowNormOp, [])).rejects.toThrow('rowNorm has no samples');
  });
});

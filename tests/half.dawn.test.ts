// f16 storage with f32 accumulation, on lavapipe in Node: every op and every variant with inputs stored as f16, variables
// and outputs of f16, and a VAE that trains as well with `storage: 'f16'` as without.

import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { UnsupportedError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { type ChooseVariant, possibleVariants } from '../src/graph/variants.ts';
import { VAE } from '../src/models/vae.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { add, mul, relu, toF16, toF32 } from '../src/ops/elementwise.ts';
import { kernels, variantsOf } from '../src/ops/kernels_all.ts';
import { matmul } from '../src/ops/matmul.ts';
import { randomKey } from '../src/ops/random.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { ops } from '../src/ops/registry.ts';
import { input, Variable } from '../src/ops/source.ts';
import type { Sample, Variant } from '../src/ops/tensor.ts';
import { reshape, slice, stopGradient } from '../src/ops/view.ts';
import { traitsOf } from '../src/runtime/build.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { probe } from '../src/runtime/probe.ts';
import { freeVariables, readVariable, writeVariable } from '../src/runtime/variables.ts';
import { checkOp } from '../src/testing/check_op.ts';
import { checkOf } from '../src/testing/samples.ts';
import { bitsOfHalf, errorOf, halfOfBits, randomFrom, randomValues, toHalf } from './numbers.ts';

const missing = inject('withoutLavapipe');
/** Those whose operands are read by hooks: an opaque kernel declares its own bindings, of f32. */
const heavy = ops.filter(({ variants, traits }) => variants && !traits?.opaque);
/** Of the others, one of every way to read. */
const readers = ['add', 'gather', 'transpose', 'concat', 'patches', 'toF16'];
/** Tiles that are for subgroups of four alone. */
const FOR_FOUR_LANES = /quad swaps/;

/** Of the variants that one shader computes, by tiles of other sizes, one, another each time: all load and store alike. */
function sampled(variants: readonly Variant[]): readonly Variant[] {
  if (ALL_TESTS) return variants;
  const shaderOf = ({ name }: Variant) => name.replace(/\d+/g, '');
  const possible = variants.filter(({ name }) => !FOR_FOUR_LANES.test(name));
  return [...new Set(possible.map(shaderOf))].map((shader) => {
    const among = possible.filter((one) => shaderOf(one) === shader);
    return among[Math.floor(Math.random() * among.length)]!;
  });
}

/** f16 has 11 significant bits, so a value is stored with a relative error of at most this. */
const ROUNDING = 2 ** -11;

/** What WGSL lets a number become as f16: either neighbour, and 0 where it is subnormal. */
function neighboursOf(x: number): number[] {
  const near = toHalf(x);
  const bits = bitsOfHalf(near);
  const around = [bits - 1, bits + 1].map(halfOfBits).filter((half) => near < x === half > x);
  return [near, ...(near === x ? [] : around), ...(Math.abs(x) < 2 ** -14 ? [0] : [])];
}

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing)('f16', () => {
  let gpu: Gpu;

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
    expect(gpu.has('shader-f16')).toBe(true);
  });

  afterAll(() => gpu?.destroy());

  test.each(readers)('%s of f16, forward and backward', async (name) => {
    const op = ops.find((one) => one.name === name)!;
    await checkOp(gpu, op, checkOf(op).samples!, { half: true });
  });

  describe.each(heavy.map((op) => [op.name, op] as const))('%s of f16', (_, op) => {
    // Of the samples that a variant takes, the last is of a stack; lavapipe compiles slowly.
    const takes = ({ inputs, attrs }: Sample, variant: Variant) =>
      possibleVariants(probe(op, inputs, attrs).result, { ...traitsOf(gpu), kernels }).includes(variant);
    test.each(sampled(variantsOf(op)).map((variant) => [variant.name, variant] as const))(
      'by %s',
      async (_, variant) => {
        const samples = checkOf(op)
          .samples!.filter((sample) => takes(sample, variant))
          .slice(-1);
        // Lavapipe's subgroups have eight lanes.
        expect(samples.length > 0).toBe(!FOR_FOUR_LANES.test(variant.name));
        if (samples.length > 0) await checkOp(gpu, op, samples, { variant, half: true });
      },
      600_000,
    );
  });

  test('halves at every edge are rounded as the reference says', async () => {
    const edges = [0, -0, 1, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504, 65519, -1 / 3, 2 ** -14, 2 ** -15 + 2 ** -25];
    const x = Float32Array.from(edges);
    const { y } = await evaluate(gpu, { y: toF16(input('x', [edges.length])) }, { x });
    // WGSL rounds to either of the two neighbours, and what lies between the last and infinity to either.
    for (const [i, bits] of Array.from(y).entries()) {
      const edge = edges[i]!;
      const half = halfOfBits(bits);
      expect(bits >> 15, `the sign of ${edge}`).toBe(edge < 0 || Object.is(edge, -0) ? 1 : 0);
      expect(neighboursOf(edge), `${edge}`).toContain(half);
    }
  });

  test('what is computed from a rounded value in one kernel is rounded, stored or not', async () => {
    // Mesa leaves f32(f16(x)) out. The least f16 is 2⁻²⁴.
    const values = [1 + 2 ** -12, -0.1, 1000.3, 3 * 2 ** -25];
    const x = input('x', [values.length]);
    const half = toF16(x);
    const rounded = values.map(toHalf);
    const alone = await evaluate(gpu, { twice: mul(half, 2) }, { x: new Float32Array(values) });
    expect([...alone.twice].slice(0, 3)).toEqual(rounded.slice(0, 3).map((value) => 2 * value));
    const both = await evaluate(gpu, { half, twice: mul(half, 2) }, { x: new Float32Array(values) });
    expect(Array.from(both.half, halfOfBits)).toEqual(rounded);
    expect([...both.twice].slice(0, 3)).toEqual(rounded.slice(0, 3).map((value) => 2 * value));
  });

  test('variables, inputs and outputs of f16, of any length', async () => {
    const values = Float32Array.from({ length: 7 }, (_, i) => i / 8 - 0.3);
    const bits = Uint16Array.from(values, (value) => bitsOfHalf(toHalf(value)));
    const variable = new Variable('half', [7], { dtype: 'f16', init: () => bits });
    const x = input('x', [7], 'f16');
    const moved = add(variable.tensor, x);
    using program = await compile(gpu, {
      outputs: {
        wide: toF32(x),
        same: reshape(x, [7, 1]),
        value: stopGradient(x),
        part: slice(x, 0, 0),
        moved: toF16(moved),
      },
      updates: [{ variable, value: toF16(moved) }],
    });
    program.run({ x: bits });
    const halves = Array.from(values, toHalf);
    for (const name of ['wide', 'value', 'part'] as const) expect(Array.from(await program.read(name))).toEqual(halves);
    expect(Array.from(await program.read('same'))).toEqual(Array.from(bits));
    // Twice an f16 is one, and so has one rounding.
    const sums = halves.map((half) => half + half);
    expect(Array.from(await program.read('moved'), halfOfBits)).toEqual(sums);
    expect(Array.from(await readVariable(gpu, variable), halfOfBits)).toEqual(sums);
    writeVariable(gpu, variable, bits);
    expect(await readVariable(gpu, variable)).toEqual(bits);
    expect(() => writeVariable(gpu, variable, values)).toThrow(/holds f16\[7\]: it takes a Uint16Array of 7/);
    freeVariables(gpu, [variable]);
  });

  test('the gradient passes toF16 unchanged', async () => {
    const x = input('x', [5]);
    const [gradient] = gradients(sum(mul(toF16(x), input('g', [5]))), [x]);
    const g = Float32Array.of(1, 2, 3, 4, 5);
    const { d } = await evaluate(gpu, { d: gradient! }, { g });
    expect(d).toEqual(g);
  });

  /** relu(x·W)·V, with the gradient of W. */
  function chain() {
    const [x, w, v] = [input('x', [64, 48]), input('w', [48, 80]), input('v', [80, 32])];
    const y = matmul(relu(matmul(x, w)), v);
    const [dw] = gradients(sum(mul(y, input('g', [64, 32]))), [w]);
    const random = randomFrom(3);
    const data = Object.fromEntries(
      [...Object.entries({ x, w, v }), ['g', y] as const].map(([name, { shape }]) => [
        name,
        randomValues({ shape }, random),
      ]),
    );
    return { outputs: { y, dw: dw! }, data };
  }

  test("with storage: 'f16' what products read of each other is half as large, and off by its rounding", async () => {
    const { outputs, data } = chain();
    const run = async (storage: 'f32' | 'f16') => {
      using program = await compile(gpu, { outputs }, { storage });
      expect(program.storage).toBe(storage);
      program.run(data);
      const hidden = program.dispatches.flatMap(({ kernel }) => kernel.bindings.map(({ element }) => element));
      return { y: await program.read('y'), dw: await program.read('dw'), memory: program.memory.peakBytes, hidden };
    };
    const [wide, half] = [await run('f32'), await run('f16')];
    expect(wide.hidden).not.toContain('f16');
    expect(half.hidden).toContain('f16');
    expect(half.memory).toBeLessThan(wide.memory);
    for (const name of ['y', 'dw'] as const) {
      const error = errorOf(half[name], wide[name]);
      expect(error).toBeGreaterThan(0);
      // Relative to a tenth of the largest, as errorOf counts; and each sum has but one rounded factor.
      expect(error, name).toBeLessThan(10 * ROUNDING);
    }
  });

  test('without shader-f16, storage falls back to f32 and says so, and f16 in the graph is an error', async () => {
    const adapter = await (globalThis.navigator as Navigator).gpu.requestAdapter();
    const device = await adapter!.requestDevice();
    const plain = Gpu.from(device);
    const { outputs, data } = chain();
    using program = await compile(plain, { outputs }, { storage: 'f16' });
    expect(program.storage).toBe('f32');
    program.run(data);
    expect((await program.read('y')).every(Number.isFinite)).toBe(true);
    const refused = compile(plain, { outputs: { y: toF16(input('x', [4])) } });
    await expect(refused).rejects.toThrow(UnsupportedError);
    await expect(refused).rejects.toThrow(/toF16 is f16\[4\], and this device has no shader-f16/);
    plain.destroy();
    device.destroy();
  });

  test('a VAE trains to the same loss with storage in f16', async () => {
    const [pixels, batch, steps] = [64, 32, 200];
    const random = randomFrom(11);
    // Eight patterns and noise: as much to learn as two hundred steps want.
    const patterns = Array.from({ length: 8 }, () =>
      Array.from({ length: pixels }, () => (random() < 0.3 ? 0.9 : 0.05)),
    );
    const images = Float32Array.from({ length: batch * pixels }, (_, i) => {
      return patterns[Math.floor(i / pixels) % 8]![i % pixels]! + 0.05 * random();
    });
    const train = async (storage: 'f32' | 'f16') => {
      const vae = new VAE({ pixels, hidden: 32, latent: 4 });
      const adam = new Adam(new Parameters(vae), { lr: 2e-3, lossScale: storage === 'f16' ? 1024 : 1 });
      const { loss } = vae.terms({ images: input('images', [batch, pixels]) }, randomKey(0, adam.step.tensor));
      const { updates, finite } = adam.minimize(mean(loss));
      // Of all variants, the smallest tile is the soonest compiled.
      const chooseVariant: ChooseVariant = (_, among) => among.at(-1);
      const graph = { outputs: { loss: mean(loss), finite }, updates };
      using program = await compile(gpu, graph, { storage, chooseVariant });
      const losses: number[] = [];
      for (let done = 0; done < steps; done += 20) {
        program.run({ images }, { steps: 20 });
        losses.push((await program.read('loss'))[0]!);
        expect((await program.read('finite'))[0]).toBe(1);
      }
      return { losses, bytes: program.memory.peakBytes, storage: program.storage };
    };
    const [wide, half] = [await train('f32'), await train('f16')];
    expect(half.storage).toBe('f16');
    expect(half.bytes).toBeLessThan(wide.bytes);
    console.log(
      `VAE after ${steps} steps: f32 ${wide.losses.at(-1)}, f16 ${half.losses.at(-1)}; bytes ${wide.bytes}, ${half.bytes}`,
    );
    expect(wide.losses.at(-1)!).toBeLessThan(wide.losses[0]! * 0.7);
    expect(half.losses.at(-1)! / wide.losses.at(-1)!).toBeCloseTo(1, 1.7);
  }, 600_000);
});

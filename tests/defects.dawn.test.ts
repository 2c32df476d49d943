// Results that were wrong in silence once, or that a driver refused: each stands here with the least graph that shows it.

import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import type { ChooseVariant } from '../src/graph/variants.ts';
import { argmax } from '../src/ops/argmax.ts';
import { crossEntropy } from '../src/ops/cross_entropy.ts';
import {
  add,
  div,
  divideFloor,
  exp,
  greater,
  maximum,
  minimum,
  modulo,
  mul,
  neg,
  relu,
  sign,
  sqrt,
  sub,
  tanh,
  toF16,
  toF32,
} from '../src/ops/elementwise.ts';
import { gather, oneHot, scatterAdd } from '../src/ops/gather.ts';
import { variantsOf } from '../src/ops/kernels_all.ts';
import { matmul, matmulOp } from '../src/ops/matmul.ts';
import { patches } from '../src/ops/patches.ts';
import { maxPool2d } from '../src/ops/pool.ts';
import { logsumexp, max, maxOp, sum } from '../src/ops/reduce.ts';
import { softmax } from '../src/ops/softmax.ts';
import { constant, input, Variable } from '../src/ops/source.ts';
import { apply, type Op, type Tensor } from '../src/ops/tensor.ts';
import { broadcastTo, concat, pack, padTo, reshape, slice, transpose } from '../src/ops/view.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { freeVariables, readVariable } from '../src/runtime/variables.ts';

const missing = inject('withoutLavapipe');

describe.skipIf(missing)('on lavapipe', () => {
  let gpu: Gpu;

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });

  afterAll(() => gpu?.destroy());

  const named =
    (name: string): ChooseVariant =>
    (_, possible) =>
      possible.find((variant) => variant.name === name);

  async function value(y: Tensor, inputs: Parameters<typeof evaluate>[2] = {}, chooseVariant?: ChooseVariant) {
    const result = await evaluate(gpu, { y }, inputs, chooseVariant ? { chooseVariant } : {});
    return Array.from(result.y as ArrayLike<number>);
  }

  test('patches that run backwards over an image that was transposed', async () => {
    const x = input('x', [11, 4]);
    const image = reshape(slice(reshape(transpose(x, [1, 0]), [44]), 0, 12, 44), [2, 1, 2, 8]);
    const y = patches(image, { kernel: [2, 3], stride: [1, 2], dilation: [-1, -2], start: [1, 1], out: [1, 1] });
    const given = Float32Array.from({ length: 44 }, (_, i) => i);
    // Only the second row of taps, and its first, lie within: the second pixel of each image.
    const wanted = new Array(96).fill(0);
    for (const n of [0, 1]) {
      for (let c = 0; c < 8; c++) {
        const flat = 12 + 16 * n + 8 + c;
        wanted[48 * n + 24 + c] = given[(flat % 11) * 4 + Math.floor(flat / 11)];
      }
    }
    expect(await value(y, { x: given })).toEqual(wanted);
  });

  test('a scope that a lost device rejects, while something else is waited for, is no error of the page', async () => {
    const device = await Gpu.request();
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    const others = process.rawListeners('unhandledRejection') as NodeJS.UnhandledRejectionListener[];
    process.removeAllListeners('unhandledRejection').on('unhandledRejection', note);
    // (What Vitest spies on, it waits for.)
    device.device.popErrorScope = () => Promise.reject(new Error('instance dropped'));
    const compile = device.device.createComputePipelineAsync.bind(device.device);
    device.device.createComputePipelineAsync = async (descriptor) => {
      await setTimeout(20);
      return compile(descriptor);
    };
    try {
      await expect(evaluate(device, { y: exp(input('x', [3])) }, { x: new Float32Array(3) })).rejects.toThrow(
        'dropped',
      );
      expect(unhandled).toEqual([]);
    } finally {
      process.removeAllListeners('unhandledRejection');
      for (const other of others) process.on('unhandledRejection', other);
      device.destroy();
    }
  });

  test('a tensor that two packs hold is in both', async () => {
    const x = input('x', [20]);
    const part = mul(x, 2);
    const first = pack([part]);
    const y = add(pack([part, concat([slice(first, 0, 4, 14), slice(first, 0, 6, 12)], 0)]), 1);
    const numbers = Float32Array.from({ length: 20 }, (_, i) => i + 1);
    const doubled = [...numbers].map((number) => 2 * number + 1);
    const found = await value(y, { x: numbers });
    expect(found.slice(0, 20)).toEqual(doubled);
    expect(found.slice(64, 80)).toEqual([...doubled.slice(4, 14), ...doubled.slice(6, 12)]);
  });

  test('what is padded may be parts without an element', async () => {
    const none = slice(input('y', [4]), 0, 0, 0);
    const parts = concat([reshape(none, [3, 0]), reshape(none, [1, 0])], 0);
    expect(await value(padTo(reshape(parts, [0, 4]), [2, 4], [1, 0]), { y: new Float32Array(4) })).toEqual(
      new Array(8).fill(0),
    );
  });

  describe('rows by workgroups', () => {
    // More rows than workgroups along one dimension: the last workgroups have no row.
    test('each row is added to a variable once', async () => {
      const rows = 65539;
      const v = new Variable('v', [rows]);
      const x = input('x', [rows, 256]);
      const program = await compile(
        gpu,
        { updates: [{ variable: v, value: add(v.tensor, sum(x, { axis: 1 })) }] },
        { chooseVariant: named('one workgroup a result') },
      );
      program.run({ x: new Float32Array(rows * 256).fill(1) });
      const got = (await readVariable(gpu, v)) as Float32Array;
      expect(got.every((one) => one === 256)).toBe(true);
      program.destroy();
      freeVariables(gpu, [v]);
    });
  });

  describe('u32', () => {
    const u = (n: number) => constant(n, 'u32');
    const cases: Record<string, (a: (n: number) => Tensor) => Tensor> = {
      'a sum that wraps': (a) => add(a(4294967295), a(7)),
      'a difference that wraps': (a) => sub(a(3), a(5)),
      'a product that wraps': (a) => mul(a(4294967295), a(4294967295)),
      'a product beyond 2^53': (a) => mul(a(0xffffffff), a(0xfffffffb)),
      'a quotient': (a) => mul(div(a(5), a(2)), a(2)),
      'a quotient rounded down': (a) => divideFloor(sub(a(0), a(1)), a(7)),
      'a remainder': (a) => modulo(add(a(4294967295), a(9)), a(5)),
      'a comparison': (a) => greater(add(a(4294967295), a(1)), a(5)),
      'the greater': (a) => maximum(add(a(4294967295), a(2)), a(1)),
      'the less': (a) => minimum(sub(a(1), a(2)), a(9)),
      'as f32': (a) => toF32(mul(a(65536), a(65537))),
    };
    test.each(Object.entries(cases))('%s is the same folded and on the GPU', async (_, build) => {
      const inputs: Record<string, Uint32Array> = {};
      const given = (n: number) => {
        const name = `x${Object.keys(inputs).length}`;
        inputs[name] = Uint32Array.of(n);
        return input(name, [1], 'u32');
      };
      const onGpu = build(given);
      const folded = broadcastTo(build(u), [1]);
      expect(await value(folded)).toEqual(await value(onGpu, inputs));
    });

    test('what a driver has no u32 for is refused where it is written', () => {
      const x = input('x', [2], 'u32');
      for (const op of [neg, sign, exp, sqrt, relu, tanh]) {
        expect(() => op(x)).toThrow(/^\w+: wants f32, got u32: toF32 converts it$/);
      }
    });

    test('a division by the constant 0 is refused', async () => {
      const message = /u32 divided by the constant 0/;
      await expect(value(div(u(5), u(0)))).rejects.toThrow(message);
      await expect(value(modulo(input('x', [2], 'u32'), sub(u(3), u(3))))).rejects.toThrow(message);
    });

    test('u8 are indices and labels, too', async () => {
      const indices = input('i', [4], 'u8');
      const i = Uint8Array.of(2, 0, 1, 2);
      expect(await value(oneHot(indices, 3), { i })).toEqual([0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
      expect(await value(gather(input('t', [3]), indices), { i, t: Float32Array.of(5, 6, 7) })).toEqual([7, 5, 6, 7]);
      const loss = await value(crossEntropy(input('l', [4, 3]), indices), { i, l: new Float32Array(12) });
      for (const one of loss) expect(one).toBeCloseTo(Math.log(3), 5);
    });
  });

  describe('NaN', () => {
    const NAN = [1, Number.NaN, -1, 3];
    const data = () => Float32Array.from(NAN);
    const pointwise: Record<string, [(x: Tensor) => Tensor, number[]]> = {
      relu: [relu, [1, Number.NaN, 0, 3]],
      'relu stored as f16': [(x) => toF16(relu(toF16(x))), [0x3c00, Number.NaN, 0, 0x4200]],
      'maximum, left': [(x) => maximum(x, 2), [2, Number.NaN, 2, 3]],
      'maximum, right': [(x) => maximum(2, x), [2, Number.NaN, 2, 3]],
      'minimum, left': [(x) => minimum(x, 2), [1, Number.NaN, -1, 2]],
      'minimum, right': [(x) => minimum(2, x), [1, Number.NaN, -1, 2]],
      'tanh (of 30 times)': [(x) => tanh(mul(x, 30)), [1, Number.NaN, -1, 1]],
    };
    test.each(Object.entries(pointwise))('NaN comes through %s', async (name, [op, expected]) => {
      const got = await value(op(input('x', [4])), { x: data() });
      // f16 is read as bits.
      const numbers = name.includes('f16') ? got.map((bits) => ((bits & 0x7fff) > 0x7c00 ? Number.NaN : bits)) : got;
      expect(numbers).toEqual(expected);
    });

    const lengths = [3, 8, 300];
    const reductions = { max, logsumexp };
    describe.each(Object.entries(reductions))('NaN comes through %s', (_, op) => {
      test.each(lengths)('over rows and columns of %i', async (length) => {
        for (const at of [0, 1, length - 1]) {
          for (const bits of [0x7fc00000, 0xffc00000]) {
            // The second of three rows, or columns, has a NaN.
            const rows = new Float32Array(3 * length).map((_item, i) => i % 7);
            const columns = new Float32Array(4 * length).map((_item, i) => i % 7);
            new Uint32Array(rows.buffer)[length + at] = bits;
            new Uint32Array(columns.buffer)[4 * at + 1] = bits;
            for (const name of ['one workgroup a result', 'one thread a result']) {
              const byRows = await value(op(input('x', [3, length]), { axis: 1 }), { x: rows }, named(name));
              expect(byRows.map(Number.isNaN), name).toEqual([false, true, false]);
            }
            const byColumns = await value(op(input('x', [length, 4]), { axis: 0 }), { x: columns });
            expect(byColumns.map(Number.isNaN)).toEqual([false, true, false, false]);
          }
        }
      });
    });

    test('NaN counts as greatest for argmax, the first of several', async () => {
      const x = Float32Array.of(1, Number.NaN, 9, Number.NaN, 9, 1, 2, 9, Number.NaN, 5, 5, 5);
      expect(await value(argmax(input('x', [3, 4])), { x })).toEqual([1, 0, 0]);
    });

    test('NaN comes through max pooling, with and without padding', async () => {
      const x = new Float32Array(16).fill(1);
      x[5] = Number.NaN;
      const images = input('x', [1, 1, 4, 4]);
      expect((await value(maxPool2d(images, 2), { x })).map(Number.isNaN)).toEqual([true, false, false, false]);
      const padded = await value(maxPool2d(images, 2, { padding: 1 }), { x });
      expect(padded.filter(Number.isNaN)).toHaveLength(1);
    });
  });

  describe('labels and indices that are out of range', () => {
    test('the cross entropy is NaN, and of the others what it is', async () => {
      const loss = crossEntropy(input('l', [3, 4]), input('y', [3], 'u32'));
      const got = await value(loss, { l: new Float32Array(12), y: Uint32Array.of(3, 4, 0) });
      expect(got[0]).toBeCloseTo(Math.log(4), 5);
      expect(got[1]).toBeNaN();
      expect(got[2]).toBeCloseTo(Math.log(4), 5);
    });

    test('a gathered row is NaN', async () => {
      const rows = gather(input('t', [2, 4]), input('i', [3], 'u32'));
      const got = await value(rows, { t: new Float32Array(8).fill(5), i: Uint32Array.of(1, 2, 0xffffffff) });
      expect(got.map(Number.isNaN)).toEqual([...Array(4).fill(false), ...Array(8).fill(true)]);
      expect(got.slice(0, 4)).toEqual([5, 5, 5, 5]);
    });
  });

  describe('of nothing', () => {
    test('sums are 0, also of the two axes of [2, 0]', async () => {
      expect(await value(sum(input('x', [2, 0])), { x: new Float32Array(0) })).toEqual([0]);
      expect(await value(sum(input('x', [2, 0]), { axis: 1 }), { x: new Float32Array(0) })).toEqual([0, 0]);
    });

    test('rows that are added up give zeros', async () => {
      const y = scatterAdd(input('x', [0, 3]), input('i', [0], 'u32'), 2);
      expect(await value(y, { x: new Float32Array(0), i: new Uint32Array(0) })).toEqual([0, 0, 0, 0, 0, 0]);
    });

    test('a softmax has no value, and says so where it is written', () => {
      expect(() => softmax(input('x', [3, 0]))).toThrow('softmax: axis 1 of [3, 0] has no elements');
      expect(() => crossEntropy(input('x', [3, 0]), input('y', [3], 'u32'))).toThrow(/at least one class/);
    });
  });

  describe('more workgroups than a dimension takes', () => {
    const batch = 70001;
    const data = (length: number) => Float32Array.from({ length }, (_, i) => ((i * 7919) % 23) - 11);
    const [a, b] = [data(batch * 16), data(batch * 16)];

    async function check(c: Tensor, inputs: Record<string, Float32Array>, m: number, n: number, name: string) {
      const choose: ChooseVariant = (_, possible) => possible.find((variant) => variant.name === name)!;
      const program = await compile(gpu, { outputs: { c } }, { chooseVariant: choose });
      expect(program.dispatches.every(({ kernel }) => kernel.workgroups.every((count) => count <= 65535))).toBe(true);
      program.run(inputs);
      const got = (await program.read('c')) as Float32Array;
      const { a, b } = inputs as { a: Float32Array; b: Float32Array };
      const k = a.length / (c.size / n);
      let wrong = 0;
      for (let flat = 0; flat < got.length; flat++) {
        const row = Math.floor(flat / n);
        const from = Math.floor(row / m) * k * n;
        let sum = 0;
        for (let l = 0; l < k; l++) sum += a[row * k + l]! * b[from + l * n + (flat % n)]!;
        if (Math.abs(sum - got[flat]!) > 1e-3) wrong++;
      }
      expect(wrong).toBe(0);
      program.destroy();
    }

    const names = variantsOf(matmulOp)
      .map(({ name }) => name)
      .filter((name) => !/8×8|16×|32×[48]|64×64|128|×8,/.test(name));
    test.each(names)('a batch of 70,001 by %s', (name) =>
      check(matmul(input('a', [batch, 4, 4]), input('b', [batch, 4, 4])), { a, b }, 4, 4, name),
    );

    test.each(names.filter((name) => /vectors/.test(name)))('a tall matrix by a vector by %s', (name) =>
      check(
        matmul(input('a', [batch * 16, 4]), input('b', [4, 1])),
        { a: data(batch * 64), b: data(4) },
        batch * 16,
        1,
        name,
      ),
    );
  });

  test('the gradient of max is finite where rounding leaves no element that equals the maximum', async () => {
    const x = input('x', [1, 4]);
    // The maximum as its gradient may see it, where another kernel has rounded in another way.
    const rounded: Op = {
      name: 'rounded',
      infer: maxOp.infer as Op['infer'],
      decompose: ([x]) => add(max(x!, { axis: 1 }), 1),
    };
    const node = apply(rounded, [x], { axes: [1] });
    const [gradient] = (maxOp as Op).grad!(node, broadcastTo(constant(1), [1]));
    expect(await value(gradient!, { x: Float32Array.of(1, 2, 3, 4) })).toEqual([0, 0, 0, 0]);
    const top = max(x, { axis: 1 });
    const [dx] = gradients(sum(top), [x]);
    expect(await value(dx!, { x: Float32Array.of(1, 4, 3, 4) })).toEqual([0, 0.5, 0, 0.5]);
  });
});

// Ops that are functions of others, and constants from the host's data, on lavapipe in Node.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import functions from '../shaders/random.wgsl?raw';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { ShapeError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { argmax } from '../src/ops/argmax.ts';
import { defineOp } from '../src/ops/define.ts';
import { add, clamp, elementwise, floor, log1p, mul, pow, toF32 } from '../src/ops/elementwise.ts';
import { logsumexp, max, min, sum } from '../src/ops/reduce.ts';
import { input, iota, tensor } from '../src/ops/source.ts';
import { apply } from '../src/ops/tensor.ts';
import { std, variance, varianceOp } from '../src/ops/variance.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { checkOp } from '../src/testing/check_op.ts';

const missing = inject('withoutLavapipe');

describe.skipIf(missing)('further ops', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  test.each([elementwise.log1p, elementwise.pow, elementwise.floor])('$name', async (op) => {
    await checkOp(gpu, op);
  });
  test('variance', async () => {
    await checkOp(gpu, varianceOp);
  });

  test.each([0, 1])('reductions of infinities, by variant %i', async (variant) => {
    // Rows and columns, in fours and not: all −∞, all +∞, a mixture, and the lowest finite number among −∞.
    const lowest = -3.4028234663852886e38;
    for (const [length, axis] of [
      [8, 1],
      [7, 1],
      [8, 0],
      [300, 1],
    ] as const) {
      const kinds = [
        () => -Infinity,
        () => Infinity,
        (i: number) => (i === 3 ? 2 : -Infinity),
        (i: number) => (i === 5 ? lowest : -Infinity),
      ];
      const shape = axis === 1 ? [4, length] : [length, 4];
      const data = Float32Array.from({ length: 4 * length }, (_, flat) => {
        const [row, column] = [Math.floor(flat / shape[1]!), flat % shape[1]!];
        return axis === 1 ? kinds[row]!(column) : kinds[column]!(row);
      });
      const x = input('x', shape);
      const values = await evaluate(
        gpu,
        { greatest: max(x, { axis }), least: min(x, { axis }), sums: logsumexp(x, { axis }), at: argmax(x, axis) },
        { x: data },
        { chooseVariant: (_, possible) => possible[Math.min(variant, possible.length - 1)]! },
      );
      expect([...values.greatest]).toEqual([-Infinity, Infinity, 2, lowest]);
      expect([...values.least]).toEqual([-Infinity, Infinity, -Infinity, -Infinity]);
      expect(values.sums[0]).toBe(-Infinity);
      expect(values.sums[1]).toBe(Infinity);
      expect(values.sums[2]).toBe(2);
      expect([...values.at]).toEqual([0, 0, 3, 5]);
    }
  });

  test('Box and Muller never take the root of a negative number, whichever of the 2^24 numbers they are given', async () => {
    const radius = defineOp({
      name: 'radius',
      wgsl: (x) => `normal_from_bits(vec4u(${x} << 8u, 0u, 0u, 0u)).x`,
      functions,
      dtypes: ['u32'],
      result: 'f32',
    });
    const r = apply(radius, [iota([2 ** 24], 0, 'u32')], {});
    // A NaN would be the least and the greatest.
    const { least, greatest } = await evaluate(gpu, { least: min(r), greatest: max(r) });
    expect(Math.abs(least[0]!)).toBeLessThan(1e-3);
    expect(greatest[0]).toBeCloseTo(Math.sqrt(2 * Math.log(2 ** 24)), 2);
  });

  test('clamp, powers of negative numbers, the least, near 0', async () => {
    const x = input('x', [4]);
    const values = await evaluate(
      gpu,
      {
        cut: clamp(x, -1, 2),
        slope: gradients(sum(clamp(x, -1, 2)), [x])[0]!,
        square: pow(x, 2),
        cube: pow(x, 3),
        least: min(x),
        steps: floor(x),
        small: log1p(mul(x, 1e-6)),
        spread: std(x),
        unbiased: variance(x, { correction: 1, keepDims: true }),
      },
      { x: Float32Array.of(-3, 0.5, 4, -1.5) },
    );
    const close = (got: ArrayLike<number>, expected: number[], digits = 4) =>
      expected.forEach((value, i) => {
        expect(got[i]).toBeCloseTo(value, digits);
      });
    close(values.cut, [-1, 0.5, 2, -1]);
    close(values.slope, [0, 1, 0, 0]);
    close(values.square, [9, 0.25, 16, 2.25]);
    close(values.cube, [-27, 0.125, 64, -3.375], 3);
    close(values.least, [-3]);
    close(values.steps, [-3, 0, 4, -2]);
    close(values.small, [-3e-6, 0.5e-6, 4e-6, -1.5e-6], 10);
    close(values.spread, [Math.sqrt(6.875)]);
    close(values.unbiased, [6.875 * (4 / 3)]);
  });

  test('tensors from data of the host are uploaded once, and stay what they were', async () => {
    const numbers = [1, 2, 3, 4, 5, 6];
    const bytes = Uint8Array.of(1, 2, 3, 250);
    const a = tensor(numbers, [2, 3]);
    const b = tensor(bytes);
    numbers[0] = 100;
    bytes[0] = 100;
    const x = input('x', [2, 3]);
    const y = add(mul(x, a), 1);
    const program = await compile(gpu, { outputs: { y, b: mul(toF32(b), 2), g: gradients(sum(y), [a])[0]! } });
    let allocations = 0;
    for (const factor of [1, 2]) {
      program.run({ x: new Float32Array(6).fill(factor) });
      expect([...(await program.read('y'))]).toEqual([1, 2, 3, 4, 5, 6].map((value) => value * factor + 1));
      expect([...(await program.read('b'))]).toEqual([2, 4, 6, 500]);
      expect([...(await program.read('g'))]).toEqual(new Array(6).fill(factor));
      if (factor === 1) allocations = gpu.allocations;
    }
    expect(gpu.allocations).toBe(allocations);
    program.destroy();
    expect(tensor(Uint32Array.of(7)).dtype).toBe('u32');
    expect(() => tensor([1, 2], [3])).toThrow(ShapeError);
    expect(() => tensor([1, 2], [3])).toThrow('tensor: 2 numbers are not [3]');
    expect(() => variance(input('s', [1]), { correction: 1 })).toThrow('wants more than 1 elements to vary');
  });
});

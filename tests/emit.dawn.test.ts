// What fused kernels compute, on lavapipe in Node, where their index arithmetic once went astray.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { grad } from '../src/graph/autodiff.ts';
import { add, mul, sub, toF32 } from '../src/ops/elementwise.ts';
import { input, Variable } from '../src/ops/source.ts';
import type { Tensor } from '../src/ops/tensor.ts';
import { padTo, reshape, slice } from '../src/ops/view.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { readVariable } from '../src/runtime/variables.ts';

const missing = inject('withoutLavapipe');

describe.skipIf(missing)('fused kernels', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  test('a single element read through a pad leaves other reads at 0 alone', async () => {
    const y = add(padTo(reshape(input('a', []), [1]), [8], [3]), slice(input('b', [4]), 0, 0, 1));
    const result = await evaluate(gpu, { y }, { a: Float32Array.of(100), b: Float32Array.of(1, 2, 3, 4) });
    expect([...result.y]).toEqual([1, 1, 1, 101, 1, 1, 1, 1]);
  });

  test('a learning rate sliced out of an input updates every element by it', async () => {
    const v = new Variable('v', [8], { init: () => new Float32Array(8) });
    const rate = slice(input('rates', [4]), 0, 0, 1);
    const weight = input('weight', []);
    const loss = (x: Tensor) => mul(reshape(slice(x, 0, 3, 4), []), weight);
    const value = sub(v.tensor, mul(grad(loss)(v.tensor), rate));
    const program = await compile(gpu, { updates: [{ variable: v, value }] });
    program.run({ rates: Float32Array.of(1, 18, 3, 4), weight: Float32Array.of(1) });
    expect([...(await readVariable(gpu, v))]).toEqual([0, 0, 0, -1, 0, 0, 0, 0]);
    program.destroy();
  });

  test('bytes go from variable to variable, and stay where a variable is its own update', async () => {
    for (const size of [4, 7]) {
      const bytes = () => Uint8Array.from({ length: size }, (_, i) => 9 - i);
      const u = new Variable('u', [size], { dtype: 'u8', init: bytes });
      const w = new Variable('w', [size], { dtype: 'u8' });
      const [a, b] = ['a', 'b'].map((name, i) => {
        return new Variable(name, [size], { dtype: 'u8', init: () => bytes().fill(i + 1) });
      }) as [Variable, Variable];
      const program = await compile(gpu, {
        outputs: { twice: mul(toF32(u.tensor), 2), whole: u.tensor },
        updates: [
          { variable: u, value: u.tensor },
          { variable: w, value: u.tensor },
          { variable: a, value: b.tensor },
          { variable: b, value: a.tensor },
        ],
      });
      program.run();
      for (const variable of [u, w]) expect(await readVariable(gpu, variable)).toEqual(bytes());
      expect(await readVariable(gpu, a)).toEqual(bytes().fill(2));
      expect(await readVariable(gpu, b)).toEqual(bytes().fill(1));
      expect([...(await program.read('twice'))]).toEqual([...bytes()].map((byte) => 2 * byte));
      expect([...(await program.read('whole'))]).toEqual([...bytes()]);
      program.destroy();
    }
  });
});

// The gated recurrent unit on SwiftShader, in Node: by each kernel against its reference, and against PyTorch.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { ShapeError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { GRU } from '../src/nn/gru.ts';
import { Parameters } from '../src/nn/module.ts';
import { add, mul } from '../src/ops/elementwise.ts';
import { gru, gruGradientOp, gruOp } from '../src/ops/gru.ts';
import { sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import type { Tensor } from '../src/ops/tensor.ts';
import { compile } from '../src/runtime/compile.ts';
import { readVariable } from '../src/runtime/variables.ts';
import { checkOp } from '../src/testing/check_op.ts';
import { checkOf } from '../src/testing/samples.ts';
import { asJson, PYTHON, relativeError, torch } from './pytorch.ts';
import { sampled } from './sampled.ts';

describe('GRU', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('swiftshader') });
  });
  afterAll(() => gpu?.destroy());

  test.each([gruOp, gruGradientOp])('$name by each kernel, those for GPUs as well', async (op) => {
    const asGpu = Object.create(gpu, { adapter: { value: { ...gpu.adapter, software: false } } }) as Gpu;
    for (const variant of sampled(op.variants!, 2)) {
      const { skipped } = await checkOp(variant.name.includes('workgroup') ? asGpu : gpu, op, checkOf(op).samples!, {
        variant,
        most: 1,
      });
      expect(skipped, variant.name).toBeUndefined();
    }
  });

  test.runIf(PYTHON)("two layers of an odd size are PyTorch's", async () => {
    const [n, t, width, hidden, layers] = [6, 3, 4, 7, 2];
    const model = new GRU(width, hidden, { layers });
    const parameters = new Parameters(model, 1 + Math.floor(Math.random() * 2 ** 31));
    const [x, initial] = [input('x', [n, t, width]), input('initial', [layers, n, hidden])];
    const [g, gLast] = [input('g', [n, t, hidden]), input('gLast', [layers, n, hidden])];
    const [y, last] = model.forward(x, initial);
    const named = {
      ...Object.fromEntries([...parameters.named].map(([name, { tensor }]) => [name, tensor])),
      ...{ x, initial },
    };
    const wrt = gradients(add(sum(mul(y, g)), sum(mul(last, gLast))), Object.values(named));
    const outputs: Record<string, Tensor> = {
      ...Object.fromEntries(Object.keys(named).map((name, i) => [name, wrt[i]!])),
      ...{ y, last },
    };
    const draw = ({ size }: Tensor) => Float32Array.from({ length: size }, () => 2 * Math.random() - 1);
    const given = { x: draw(x), initial: draw(initial), g: draw(g), gLast: draw(gLast) };
    const program = await compile(gpu, { outputs });
    program.run(given);
    const actual: Record<string, Float32Array> = {};
    for (const name of Object.keys(outputs)) actual[name] = (await program.read(name)) as Float32Array;
    program.destroy();
    const weights = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
    for (const { data } of weights.values()) {
      // As PyTorch begins with it.
      expect(Math.max(...data.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(hidden));
    }
    const job = Object.fromEntries(Object.entries(given).map(([name, values]) => [name, [...values]]));
    const expected = torch('tests/gru_oracle.py', {
      ...{ width, hidden, layers, shape: [n, t, width], weights: asJson(weights) },
      ...job,
    }) as { y: number[]; last: number[]; gradients: Record<string, number[]> };
    expect(relativeError(actual.y!, expected.y)).toBeLessThan(1e-5);
    expect(relativeError(actual.last!, expected.last)).toBeLessThan(1e-5);
    for (const name of Object.keys(named)) {
      expect(relativeError(actual[name]!, expected.gradients[name]!), name).toBeLessThan(1e-4);
    }
  });

  test('what does not fit is refused', () => {
    const of = (...shape: number[]) => input('x', shape);
    expect(() => gru(of(2, 3, 24), of(24, 8), of(20))).toThrow(ShapeError);
    expect(() => gru(of(2, 3, 21), of(21, 7), of(20))).toThrow('gru: wants f32 [N, T, 21], [21, 7]');
    expect(() => new GRU(4, 8).forward(of(2, 3, 5))).toThrow('GRU(4, 8) got [2, 3, 5], and wants [N, T, 4]');
  });
});

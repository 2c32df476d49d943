// The GRU's kernels for GPUs, run by an interpreter of their WGSL, in Node without a device.
import { expect, test } from 'vitest';
import { kernelsOf, planGraph } from '../src/graph/plan.ts';
import { gruGradientOp, gruOp } from '../src/ops/gru.ts';
import { input } from '../src/ops/source.ts';
import { type AdapterTraits, applyAll, DEFAULT_LIMITS, type Op } from '../src/ops/tensor.ts';
import { checkOf } from '../src/testing/samples.ts';
import { randomFrom } from './numbers.ts';
import { interpret } from './wgsl/interpret.ts';

const GPU: AdapterTraits = { software: false, subgroupSize: 32, f16: false, limits: DEFAULT_LIMITS };

/** Shapes of an op's operands, of n examples of t steps with states of `size` numbers. */
const SHAPES = {
  gru: (n: number, t: number, size: number) => [[n, t, 3 * size], [3 * size, size], [3 * size], [n, size]],
  gruGradient: (n: number, t: number, size: number) => [
    ...[
      [n, t, 3 * size],
      [n, t + 1, 3 * size],
      [n, t + 1, size],
      [n, t + 1, size],
    ],
    [3 * size, size],
  ],
};

test.each([gruOp, gruGradientOp].flatMap((op) => [0, 1, 2, 3].map((kernel) => [op.name, kernel, op] as const)))(
  '%s by kernel %i is its reference, with a slice that is not full and more numbers than threads',
  (name, kernel, op) => {
    const random = randomFrom(TEST_SEED);
    // States of 68 vec4s where a workgroup of 64 has them, and of 2 otherwise.
    for (const [n, t, size] of [
      [6, 3, 8],
      [1, 2, kernel === 1 ? 272 : 8],
    ] as const) {
      const shapes = SHAPES[name as keyof typeof SHAPES](n, t, size);
      const inputs = shapes.map((shape, i) => input(`x${i}`, shape));
      const data = inputs.map(({ shape, size }) => ({
        shape,
        data: Float64Array.from({ length: size }, () => 2 * random() - 1),
      }));
      const results = applyAll(op as Op, inputs, {});
      const outputs = Object.fromEntries(results.map((result, i) => [`y${i}`, result]));
      const plan = planGraph({ outputs, updates: [] }, GPU, { choose: () => op.variants![kernel] as never });
      const [planned] = [...kernelsOf(plan)];
      const { lowered, code } = planned!;
      expect(lowered.variant).toBe(op.variants![kernel]!.name);
      const shader = interpret(code);
      const buffers = [...shader.places].filter(([, { space }]) => space === 'storage').map(([name]) => name);
      const storage = new Map(
        lowered.bindings.map(({ tensor }, i) => {
          const known = data[inputs.indexOf(tensor as never)];
          return [buffers[i]!, known ? [...known.data] : new Array<number>(tensor.size).fill(NaN)] as const;
        }),
      );
      for (let i = 0; i < lowered.workgroups[0]; i++) shader.run(storage, [i, 0, 0], lowered.workgroups);
      const expected = checkOf(op).reference!(data, {} as never, results[0]!.shape);
      const all = [expected].flat() as Float64Array[];
      const found = lowered.bindings.flatMap(({ writable }, i) => (writable ? [storage.get(buffers[i]!)!] : []));
      expect(found).toHaveLength(all.length);
      all.forEach((values, i) => {
        expect(Math.max(...values.map((value, at) => Math.abs(value - found[i]![at]!)))).toBeLessThan(1e-10);
      });
    }
  },
);

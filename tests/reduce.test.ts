// Reductions of one kind and shape that share a kernel: each variant, each kind, against float64.

import { expect, test } from 'vitest';
import { add, mul, square, sub } from '../src/ops/elementwise.ts';
import { variantsOf } from '../src/ops/kernels_all.ts';
import { logsumexp, logsumexpOp, max, maxOp, sum, sumOp } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import type { Op, Tensor } from '../src/ops/tensor.ts';
import { compile } from '../src/runtime/compile.ts';
import { checkOf } from '../src/testing/samples.ts';
import { errorOf, ndarray, randomFrom, randomValues, sharedGpu } from './numbers.ts';

const kinds = [
  [sum, sumOp],
  [max, maxOp],
  [logsumexp, logsumexpOp],
] as const;

const shapes = [
  { shape: [6, 64], axis: 1, of: 'rows' },
  { shape: [5, 7], axis: 1, of: 'ragged rows' },
  { shape: [20, 12], axis: 0, of: 'columns' },
  { shape: [9, 3], axis: 0, of: 'ragged columns' },
  { shape: [3, 5000], axis: 1, of: 'rows in two passes' },
  { shape: [5000, 4], axis: 0, of: 'columns in two passes' },
];

const all = kinds.flatMap(([reduce, op], kind) =>
  shapes.flatMap((shape, i) =>
    variantsOf(op).map(({ name }, j) => ({ ...shape, reduce, op, name, kind: op.name, turn: kind + i + j })),
  ),
);
// Each shape by each variant, of one kind in turns, which begin anew each time: the kinds share their kernels.
const first = Math.floor(Math.random() * kinds.length);
const cases = ALL_TESTS ? all : all.filter(({ turn }) => turn % kinds.length === first);

test.each(cases)('three at once: $kind of $of, $name', async ({ shape, axis, reduce, op, name }) => {
  const gpu = await sharedGpu();
  const x = input('x', shape);
  const y = input('y', shape);
  const parts = [sub(x, y), square(x), mul(y, 3)];
  const results = parts.map((part) => reduce(part, { axis }));
  // What is fused behind needs all three.
  const together = add(results[0]!, mul(results[1]!, results[2]!));
  const outputs: Record<string, Tensor> = { a: results[0]!, b: results[1]!, c: results[2]!, together };
  using program = await compile(
    gpu,
    { outputs },
    { chooseVariant: (_, possible) => possible.find((variant) => variant.name === name) },
  );
  const heavy = program.dispatches.filter(({ kernel }) => kernel.group.kernelOps.length > 0);
  expect(program.dispatches).toHaveLength(heavy.length);
  expect(heavy.map(({ kernel }) => kernel.group.kernelOps.length)).toEqual(heavy.map(() => 3));
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const random = randomFrom(seed);
  const [xs, ys] = [randomValues({ shape }, random), randomValues({ shape }, random)];
  program.run({ x: xs, y: ys });
  const values = await Promise.all(['a', 'b', 'c'].map((output) => program.read(output)));
  const expected = [
    xs.map((value, i) => value - ys[i]!),
    xs.map((value) => value * value),
    ys.map((value) => value * 3),
  ].map((data) => checkOf(op as Op).reference!([ndarray(shape, data)], { axes: [axis] }, []) as Float64Array);
  // A sum's terms may cancel.
  const terms = op === sumOp ? 4 * Math.sqrt(shape[axis]!) : 0;
  for (const [i, value] of values.entries())
    expect(errorOf(value, expected[i]!, terms), `seed ${seed}`).toBeLessThan(1e-5);
  const wanted = expected[0]!.map((a, i) => a + expected[1]![i]! * expected[2]![i]!);
  const scale = Math.max(...expected[1]!) * Math.max(terms, ...expected[2]!.map(Math.abs));
  expect(errorOf(await program.read('together'), wanted, scale), `seed ${seed}`).toBeLessThan(1e-5);
});

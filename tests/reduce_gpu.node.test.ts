// Reductions as they are planned for GPUs, run by an interpreter of their WGSL, in Node without a device.
import { describe, expect, test } from 'vitest';
import { kernelsOf, planGraph } from '../src/graph/plan.ts';
import { splitReductions } from '../src/graph/simplify.ts';
import { square } from '../src/ops/elementwise.ts';
import { logsumexp, max, sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import { type AdapterTraits, DEFAULT_LIMITS, type Tensor } from '../src/ops/tensor.ts';
import { randomFrom } from './numbers.ts';
import { interpret } from './wgsl/interpret.ts';
import { conflicts, fetchedPerByte, instructionsOf } from './wgsl/warp.ts';

const GPU: AdapterTraits = { software: false, vendor: 'nvidia', subgroupSize: 32, f16: false, limits: DEFAULT_LIMITS };

/** Runs the only kernel of some outputs on random numbers of [rows, columns]. */
function run(outputs: (x: Tensor) => Record<string, Tensor>, rows: number, columns: number) {
  const x = input('x', [rows, columns]);
  const kernels = [...kernelsOf(planGraph({ outputs: outputs(x), updates: [] }, GPU))];
  expect(kernels).toHaveLength(1);
  const [{ lowered, code }] = kernels as [(typeof kernels)[0]];
  const random = randomFrom(9);
  const data = Array.from({ length: x.size }, () => 4 * random() - 2);
  const storage = new Map(
    lowered.bindings.map(({ tensor }, i) => [
      `buffer${i}`,
      tensor === (x as Tensor) ? [...data] : new Array<number>(tensor.size).fill(NaN),
    ]),
  );
  const shader = interpret(code);
  const [width, height] = lowered.workgroups;
  const traces = Array.from({ length: width * height }, (_, i) =>
    shader.run(storage, [i % width, Math.floor(i / width), 0], lowered.workgroups),
  );
  const results = lowered.bindings.flatMap(({ writable }, i) => (writable ? [storage.get(`buffer${i}`)!] : []));
  return { lowered, data, results, instructions: instructionsOf(traces[0]!), shader };
}

const FOLDS = {
  sum: [sum, (list: number[]) => list.reduce((a, b) => a + b, 0)],
  max: [max, (list: number[]) => Math.max(...list)],
  logsumexp: [logsumexp, (list: number[]) => Math.log(list.reduce((a, b) => a + Math.exp(b), 0))],
} as const;

describe.each(Object.entries(FOLDS))('%s', (_, [op, fold]) => {
  test.each([
    [5, 1100, 1, 'one workgroup a result'],
    [5, 131, 1, 'one workgroup a result'],
    [131, 136, 0, 'one workgroup for columns'],
    [67, 21, 0, 'one workgroup for columns'],
  ])('of [%i, %i] over axis %i by %s', (rows, columns, axis, variant) => {
    const { lowered, data, results, instructions, shader } = run((x) => ({ y: op(x, { axis }) }), rows, columns);
    expect(lowered.variant).toBe(variant);
    const listOf = (o: number) =>
      axis === 1 ? data.slice(o * columns, (o + 1) * columns) : data.filter((_, i) => i % columns === o);
    // A maximum goes through f32's bits.
    for (const [o, value] of results[0]!.entries()) expect(value).toBeCloseTo(fold(listOf(o)), 5);
    for (const one of instructions) {
      const isRead = one.kind === 'load' && shader.places.get(one.variable)!.space === 'storage';
      if (isRead && columns % 8 === 0) expect(fetchedPerByte(one, 32)).toBe(1);
    }
  });
});

test('several sums of columns are one kernel, whose memory fits, and meet no bank twice', () => {
  const outputs = (x: Tensor) => ({ a: sum(x, { axis: 0 }), b: sum(square(x), { axis: 0 }) });
  const { data, results, instructions, shader } = run(outputs, 70, 64);
  const column = data.filter((_, i) => i % 64 === 3);
  const found = results.map((y) => y[3]!).sort((a, b) => a - b);
  expect(found).toEqual([
    expect.closeTo(FOLDS.sum[1](column), 9),
    expect.closeTo(FOLDS.sum[1](column.map((value) => value * value)), 9),
  ]);
  const shared = instructions.filter(({ variable }) => shader.places.get(variable)!.space === 'workgroup');
  expect(Math.max(...shared.map(conflicts))).toBeLessThanOrEqual(2);
});

test('what is cut in two gives as many threads as an adapter wants something to do', () => {
  const partsOf = (shape: number[], axis: number | undefined, vendor: string) => {
    const y = sum(input('x', shape), axis === undefined ? {} : { axis });
    const cut = splitReductions({ outputs: { y }, updates: [] }, { software: false, vendor }).outputs.y!;
    return cut === y ? 1 : cut.inputs[0]!.inputs[0]!.size / Math.max(1, y.size);
  };
  expect(partsOf([2048, 2048], 1, 'nvidia')).toBe(1);
  expect(partsOf([2048, 2048], 0, 'nvidia')).toBe(8);
  expect(partsOf([2048, 2048], undefined, 'nvidia')).toBe(256);
  expect(partsOf([2048, 2048], undefined, 'intel')).toBe(64);
  // What a workgroup has done before a second dispatch has begun.
  expect(partsOf([128, 784], 1, 'nvidia')).toBe(1);
  expect(partsOf([128, 400], 0, 'nvidia')).toBe(1);
});

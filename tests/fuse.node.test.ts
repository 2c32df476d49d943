// The passes of fusion, on graphs small enough to read: what is materialised and why, what is merged, in what order.
import { describe, expect, test } from 'vitest';
import { explainSchedule, printExplained } from '../src/graph/explain.ts';
import { fuse } from '../src/graph/fuse.ts';
import { type Graph, topological, type Update } from '../src/graph/graph.ts';
import { materialise } from '../src/graph/materialise.ts';
import { mixedPrecision } from '../src/graph/mixed_precision.ts';
import { kernelsOf, planGraph } from '../src/graph/plan.ts';
import { printSchedule } from '../src/graph/print_schedule.ts';
import { simplify } from '../src/graph/simplify.ts';
import { Linear, ReLU, Sequential } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { defineOp } from '../src/ops/define.ts';
import { add, exp, isFinite, mul, relu, sub, tanh } from '../src/ops/elementwise.ts';
import { matmul } from '../src/ops/matmul.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { softmax } from '../src/ops/softmax.ts';
import { input, Variable } from '../src/ops/source.ts';
import { type AdapterTraits, applyAll, DEFAULT_LIMITS, type Tensor } from '../src/ops/tensor.ts';
import { pack, reshape, transpose } from '../src/ops/view.ts';

const dump = (outputs: Record<string, Tensor>, updates: Update[] = []) =>
  printSchedule(fuse(simplify({ outputs, updates }))).split('\n');

function adapterOf(buffers: number): AdapterTraits {
  const limits = { ...DEFAULT_LIMITS, maxStorageBuffersPerShaderStage: buffers };
  return { software: true, subgroupSize: 4, f16: false, limits };
}

/** The most that a kernel of a graph binds. */
function mostBindings(graph: Graph, buffers: number): number {
  return Math.max(
    ...[...kernelsOf(planGraph(graph, adapterOf(buffers)))].map(({ lowered }) => lowered.bindings.length),
  );
}

describe('what is materialised', () => {
  const why = (outputs: Record<string, Tensor>) =>
    [...materialise(simplify({ outputs, updates: [] }), 8).why].map(([node, reason]) => `${node.op.name}: ${reason}`);

  test('results of kernels, operands of a matmul, and what costs more to compute twice than to store', () => {
    const x = input('x', [64, 64]);
    const y = matmul(exp(x), input('w', [64, 64]));
    expect(why({ y })).toEqual(['matmul: an output', 'exp: read many times by matmul']);
    const wide = exp(exp(input('v', [1, 64])));
    expect(why({ y: add(x, wide) })).toEqual(['add: an output', 'exp: a larger tensor repeats it']);
    expect(why({ y: softmax(x, 0) })).toEqual(['exp: an output', 'logsumexp: the result of a kernel']);
  });
});

describe('what is merged', () => {
  test('a layer is one dispatch: bias and activation follow the matmul', () => {
    const y = relu(add(matmul(input('x', [8, 16]), input('w', [16, 4])), input('b', [4])));
    expect(dump({ y })).toEqual(['1 matmul+add+relu (b, x, w)', '  %2 f32[8, 4]: an output']);
  });

  test('whether a number is finite is asked of what was read from memory, or of a reduction', () => {
    const x = input('x', [8]);
    // A compiler that takes for granted that what it computes is finite would have nothing to test.
    expect(dump({ f: isFinite(exp(x)) })).toEqual([
      '1 exp (=x)',
      '  %0 f32[8]: read from memory by isFinite',
      '2 isFinite (=%0)',
      '  %1 f32[8]: an output',
    ]);
    expect(dump({ f: isFinite(mean(x)) })).toEqual(['1 sum+isFinite (x)', '  %1 f32[]: an output']);
  });

  test('who reads a reduction spread over its rows comes after it', () => {
    const x = input('x', [8, 16]);
    expect(dump({ y: sub(x, mean(x, { axis: 1, keepDims: true })) })).toEqual([
      '1 sum (x)',
      '  %0 f32[8]: the result of a kernel',
      '2 mul+sub (=x, %0)',
      '  %4 f32[8, 16]: an output',
    ]);
  });

  test('two reductions of one tensor share a dispatch', () => {
    const x = input('x', [8, 16]);
    expect(dump({ a: sum(x, { axis: 1 }), b: sum(mul(x, x), { axis: 1 }) })).toEqual([
      '1 mul+sum+sum (x)',
      '  %1 f32[8]: an output',
      '  %2 f32[8]: an output',
    ]);
  });

  test('what would wait for itself stays apart', () => {
    const x = input('x', [8, 8]);
    const y = exp(x);
    const z = matmul(y, y);
    expect(dump({ z: add(mul(y, 2), z) })).toEqual([
      '1 exp (=x)',
      '  %0 f32[8, 8]: read many times by matmul',
      '2 mul+matmul+add (%0)',
      '  %4 f32[8, 8]: an output',
    ]);
  });
});

describe('updates', () => {
  test('in place where every thread reads what it overwrites, beside and copied where it does not', () => {
    const v = new Variable('v', [4, 4]);
    expect(dump({}, [{ variable: v, value: add(v.tensor, 1) }])).toEqual([
      '1 add (=v)',
      '  %1 f32[4, 4] → v: the new value of v',
    ]);
    expect(dump({}, [{ variable: v, value: add(transpose(v.tensor), 1) }])).toEqual([
      '1 add (v)',
      '  %2 f32[4, 4]: the new value of v, whose old value is still read',
      '2 copy (=%2)',
      '  %3 f32[4, 4] → v: the new value of v',
    ]);
  });

  test('a swap keeps one old value aside', () => {
    const [a, b] = [new Variable('a', [4]), new Variable('b', [4])];
    const lines = dump({}, [
      { variable: a, value: b.tensor },
      { variable: b, value: a.tensor },
    ]);
    expect(lines.filter((line) => !line.startsWith(' '))).toHaveLength(3);
  });
});

describe('limits', () => {
  test.each([8, 10, 16])('Adam on layers of equal width binds no more than %i buffers', (buffers) => {
    const layers = Array.from({ length: 18 }, () => [new Linear(8, 8), new ReLU()]).flat();
    const adam = new Adam(new Parameters(new Sequential(...layers)));
    const y = new Sequential(...layers).forward(input('x', [4, 8]));
    const { updates } = adam.minimize(mean(mul(y, y)));
    expect(mostBindings({ outputs: {}, updates }, buffers)).toBeLessThanOrEqual(buffers);
  });

  test.each([8, 16])('a pack of %i parts and more that lie elsewhere is written by copies in place', (buffers) => {
    for (const count of [buffers - 1, buffers, 2 * buffers + 1]) {
      const inputs = Array.from({ length: count }, (_, i) => input(`x${i}`, [5 + i]));
      expect(mostBindings({ outputs: { y: pack(inputs) }, updates: [] }, buffers)).toBeLessThanOrEqual(buffers);
      // Parts that read other parts, parts twice, and parts that are outputs, too.
      const [first] = inputs as [Tensor];
      const parts = [...inputs.map(exp), exp(exp(first)), exp(first)];
      const graph = { outputs: { y: pack(parts), e: parts[1]! }, updates: [] };
      expect(mostBindings(graph, buffers)).toBeLessThanOrEqual(buffers);
    }
  });

  test('a chain of tens of thousands of unary ops becomes kernels of a bounded length', { timeout: 60_000 }, () => {
    const count = ALL_TESTS ? 50_000 : 20_000;
    let y: Tensor = input('x', [64]);
    for (let i = 0; i < count; i++) y = tanh(y);
    const kernels = [...kernelsOf(planGraph({ outputs: { y }, updates: [] }, adapterOf(8)))];
    expect(kernels.length).toBeGreaterThan(count / 1000);
    expect(kernels.length).toBeLessThan(count / 100);
    for (const { code } of kernels) expect(code.length).toBeLessThan(100_000);
  });

  test('a wide tree of ops, too', () => {
    const x = input('x', [64]);
    let level = Array.from({ length: ALL_TESTS ? 4096 : 1024 }, (_, i) => mul(x, i + 0.5));
    while (level.length > 1) level = level.flatMap((a, i) => (i % 2 ? [add(level[i - 1]!, tanh(a))] : []));
    const kernels = [...kernelsOf(planGraph({ outputs: { y: level[0]! }, updates: [] }, adapterOf(8)))];
    for (const { code } of kernels) expect(code.length).toBeLessThan(200_000);
  });
});

describe('explain says why two dispatches are not one', () => {
  const why = (outputs: Record<string, Tensor>) => explainSchedule(fuse(simplify({ outputs, updates: [] })));

  test('an operand must be complete; a reduction has another size', () => {
    const x = input('x', [8, 8]);
    const y = exp(x);
    expect(why({ z: matmul(y, y) })).toEqual([
      '1 (exp) and 2 (matmul): %0 is read by matmul, and so must be complete before',
    ]);
    expect(why({ z: sub(x, sum(x, { axis: 1, keepDims: true })) })).toEqual([
      '1 (sum) and 2 (sub): f32[8] and f32[8, 8] are of different sizes',
    ]);
  });

  test('the reason stands between the two in the printed schedule', () => {
    const x = exp(input('x', [8, 8]));
    expect(printExplained(fuse({ outputs: { z: matmul(x, x) }, updates: [] })).split('\n')).toEqual([
      '1 exp (=x)',
      '  %0 f32[8, 8]: read many times by matmul',
      '    1 (exp) and 2 (matmul): %0 is read by matmul, and so must be complete before',
      '2 matmul (%0)',
      '  %1 f32[8, 8]: an output',
    ]);
  });

  test('dispatches are numbered from 1, as in the plan; a pack in place is none, and two are asked for by their numbers', () => {
    const [x, w] = [input('x', [8, 8]), input('w', [8, 8])];
    const all = pack([matmul(x, w), matmul(w, x)]);
    const schedule = fuse(simplify({ outputs: { all, norm: sum(mul(all, all)) }, updates: [] }));
    const titles = printSchedule(schedule).match(/^\S+ \S+/gm);
    expect(titles).toEqual(['1 matmul', '2 matmul', '- pack,', '3 mul+sum']);
    expect(explainSchedule(schedule, 2, 3)).toEqual([expect.stringMatching(/^2 \(matmul\) and 3 \(mul\+sum\): /)]);
    expect(() => explainSchedule(schedule, 3)).toThrow('there are dispatches 1 to 3, got 4');
    expect(() => explainSchedule(schedule, 2, 2)).toThrow(RangeError);
  });

  test('too many buffers are counted', () => {
    const many = Array.from({ length: 14 }, (_, i) => input(`x${i}`, [4]));
    const [line] = why({ y: many.reduce((total, x) => add(total, mul(x, x))) });
    expect(line).toMatch(/one kernel would bind \d+ buffers, of 8 at most/);
  });
});

test('nothing is fused to a kernel of several results that is bound as it is: it stores these and no others', () => {
  const twice = defineOp({
    name: 'twice',
    infer: ([x]) => [
      { shape: x!.shape, dtype: 'f32' as const },
      { shape: x!.shape, dtype: 'f32' as const },
    ],
    kernel: {
      wgsl: `
        @group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read_write> a: array<f32>;
        @group(0) @binding(2) var<storage, read_write> b: array<f32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3u) { if (id.x < 8) { a[id.x] = x[id.x]; b[id.x] = 2 * x[id.x]; } }`,
      inputs: ['x'],
      outputs: ['a', 'b'],
      workgroups: () => 1,
    },
  });
  const x = input('x', [8]);
  const [a, b] = applyAll(twice, [x], {}) as [Tensor, Tensor];
  const { groups } = fuse(simplify({ outputs: { y: mul(sub(a, 1), x), z: add(b, a) }, updates: [] }));
  const [kernel, ...others] = groups.filter(({ kernelOps }) => kernelOps.length > 0);
  expect(others).toEqual([]);
  expect(kernel!.outputs.map(({ op }) => op.name)).toEqual(['result', 'result']);
});

test('in mixed precision a pack that a matmul reads keeps its type, as its parts do', () => {
  const parts = [exp(input('a', [64])), exp(input('b', [64]))];
  const y = matmul(reshape(pack(parts), [2, 64]), input('w', [64, 4]));
  const types = topological([mixedPrecision({ outputs: { y }, updates: [] }).outputs.y!]);
  expect(types.filter(({ op }) => op.name === 'pack' || op.name === 'exp').map(({ dtype }) => dtype)).toEqual([
    'f32',
    'f32',
    'f32',
  ]);
});

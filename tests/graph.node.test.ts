// Graphs in, text out: tracing, autodiff, simplification, fusion and memory, without a device.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ShapeError } from '../src/errors.ts';
import { grad, gradients, valueAndGrad } from '../src/graph/autodiff.ts';
import { fuse } from '../src/graph/fuse.ts';
import { type Graph, printGraph, topological } from '../src/graph/graph.ts';
import { lower } from '../src/graph/lower.ts';
import { planMemory, wordsOf } from '../src/graph/memory.ts';
import type { Schedule } from '../src/graph/schedule.ts';
import { simplify, splitReductions } from '../src/graph/simplify.ts';
import { chooseVariants } from '../src/graph/variants.ts';
import { VAE } from '../src/models/vae.ts';
import { Linear, ReLU, Sequential } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { BatchNorm2d } from '../src/nn/norm.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { inTraining } from '../src/nn/training.ts';
import { defineOp } from '../src/ops/define.ts';
import { add, exp, log, mul, relu, sigmoid, sub, tanh } from '../src/ops/elementwise.ts';
import { matmul } from '../src/ops/matmul.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { softmax } from '../src/ops/softmax.ts';
import { constant, input, Variable } from '../src/ops/source.ts';
import { apply, DEFAULT_LIMITS, type Tensor } from '../src/ops/tensor.ts';
import { broadcastTo, concat, reshape, transpose } from '../src/ops/view.ts';

const graphOf = (outputs: Record<string, Tensor>): Graph => ({ outputs, updates: [] });
const simplified = (result: Tensor) => printGraph(simplify(graphOf({ result }))).split('\n');

const TRAITS = { software: true, subgroupSize: 4, f16: false, limits: DEFAULT_LIMITS };
const labels = (graph: Graph, maxBuffers?: number) => {
  const schedule = chooseVariants(fuse(simplify(graph), maxBuffers), TRAITS);
  const memory = planMemory(schedule);
  return schedule.groups
    .filter(({ inPlaceConcat }) => !inPlaceConcat)
    .map((group) => lower(group, memory, TRAITS).label);
};

describe('shapes', () => {
  test('a mistake names the op, the shapes, and where in the model', () => {
    const model = new Sequential(new Linear(4, 3), new ReLU(), new Linear(5, 2));
    expect(() => model.forward(input('x', [8, 4]))).toThrow(/Linear\(5, 2\) got \[8, 3\]: its last axis must be 5/);
    expect(() => add(input('a', [2, 3]), input('b', [4, 3]))).toThrow(
      'add: shapes [2, 3] and [4, 3] do not broadcast (axis 0: 2 and 4)',
    );
    expect(() => reshape(input('a', [2, 3]), [7])).toThrow(ShapeError);
  });
});

describe('autodiff', () => {
  test('as in JAX: the gradient of a function is a function', () => {
    const x = input('x', [3]);
    const cube = (t: Tensor) => sum(mul(mul(t, t), t));
    expect(grad(cube)(x).shape).toEqual([3]);
    const { value, gradients: all } = valueAndGrad((a: Tensor, b: Tensor) => sum(mul(a, b)))(x, input('y', [3]));
    expect([value.shape, all.map(({ shape }) => shape)]).toEqual([[], [[3], [3]]]);
  });

  test('second derivatives are there without further rules', () => {
    const second = grad((t: Tensor) => sum(grad((u: Tensor) => sum(exp(u)))(t)))(input('x', [2]));
    expect(simplified(second)).toEqual([
      '%0 = input() {"name":"x","shape":[2],"dtype":"f32"} : f32[2]',
      '%1 = exp(%0) : f32[2]',
      'output result = %1',
    ]);
  });

  test('only of one f32', () => {
    const x = input('x', [3]);
    expect(() => gradients(x, [x])).toThrow(/the gradient is taken of one f32, not of f32\[3\]/);
  });
});

describe('simplification', () => {
  const x = input('x', [2, 3]);
  const X = '%0 = input() {"name":"x","shape":[2,3],"dtype":"f32"} : f32[2, 3]';

  test('constants are folded, and neutral elements dropped', () => {
    expect(simplified(mul(add(x, sub(constant(2), 2)), mul(constant(0.5), 2)))).toEqual([X, 'output result = %0']);
    expect(simplified(mul(mul(x, 3), 2))).toContain('%2 = mul(%0, %1) : f32[2, 3]');
  });

  test('equal subexpressions become one', () => {
    expect(simplified(add(exp(x), exp(x)))).toEqual([
      X,
      '%1 = exp(%0) : f32[2, 3]',
      '%2 = add(%1, %1) : f32[2, 3]',
      'output result = %2',
    ]);
  });

  test('a transpose goes into the product', () => {
    const lines = simplified(matmul(transpose(input('a', [4, 2])), transpose(input('b', [3, 4]))));
    expect(lines[2]).toBe('%2 = matmul(%0, %1) {"transposeA":true,"transposeB":true} : f32[2, 3]');
  });

  test('views of views are one view', () => {
    expect(simplified(reshape(reshape(transpose(transpose(x)), [6]), [2, 3]))).toEqual([X, 'output result = %0']);
    expect(simplified(add(x, broadcastTo(constant(1), [2, 3])))).toContain('%2 = add(%0, %1) : f32[2, 3]');
  });

  test('what nothing needs is gone', () => {
    const { updates } = { updates: [] };
    const graph = simplify({ outputs: { y: relu(x) }, updates });
    expect(topological(Object.values(graph.outputs)).map(({ op }) => op.name)).toEqual(['input', 'relu']);
  });

  test('the backward pass of a product transposes nothing', () => {
    const w = input('w', [5, 4]);
    const a = input('a', [3, 4]);
    const loss = sum(tanh(matmul(a, w, { transposeB: true })));
    const graph = simplify({
      outputs: Object.fromEntries(gradients(loss, [w, a]).map((g, i) => [`g${i}`, g])),
      updates: [],
    });
    expect(printGraph(graph)).not.toContain('transpose(');
    expect(printGraph(graph)).toContain('{"transposeA":true,"transposeB":false} : f32[5, 4]');
  });

  test('a factor that is the same all along a sum follows it', () => {
    const w = input('w', [3]);
    expect(simplified(sum(mul(x, w), { axis: 0 })).slice(1)).toEqual([
      '%1 = sum(%0) {"axes":[0]} : f32[3]',
      '%2 = input() {"name":"w","shape":[3],"dtype":"f32"} : f32[3]',
      '%3 = mul(%1, %2) : f32[3]',
      'output result = %3',
    ]);
    // Along the other axis it is not the same, and a product of broadcast factors alone has not the shape of the sum.
    expect(simplified(sum(mul(x, w), { axis: 1 })).join()).toContain('mul(%0, %1) : f32[2, 3]');
    expect(simplified(sum(mul(input('a', [2, 1]), w), { axis: 0 })).join()).toContain(': f32[2, 3]');
  });

  test('a product is the same whichever factor comes first', () => {
    const y = input('y', [2, 3]);
    expect(simplified(sub(mul(x, y), mul(y, x))).join()).toContain('sub(%2, %2)');
  });

  test('a long reduction with few results is cut in two', () => {
    const cut = splitReductions(graphOf({ y: sum(input('x', [2, 4096])) }), { software: true });
    expect(printGraph(cut)).toMatch(/sum\(%\d\) \{"axes":\[\d\]\} : f32\[1, \d+\]/);
  });
});

describe('fusion', () => {
  test('batch norm takes a dispatch of sums forward, one backward, and one for all else', () => {
    const norm = new BatchNorm2d(8);
    const [x, g] = [input('x', [4, 8, 5, 5]), input('g', [4, 8, 5, 5])];
    const { value } = inTraining(undefined, () => norm.forward(x));
    const parameters = [...norm.namedParameters().values()].map(({ tensor }) => tensor);
    const wrt = gradients(sum(mul(value, g)), [x, ...parameters]);
    const forward = labels(graphOf({ y: value }));
    const all = labels(graphOf({ y: value, ...Object.fromEntries(wrt.map((d, i) => [`d${i}`, d])) }), 10);
    expect(forward).toHaveLength(2);
    expect(all).toHaveLength(3);
  });

  test('elementwise chains are one dispatch', () => {
    const x = input('x', [64]);
    expect(labels(graphOf({ y: sigmoid(add(mul(x, 2), exp(x))) }))).toEqual(['mul+exp+add+sigmoid']);
  });

  test('bias and activation go into the product', () => {
    const y = relu(add(matmul(input('a', [8, 4]), input('b', [4, 8])), input('c', [8])));
    expect(labels(graphOf({ y }))).toEqual(['matmul+add+relu']);
  });

  test('the gradient of an activation goes into the product before it', () => {
    const [a, w, v] = [input('a', [8, 4]), input('w', [4, 8]), input('v', [8, 4])];
    const hidden = relu(matmul(a, w));
    const [gradient] = gradients(sum(matmul(hidden, v)), [w]);
    expect(labels(graphOf({ gradient: gradient! }))).toEqual(['matmul', 'relu+greater+matmul+where', 'matmul']);
  });

  test('what feeds a reduction is computed in it', () => {
    expect(labels(graphOf({ y: sum(mul(input('x', [4, 64]), 2), { axis: 1 }) }))).toEqual(['mul+sum']);
    expect(labels(graphOf({ y: softmax(input('x', [4, 64]), 0) }))).toEqual(['logsumexp', 'sub+exp']);
  });

  test('a softmax of rows is one dispatch with what feeds it and what follows, and so is its gradient', () => {
    const [x, w] = [input('x', [4, 64]), input('w', [4, 64])];
    const y = softmax(mul(x, 2));
    expect(labels(graphOf({ y: relu(add(y, -0.1)) }))).toEqual(['mul+softmaxRows+add+relu']);
    const [gradient] = gradients(sum(mul(y, w)), [x]);
    expect(labels(graphOf({ gradient: gradient! }))).toEqual(['mul+softmaxRows', 'softmaxRowsGradient+mul']);
    // Of few long rows, no thread or workgroup has one for itself.
    expect(labels(graphOf({ y: softmax(input('x', [2, 4096])) }))).toEqual(['logsumexp', 'sub+exp']);
  });

  test("Adam's step is one dispatch over all parameters, in place", () => {
    const layer = new Linear(6, 4);
    const parameters = new Parameters(layer);
    const adam = new Adam(parameters);
    const { updates } = adam.minimize(sum(layer.forward(input('x', [8, 6]))));
    const schedule = fuse(simplify({ outputs: {}, updates }));
    const writers = schedule.groups.filter(({ outputs }) =>
      outputs.some((node) => schedule.targets.get(node) === parameters.flat),
    );
    expect(writers).toHaveLength(1);
    const written = writers[0]!.outputs.map((node) => schedule.targets.get(node)?.name);
    expect(written.sort()).toEqual(['exp_avg', 'exp_avg_sq', 'parameters']);
  });

  test('no kernel binds more than eight buffers', () => {
    const many = Array.from({ length: 23 }, (_, i) => input(`x${i}`, [4]));
    const y = many.reduce((total, x) => add(total, mul(x, x)));
    for (const result of [y, log(concat(many))]) {
      const schedule = chooseVariants(fuse(simplify(graphOf({ result }))), TRAITS);
      const memory = planMemory(schedule);
      expect(schedule.groups.length).toBeGreaterThan(1);
      for (const group of schedule.groups) expect(lower(group, memory, TRAITS).bindings.length).toBeLessThanOrEqual(8);
    }
  });
});

describe('memory', () => {
  function vaeStep(): Schedule {
    const vae = new VAE({ pixels: 784 });
    const adam = new Adam(new Parameters(vae));
    const loss = mean(vae.elbo(input('x', [128, 784]), input('noise', [128, 20])).loss);
    return fuse(simplify({ outputs: { loss }, updates: adam.minimize(loss).updates }));
  }

  /** No two tensors that are alive at once share memory, unless one takes the other's place element by element. */
  function checkPlan(schedule: Schedule): void {
    const { groups } = schedule;
    const { allocations, slots } = planMemory(schedule);
    const lives = new Map<Tensor, { from: number; to: number }>();
    groups.forEach(({ outputs, reads }, index) => {
      for (const node of outputs) lives.set(node, { from: index, to: index });
      for (const node of reads.keys()) if (lives.has(node)) lives.get(node)!.to = index;
    });
    for (const [a, lifeA] of lives) {
      const placeA = allocations.get(a)!;
      if (placeA.kind !== 'slot') continue;
      expect(slots[placeA.slot]).toBeGreaterThanOrEqual(placeA.offset + wordsOf(a));
      for (const [b, lifeB] of lives) {
        const placeB = allocations.get(b)!;
        if (a === b || placeB.kind !== 'slot' || placeA.slot !== placeB.slot || b.inputs.includes(a)) continue;
        const apartInSpace = placeA.offset + wordsOf(a) <= placeB.offset || placeB.offset + wordsOf(b) <= placeA.offset;
        const heir = lifeA.to === lifeB.from && groups[lifeB.from]!.reads.get(a) === true;
        const apartInTime =
          lifeA.to < lifeB.from ||
          lifeB.to < lifeA.from ||
          heir ||
          (lifeB.to === lifeA.from && groups[lifeA.from]!.reads.get(b) === true);
        const packed = [a, b].some(({ op }) => op.name === 'pack');
        if (!packed) expect(apartInSpace || apartInTime, `${a} and ${b}`).toBe(true);
      }
    }
  }

  test("the VAE's step: nothing overwrites what is still needed, and the peak is near the lower bound", () => {
    const schedule = vaeStep();
    checkPlan(schedule);
    const { peak, lowerBound } = planMemory(schedule);
    expect(lowerBound).toBeGreaterThan(0);
    expect(peak).toBeGreaterThanOrEqual(lowerBound);
    expect(peak / lowerBound).toBeLessThan(1.5);
  });

  test('random graphs: nothing overwrites what is still needed', () => {
    const build = fc.array(fc.tuple(fc.nat(5), fc.nat(), fc.nat()), { minLength: 3, maxLength: 25 });
    fc.assert(
      fc.property(build, (steps) => {
        const nodes: Tensor[] = [input('a', [8, 8]), input('b', [8, 8]), new Variable('v', [8, 8]).tensor];
        for (const [kind, i, j] of steps) {
          const a = nodes[i % nodes.length]!;
          const b = nodes[j % nodes.length]!;
          const make = [
            () => add(a, b),
            () => matmul(a, b),
            () => exp(a),
            () => transpose(a),
            () => add(a, sum(b, { axis: 1, keepDims: true })),
            () => softmax(mul(a, b), 0),
          ];
          nodes.push(make[kind]!());
        }
        const graph = { outputs: { last: nodes.at(-1)!, other: nodes[nodes.length >> 1]! }, updates: [] };
        checkPlan(fuse(simplify(graph)));
      }),
      { numRuns: 200 },
    );
  });
});

test('the gradient of a composite whose operands depend on each other counts each way once', () => {
  const x = input('x', []);
  // x − 3x has the slope 1 − 3; that of 3x, passed on twice, would make it −5.
  const difference = defineOp({ name: 'difference', decompose: ([a, b]) => sub(a!, b!) });
  const [slope] = gradients(apply(difference, [x, mul(x, 3)], {}), [x]);
  const { outputs } = simplify({ outputs: { slope: slope! }, updates: [] });
  expect(printGraph({ outputs, updates: [] })).toContain('"value":-2');
});

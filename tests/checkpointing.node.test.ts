// What is not kept: activations that are computed again, and logits that are never all there, by the memory that is planned.
import { describe, expect, test } from 'vitest';
import { gradients } from '../src/graph/autodiff.ts';
import { checkpoint } from '../src/graph/checkpoint.ts';
import { type Graph, topological } from '../src/graph/graph.ts';
import { planGraph } from '../src/graph/plan.ts';
import { simplify } from '../src/graph/simplify.ts';
import { GPT } from '../src/models/gpt.ts';
import { Linear } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam, AdamW } from '../src/nn/optimizers.ts';
import { cosineSchedule, warmup } from '../src/nn/schedules.ts';
import { crossEntropy } from '../src/ops/cross_entropy.ts';
import { add, elementwise, mul, sin, square, sub, tanh, toF32 } from '../src/ops/elementwise.ts';
import { linearCrossEntropy } from '../src/ops/linear_cross_entropy.ts';
import { matmul } from '../src/ops/matmul.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { input, iota } from '../src/ops/source.ts';
import { type AdapterTraits, DEFAULT_LIMITS, type Op, scope, type Tensor } from '../src/ops/tensor.ts';
import { Evaluator, evaluateStep, type Inputs, type Memory, variableValue } from './fuzz/evaluate.ts';
import { randomFrom } from './numbers.ts';

const limits = { ...DEFAULT_LIMITS, maxStorageBufferBindingSize: 2 ** 31, maxBufferSize: 2 ** 31 };
const CPU: AdapterTraits = { software: true, subgroupSize: 4, f16: false, limits };
const GPU: AdapterTraits = { ...CPU, software: false, subgroupSize: 32, vendor: 'nvidia' };
const ADAPTERS = { CPU, GPU };

/** Bytes that are planned beside inputs and variables. */
const bytesOf = (graph: Graph, adapter: AdapterTraits) => 4 * planGraph(graph, adapter).memory.peak;

describe.each(Object.entries(ADAPTERS))('planned for a %s', (_, adapter) => {
  test('blocks that are computed again take memory of one, and what goes into each', () => {
    const step = (layers: number): Graph => {
      const model = new GPT({ vocabulary: 65, context: 128, layers, heads: 4, width: 64 });
      const loss = mean(model.loss(input('tokens', [8, 129], 'u32')));
      return { outputs: { loss }, updates: new Adam(new Parameters(model)).minimize(loss).updates };
    };
    const again = (graph: Graph) => checkpoint(graph, (path) => /^transformer\.(h\.\d+)/.exec(path)?.[1]);
    const [one, four] = [step(1), step(4)];
    const block = (bytesOf(four, adapter) - bytesOf(one, adapter)) / 3;
    const small = (bytesOf(again(four), adapter) - bytesOf(again(one), adapter)) / 3;
    // What stays of a block is its input and its weights' gradient; for a GPU, late gradients share dispatches, and keep theirs.
    expect(small).toBeLessThan(adapter.software ? block / 2 : 0.75 * block);
    expect(again(four).updates).toHaveLength(four.updates.length);
  });

  test('logits of a large vocabulary are there in parts', () => {
    const [rows, classes, width] = [256, 20_000, 32];
    const [x, weight] = [input('x', [rows, width]), input('weight', [classes, width])];
    const labels = input('labels', [rows], 'u32');
    const of = (losses: Tensor): Graph => {
      const [dx, dw] = gradients(mean(losses), [x, weight]) as [Tensor, Tensor];
      // Not the gradient itself, which is as large as the weight.
      return { outputs: { loss: mean(losses), dx, dw: sum(dw) }, updates: [] };
    };
    const logits = 4 * rows * classes;
    expect(bytesOf(of(crossEntropy(matmul(x, weight, { transposeB: true }), labels)), adapter)).toBeGreaterThan(logits);
    expect(bytesOf(of(linearCrossEntropy(x, weight, labels, { chunk: 1024 })), adapter)).toBeLessThan(logits / 2);
  });
});

describe('in float64', () => {
  const random = randomFrom(3);
  const drawn = ({ size }: Tensor) => Float64Array.from({ length: size }, () => 2 * random() - 1);
  /** Outputs of a graph, without a device. */
  function valuesOf(outputs: Record<string, Tensor>, inputs: Inputs): Record<string, Float64Array> {
    const graph = simplify({ outputs, updates: [] });
    const evaluator = new Evaluator(inputs, new Map(), { samples: 1 });
    return Object.fromEntries(
      Object.entries(graph.outputs).map(([name, node]) => [name, evaluator.value(node).samples[0]!]),
    );
  }
  const apart = (a: Float64Array, b: Float64Array) => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

  test('a cross entropy in parts is that of all logits, and so are its gradients', () => {
    const [x, weight] = [input('x', [5, 6]), input('weight', [11, 6])];
    const labels = input('labels', [5], 'u32');
    const given = {
      x: drawn(x),
      weight: drawn(weight),
      labels: Float64Array.of(0, 4, 10, 3, 8),
      g: Float64Array.of(1, -2, 3, 0.5, 1),
    };
    const of = (losses: Tensor) => {
      const [dx, dw] = gradients(sum(mul(losses, input('g', [5]))), [x, weight]) as [Tensor, Tensor];
      return valuesOf({ losses, dx, dw }, given);
    };
    const expected = of(crossEntropy(matmul(x, weight, { transposeB: true }), labels));
    for (const chunk of [4, 11, 100]) {
      const actual = of(linearCrossEntropy(x, weight, labels, { chunk }));
      for (const name of ['losses', 'dx', 'dw']) expect(apart(actual[name]!, expected[name]!), name).toBeLessThan(1e-6);
    }
    expect(() => linearCrossEntropy(x, input('w', [11, 5]), labels)).toThrow(
      'linearCrossEntropy: wants x f32 [N, width], a weight f32 [C, width] and labels u32 [N], got f32[5, 6], f32[11, 5]',
    );
  });

  test('what is computed again gives the same', () => {
    const x = input('x', [3, 4]);
    const weights = [0, 1, 2].map((i) => input(`w${i}`, [4, 4]));
    const layer = (value: Tensor, i: number) =>
      scope(`h.${i}`, () =>
        add(value, tanh(sub(matmul(value, weights[i]!), mean(value, { axis: 1, keepDims: true })))),
      );
    const y = weights.reduce((value, _, i) => layer(value, i), x as Tensor);
    const wrt = [x, ...weights];
    const outputs = {
      loss: sum(square(y)),
      ...Object.fromEntries(gradients(sum(square(y)), wrt).map((g, i) => [`d${i}`, g])),
    };
    const again = checkpoint({ outputs, updates: [] }, (path) => /^(h\.\d)/.exec(path)?.[1]);
    const count = (roots: Iterable<Tensor>) =>
      topological(roots).filter(({ op }) => op === (elementwise.tanh as Op)).length;
    // Once forward, and once more backward.
    expect([count(Object.values(outputs)), count(Object.values(again.outputs))]).toEqual([3, 6]);
    const given = Object.fromEntries(wrt.map((one) => [(one.attrs as { name: string }).name, drawn(one)]));
    const [expected, actual] = [valuesOf(outputs, given), valuesOf(again.outputs, given)];
    for (const name of Object.keys(outputs)) expect(apart(actual[name]!, expected[name]!), name).toBe(0);
  });

  test('gradients of several batches make the step of one that large', () => {
    /** The weights after two steps of twelve examples each, which come in batches. */
    const weightsOf = (batch: number) => {
      const model = new Linear(3, 2);
      const parameters = new Parameters(model, 4);
      const accumulate = 12 / batch;
      const lr = warmup(2, cosineSchedule({ lr: 0.1, steps: 5 }));
      const optimizer = new AdamW(parameters, { lr, maxNorm: 0.3, skip: 5, average: 0.9, accumulate });
      const at = add(mul(toF32(optimizer.step.tensor), batch), iota([batch, 3], 0));
      const examples = sin(add(at, mul(iota([batch, 3], 1), 0.7)));
      const loss = mean(square(sub(model.forward(examples), 1)));
      const graph = simplify({ outputs: { loss }, updates: optimizer.minimize(loss).updates });
      const memory: Memory = new Map();
      for (let i = 0; i < 2 * accumulate; i++) evaluateStep(graph, {}, memory, { samples: 1 });
      return variableValue(memory, parameters.flat, 1).samples[0]!;
    };
    const large = weightsOf(12);
    expect(apart(large, weightsOf(12))).toBe(0);
    for (const batch of [6, 4, 1]) expect(apart(large, weightsOf(batch)), `${batch}`).toBeLessThan(1e-6);
  });
});

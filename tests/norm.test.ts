// Layers of images: norms against their definitions and PyTorch's defaults, dropout, pooling, embedding, in use and in
// training.
import { grad, numpy as np } from '@jax-js/jax';
import { expect, test } from 'vitest';
import { startJax, toArray } from '../src/bench/jax_training.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { Conv2d } from '../src/nn/conv.ts';
import { Linear, ReLU, Sequential } from '../src/nn/layers.ts';
import { type Parameter, Parameters } from '../src/nn/module.ts';
import { BatchNorm2d, GroupNorm, LayerNorm } from '../src/nn/norm.ts';
import { SGD } from '../src/nn/optimizers.ts';
import { AvgPool2d, Dropout, Embedding, MaxPool2d, Upsample } from '../src/nn/pool.ts';
import { inEvaluation, inTraining } from '../src/nn/training.ts';
import { mul, square, sub } from '../src/ops/elementwise.ts';
import { randomKey } from '../src/ops/random.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { constant, input } from '../src/ops/source.ts';
import { reshape } from '../src/ops/view.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { freeVariables, readVariable } from '../src/runtime/variables.ts';
import { errorOf, randomFrom, randomValues, sharedGpu } from './numbers.ts';

const shape = [3, 4, 5, 6];
const x = randomValues({ shape, min: -1, max: 3 }, randomFrom(7)) as Float32Array;
const plane = 5 * 6;
/** The numbers of some images and channels. */
const pick = (images: number[], channels: number[]) =>
  images.flatMap((n) => channels.flatMap((c) => [...x.subarray((n * 4 + c) * plane, (n * 4 + c + 1) * plane)]));
const average = (values: readonly number[]) => values.reduce((total, value) => total + value, 0) / values.length;
const varianceOf = (values: readonly number[]) => average(values.map((value) => (value - average(values)) ** 2));
const normalized = (values: readonly number[]) =>
  values.map((value) => (value - average(values)) / Math.sqrt(varianceOf(values) + 1e-5));

test('batch norm: by the batch in training, by what it has seen of it in use', async () => {
  const gpu = await sharedGpu();
  const layer = new BatchNorm2d(4);
  expect([...layer.namedParameters().keys(), ...layer.namedBuffers().keys()]).toEqual([
    ...['weight', 'bias', 'running_mean', 'running_var'],
  ]);
  const images = input('x', shape);
  const { value, updates } = inTraining(undefined, () => layer.forward(images));
  using step = await compile(gpu, { outputs: { y: value }, updates });
  step.run({ x }, { steps: 1 });
  const y = (await step.read('y')) as Float32Array;
  const channels = [0, 1, 2, 3].map((c) => pick([0, 1, 2], [c]));
  for (const [c, values] of channels.entries()) {
    const own = [0, 1, 2].flatMap((n) => [...y.subarray((n * 4 + c) * plane, (n * 4 + c + 1) * plane)]);
    expect(errorOf(own, normalized(values))).toBeLessThan(1e-5);
  }
  const count = 3 * plane;
  const means = channels.map((values) => 0.1 * average(values));
  const variances = channels.map((values) => 0.9 + (0.1 * varianceOf(values) * count) / (count - 1));
  expect(errorOf(await readVariable(gpu, layer.running_mean), means)).toBeLessThan(1e-5);
  expect(errorOf(await readVariable(gpu, layer.running_var), variances)).toBeLessThan(1e-5);
  const { used } = await evaluate(gpu, { used: inEvaluation(() => layer.forward(images)) }, { x });
  const expected = x.map((value, i) => {
    const c = Math.floor(i / plane) % 4;
    return (value - means[c]!) / Math.sqrt(variances[c]! + 1e-5);
  });
  expect(errorOf(used, expected)).toBeLessThan(1e-5);
});

test('group norm and layer norm, at first without scale and shift', async () => {
  const images = input('x', shape);
  const outputs = { group: new GroupNorm(2, 4).forward(images), layer: new LayerNorm([5, 6]).forward(images) };
  const { group, layer } = await evaluate(await sharedGpu(), outputs, { x });
  const groups = [0, 1, 2].flatMap((n) => [...normalized(pick([n], [0, 1])), ...normalized(pick([n], [2, 3]))]);
  expect(errorOf(group, groups)).toBeLessThan(1e-5);
  const layers = [0, 1, 2].flatMap((n) => [0, 1, 2, 3].flatMap((c) => normalized(pick([n], [c]))));
  expect(errorOf(layer, layers)).toBeLessThan(1e-5);
});

test.each([
  ['batch norm', new BatchNorm2d(4), [0, 2, 3], [3, 4, 5, 6], [1, 4, 1, 1]],
  ['group norm', new GroupNorm(2, 4), [2, 3, 4], [3, 2, 2, 5, 6], [1, 2, 2, 1, 1]],
  ['layer norm', new LayerNorm([5, 6]), [2, 3], [3, 4, 5, 6], [1, 1, 5, 6]],
] as const)('%s and its gradients agree with jax-js', async (_, layer, axes, parts, each) => {
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const random = randomFrom(seed);
  const [images, g] = [input('x', shape), input('g', shape)];
  const { weight, bias } = layer as { weight: Parameter; bias: Parameter };
  const given: Record<string, Float32Array> = { x: randomValues({ shape, min: -1, max: 3 }, random) as Float32Array };
  given.g = randomValues({ shape }, random) as Float32Array;
  given.w = randomValues({ shape: weight.shape }, random) as Float32Array;
  given.b = randomValues({ shape: bias.shape }, random) as Float32Array;
  for (const [parameter, name] of [
    [weight, 'w'],
    [bias, 'b'],
  ] as const) {
    Object.assign(parameter, { init: () => given[name]! });
  }
  const { value: y } = inTraining(undefined, () => layer.forward(images));
  const [dx, dw, db] = gradients(sum(mul(y, g)), [images, weight.tensor, bias.tensor]);
  const gpu = await sharedGpu();
  const actual = await evaluate(gpu, { y, dx: dx!, dw: dw!, db: db! }, { x: given.x!, g: given.g! });

  await startJax('wasm');
  const array = (name: string, dims: readonly number[]) => toArray(given[name]!, dims, 'wasm');
  const norm = (x: np.Array, w: np.Array, b: np.Array) => {
    const centred = x.ref.sub(np.mean(x, [...axes], { keepdims: true }));
    const variance = np.mean(np.square(centred.ref), [...axes], { keepdims: true });
    return centred
      .div(np.sqrt(variance.add(1e-5)))
      .mul(w)
      .add(b);
  };
  const operands = () => [array('x', parts), array('w', each), array('b', each)] as const;
  const expected = await norm(...operands()).data();
  const loss = (x: np.Array, w: np.Array, b: np.Array) => norm(x, w, b).mul(array('g', parts)).sum();
  const wanted = grad(loss, { argnums: [0, 1, 2] })(...operands()) as np.Array[];
  expect(errorOf(actual.y, expected), `forward, seed ${seed}`).toBeLessThan(2e-5);
  for (const [i, name] of (['dx', 'dw', 'db'] as const).entries()) {
    expect(errorOf(actual[name], await wanted[i]!.data()), `${name}, seed ${seed}`).toBeLessThan(1e-4);
  }
  freeVariables(gpu, [weight, bias]);
});

test('dropout: each layer its own numbers in training, nothing in use', async () => {
  const layers = [new Dropout(0.25), new Dropout(0.25)];
  const ones = input('x', [4000]);
  const { value } = inTraining(randomKey(3, constant(0, 'u32')), () => layers.map((layer) => layer.forward(ones)));
  const [first, second] = value as [typeof ones, typeof ones];
  const data = new Float32Array(4000).fill(1);
  const made = await evaluate(
    await sharedGpu(),
    { first, second, used: inEvaluation(() => layers[0]!.forward(ones)) },
    { x: data },
  );
  for (const values of [made.first, made.second]) {
    const kept = [...values].filter((number) => number !== 0);
    expect(kept.length / 4000).toBeCloseTo(0.75, 1);
    expect(kept.every((number) => Math.abs(number - 4 / 3) < 1e-6)).toBe(true);
  }
  expect(made.first).not.toEqual(made.second);
  expect(made.used).toEqual(data);
});

test('pooling, up-sampling and tables', async () => {
  const images = input('x', [1, 1, 2, 4]);
  const table = new Embedding(5, 3);
  const parameters = new Parameters(table, 1);
  const outputs = {
    most: new MaxPool2d(2).forward(images),
    middle: new AvgPool2d(2).forward(images),
    near: new Upsample(2).forward(images),
    rows: table.forward(input('i', [2], 'u32')),
  };
  const given = { x: Float32Array.of(1, 5, 2, 0, 3, -1, 4, 8), i: Uint32Array.of(4, 1) };
  const gpu = await sharedGpu();
  const made = await evaluate(gpu, outputs, given);
  expect([...made.most]).toEqual([5, 8]);
  expect([...made.middle]).toEqual([2, 3.5]);
  expect([...made.near].slice(0, 8)).toEqual([1, 1, 5, 5, 2, 2, 0, 0]);
  const { data } = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array).get('weight')!;
  expect([...made.rows]).toEqual([...data.subarray(12, 15), ...data.subarray(3, 6)]);
});

test('a network of them learns', async () => {
  const gpu = await sharedGpu();
  const norm = new BatchNorm2d(8);
  const body = new Sequential(
    new Conv2d(4, 8, 3, { padding: 1 }),
    norm,
    new ReLU(),
    new MaxPool2d(2),
    new GroupNorm(2, 8),
  );
  const head = new Linear(8 * 2 * 3, 1);
  const model = new Sequential(body, head);
  const sgd = new SGD(new Parameters(model), { lr: 0.05 });
  const { value: loss, updates } = inTraining(undefined, () => {
    const features = body.forward(input('x', shape));
    const error = head.forward(reshape(features, [3, 48]));
    return mean(square(sub(error, input('y', [3, 1]))));
  });
  const step = sgd.minimize(loss, updates);
  using program = await compile(gpu, { outputs: { loss }, updates: step.updates });
  const given = { x, y: Float32Array.of(1, -1, 2) };
  program.run(given);
  const [before] = await program.read('loss');
  program.run(given, { steps: 60 });
  const [after] = await program.read('loss');
  expect(after!).toBeLessThan(before! * 0.1);
});

test('a mean far from 0 costs no digits, and equal numbers are none apart', async () => {
  const far = x.map((value) => value + 1000);
  const same = new Float32Array(x.length).fill(7.3);
  const layer = new LayerNorm([5, 6]);
  const outputs = { moved: layer.forward(input('far', shape)), flat: layer.forward(input('same', shape)) };
  const { moved, flat } = await evaluate(await sharedGpu(), outputs, { far, same });
  const expected = [0, 1, 2].flatMap((n) =>
    [0, 1, 2, 3].flatMap((c) => normalized([...far.subarray((n * 4 + c) * plane, (n * 4 + c + 1) * plane)])),
  );
  expect(errorOf(moved, expected)).toBeLessThan(1e-3);
  expect(flat.every((value) => value === 0)).toBe(true);
});

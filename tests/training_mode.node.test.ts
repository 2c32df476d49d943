// Training and evaluation mode: said, or refused with the layer's place; and traces that cannot mix.
import { describe, expect, test } from 'vitest';
import { OptionError } from '../src/errors.ts';
import { VqVae } from '../src/models/vq_vae.ts';
import { type Layer, Linear, ReLU, Sequential } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { BatchNorm2d } from '../src/nn/norm.ts';
import { SGD } from '../src/nn/optimizers.ts';
import { Dropout } from '../src/nn/pool.ts';
import { inEvaluation, inTraining } from '../src/nn/training.ts';
import { relu } from '../src/ops/elementwise.ts';
import { randomKey } from '../src/ops/random.ts';
import { mean } from '../src/ops/reduce.ts';
import { constant, input } from '../src/ops/source.ts';
import { scope } from '../src/ops/tensor.ts';

const key = randomKey(1, constant(0, 'u32'));
const images = input('images', [2, 3, 4, 4]);

describe('a layer that was not told the mode says where it is', () => {
  test.each<[string, Layer]>([
    ['Dropout', new Sequential(new ReLU(), new Sequential(new Dropout()))],
    ['BatchNorm2d', new Sequential(new ReLU(), new Sequential(new BatchNorm2d(3)))],
  ])('%s', (name, model) => {
    const forward = () => scope('encoder', () => model.forward(images));
    expect(forward).toThrow(OptionError);
    expect(forward).toThrow(`encoder.1.0: ${name} does not do the same in training as in use`);
    expect(() => inEvaluation(forward)).not.toThrow();
    expect(() => inTraining(key, forward)).not.toThrow();
    // Not left over from the traces before.
    expect(forward).toThrow(OptionError);
  });

  test('a whole model', () => {
    const model = new VqVae({ shape: { height: 8, width: 8, channels: 1 }, codes: 4, latent: 2 });
    const batch = { images: input('images', [2, 64]) };
    expect(() => model.terms(batch)).toThrow(/^encoder\.\d+: BatchNorm2d /);
    expect(inTraining(key, () => model.terms(batch)).updates).toHaveLength(4);
    expect(inEvaluation(() => Object.keys(model.terms(batch)))).toContain('loss');
  });

  test('and dropout without a key, too', () => {
    const model = new Sequential(new Dropout());
    expect(() => inTraining(undefined, () => model.forward(images))).toThrow('0: Dropout draws random numbers');
  });
});

test('one mode within another ends before it', () => {
  const layer = new BatchNorm2d(3);
  const { updates } = inTraining(key, () => {
    inEvaluation(() => layer.forward(images));
    return layer.forward(images);
  });
  expect(updates.map(({ variable }) => variable)).toEqual([layer.running_mean, layer.running_var]);
  expect(() => inTraining(key, () => inEvaluation(() => layer.forward(input('x', [1]))))).toThrow(/BatchNorm2d/);
  expect(() => layer.forward(images)).toThrow(OptionError);
});

describe('an async trace is refused, since another could run meanwhile', () => {
  const later = async () => {
    await Promise.resolve();
    return relu(images);
  };
  test.each<[string, () => unknown]>([
    ['inTraining', () => inTraining(key, later)],
    ['inEvaluation', () => inEvaluation(later)],
    ['scope a', () => scope('a', later)],
  ])('%s', (name, build) => {
    expect(build).toThrow(OptionError);
    expect(build).toThrow(`${name} got an async function`);
    expect(relu(images).path).toBe('');
  });
});

test('running statistics go to the optimizer, and stay as they are when a step is not made', () => {
  const model = new Sequential(new BatchNorm2d(3), new ReLU());
  const sgd = new SGD(new Parameters(model), { lr: 0.1 });
  const { value: loss, updates } = inTraining(key, () => mean(model.forward(images)));
  const step = sgd.minimize(loss, updates);
  const norm = (model.layers[0] as BatchNorm2d).running_mean;
  const update = step.updates.find(({ variable }) => variable === norm)!;
  expect(update.value.op.name).toBe('where');
  expect(update.value.inputs[0]).toBe(step.finite);
  expect(update.value.inputs[2]).toBe(norm.tensor);
});

test('a layer alike in both needs no mode', () => {
  expect(new Sequential(new Linear(4, 2), new ReLU()).forward(input('x', [3, 4])).shape).toEqual([3, 2]);
});

test('a layer that is used twice has its parameters once, under its first name', () => {
  const shared = new Linear(4, 4);
  const model = new Sequential(shared, new ReLU(), shared, new Sequential(shared, new Linear(4, 2)));
  const { named, flat } = new Parameters(model);
  expect([...named.keys()]).toEqual(['0.weight', '0.bias', '3.1.weight', '3.1.bias']);
  expect(flat.size).toBe(4 * 64);
});

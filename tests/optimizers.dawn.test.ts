// Optimizers, on lavapipe in Node: learning rates are numbers on the GPU, and groups of parameters have their own.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { OptionError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { VAE } from '../src/models/vae.ts';
import { Linear, ReLU, Sequential } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { LayerNorm } from '../src/nn/norm.ts';
import { Adam, AdamW, type Optimizer, SGD } from '../src/nn/optimizers.ts';
import { cosineSchedule, inverseTimeSchedule, type LearningRateSchedule, warmup } from '../src/nn/schedules.ts';
import { add, mul, sin, square, sub, toF32 } from '../src/ops/elementwise.ts';
import { randomKey } from '../src/ops/random.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { input, iota } from '../src/ops/source.ts';
import { compile } from '../src/runtime/compile.ts';
import { freeVariables, readVariable } from '../src/runtime/variables.ts';
import { Calls } from './calls.ts';
import { errorOf } from './numbers.ts';

const missing = inject('withoutLavapipe');

/** A perceptron with a norm, and parameters that fill no block. */
function network() {
  const model = new Sequential(new Linear(3, 70), new LayerNorm(70), new ReLU(), new Linear(70, 1));
  const loss = () => mean(square(sub(model.forward(input('x', [4, 3])), input('y', [4, 1]))));
  return { model, loss };
}

const x = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i));
const y = Float32Array.of(1, -2, 0.5, 3);

const makers: Record<string, (lr: number | LearningRateSchedule) => (parameters: Parameters) => Optimizer> = {
  SGD: (lr) => (parameters) => new SGD(parameters, { lr, momentum: 0.9 }),
  Adam: (lr) => (parameters) => new Adam(parameters, { lr }),
  AdamW: (lr) => (parameters) => new AdamW(parameters, { lr }),
};

const schedules: Record<string, (lr: number) => number | LearningRateSchedule> = {
  constant: (lr) => lr,
  cosine: (lr) => cosineSchedule({ lr, steps: 5, min: lr / 10 }),
  'inverse time': (lr) => inverseTimeSchedule({ lr, steps: 3 }),
  'warm-up, then cosine': (lr) => warmup(2, cosineSchedule({ lr, steps: 5 })),
};

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing)('a learning rate', () => {
  let gpu: Gpu;

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });

  afterAll(() => gpu?.destroy());

  /** The parameters after some steps; `each` is called before every step. */
  async function trained(
    make: (parameters: Parameters) => Optimizer,
    each: (step: number, optimizer: Optimizer) => void = () => {},
  ) {
    const { model, loss } = network();
    const parameters = new Parameters(model, 3);
    const optimizer = make(parameters);
    const program = await compile(gpu, { updates: optimizer.minimize(loss()).updates });
    for (let step = 0; step < 6; step++) {
      each(step, optimizer);
      program.run({ x, y });
    }
    const weights = (await readVariable(gpu, parameters.flat)) as Float32Array;
    const code = program.dispatches.map((dispatch) => dispatch.code);
    program.destroy();
    freeVariables(gpu, [parameters.flat, ...optimizer.variables]);
    return { weights, code, values: parameters.split(weights) };
  }

  const cases = Object.keys(makers).flatMap((maker) => Object.keys(schedules).map((kind) => [maker, kind] as const));

  test.each(cases)('of %s, %s, stands in no kernel, and is set while training', async (maker, kind) => {
    const of = (lr: number) => makers[maker]!(schedules[kind]!(lr));
    const first = await trained(of(0.01));
    const calls = new Calls(gpu.device);
    const second = await trained(of(0.02));
    expect(calls.of('device.createComputePipelineAsync') + calls.of('device.createComputePipeline')).toBe(0);
    const changed = await trained(of(0.01), (step, optimizer) => step === 0 && optimizer.setLearningRate(gpu, 0.02));
    expect(calls.of('device.createShaderModule')).toBe(0);
    calls.stop();
    expect(second.code).toEqual(first.code);
    expect(second.weights).not.toEqual(first.weights);
    // The least rate of a cosine is not the learning rate's, and stays.
    if (kind !== 'cosine') expect(changed.weights).toEqual(second.weights);
    const later = await trained(of(0.01), (step, optimizer) => step === 3 && optimizer.setLearningRate(gpu, 0.02));
    expect(later.weights).not.toEqual(second.weights);
    expect(later.weights).not.toEqual(first.weights);
  });

  test('is refused where it is none, or a function of the caller', () => {
    const parameters = new Parameters(network().model);
    expect(() => new Adam(parameters).setLearningRate(gpu, -1)).toThrow(
      /learning rate must be a number from 0, got -1/,
    );
    const own = new Adam(parameters, { lr: (step) => mul(step, 1e-3) });
    expect(() => own.setLearningRate(gpu, 1e-3)).toThrow(OptionError);
  });

  test.each(['Adam', 'AdamW', 'SGD'])('of groups: %s as two of its kind, each over its own part', async (kind) => {
    // AdamW without decay of norms and biases, and a rate of its own for the last layer.
    const decays = (name: string) => name.endsWith('weight') && !name.startsWith('1.');
    const options = { lr: 0.01, weightDecay: 0.1 };
    const make = (parameters: Parameters, more: object) =>
      kind === 'SGD'
        ? new SGD(parameters, { ...options, momentum: 0.9, ...more })
        : new (kind === 'Adam' ? Adam : AdamW)(parameters, { ...options, ...more });
    const groups = [
      { parameters: ['3.weight'], lr: 0.02 },
      { parameters: (name: string) => !decays(name), weightDecay: 0 },
    ];
    const grouped = await trained((parameters) => make(parameters, { groups }));
    const plain = await trained((parameters) => make(parameters, {}));
    expect(grouped.code.length).toBe(plain.code.length);
    // One step, after which what each parameter did tells its rate and decay: the gradients are those of the start.
    const once = async (more: object) => {
      const { model, loss } = network();
      const parameters = new Parameters(model, 3);
      const optimizer = make(parameters, more);
      const program = await compile(gpu, { updates: optimizer.minimize(loss()).updates });
      program.run({ x, y });
      const values = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
      program.destroy();
      freeVariables(gpu, [parameters.flat, ...optimizer.variables]);
      return values;
    };
    const mixed = await once({ groups });
    const [fast, bare, usual] = [await once({ lr: 0.02 }), await once({ weightDecay: 0 }), await once({})];
    for (const [name, { data }] of mixed) {
      const like = name === '3.weight' ? fast : decays(name) ? usual : bare;
      expect(errorOf(data, like.get(name)!.data), name).toBeLessThan(1e-6);
      // A bias of a norm begins at 0, from which nothing decays.
      if (like !== usual && kind !== 'Adam' && name !== '1.bias') expect(data, name).not.toEqual(usual.get(name)!.data);
    }
  });

  test('of a group follows the schedule in proportion', async () => {
    const schedule = cosineSchedule({ lr: 0.01, steps: 5 });
    const groups = [{ parameters: (name: string) => name === '0.weight', lr: 0.02 }];
    const all = [{ parameters: () => true, lr: 0.02 }];
    const double = await trained((parameters) => new SGD(parameters, { lr: cosineSchedule({ lr: 0.02, steps: 5 }) }));
    const asGroup = await trained((parameters) => new SGD(parameters, { lr: schedule, groups: all }));
    const some = await trained((parameters) => new SGD(parameters, { lr: schedule, groups }));
    expect(errorOf(asGroup.weights, double.weights)).toBeLessThan(1e-6);
    expect(some.weights).not.toEqual(asGroup.weights);
  });

  test.each([
    [
      'a name that no parameter has',
      [{ parameters: ['0.wait'], lr: 1 }],
      /names the parameter 0\.wait; there are: 0\.w/,
    ],
    ['a group of nothing', [{ parameters: () => false }], /a group has no parameters/],
    ['a module of another model', [{ parameters: new Linear(2, 2) }], /a group has no parameters/],
    ['a negative rate', [{ parameters: ['0.bias'], lr: -1 }], /learning rate must be a number from 0/],
  ] as const)('of groups is refused for %s', (_, groups, message) => {
    const parameters = new Parameters(network().model);
    expect(() => new AdamW(parameters, { groups })).toThrow(OptionError);
    expect(() => new AdamW(parameters, { groups })).toThrow(message);
  });

  test('of 0 has no proportion', () => {
    const parameters = new Parameters(network().model);
    expect(() => new SGD(parameters, { lr: 0, groups: [{ parameters: ['0.bias'], lr: 0.1 }] })).toThrow(/that is 0/);
  });

  test('and the weight of the KL term and its rise, too, stand in no kernel', async () => {
    const code = async (beta: number, warmup: number) => {
      const vae = new VAE({ pixels: 9, hidden: 8, latent: 2, beta, warmup });
      const adam = new Adam(new Parameters(vae, 1));
      const terms = vae.terms({ images: input('x', [4, 9]) }, randomKey(0, adam.step.tensor), adam.step.tensor);
      using program = await compile(gpu, { updates: adam.minimize(sum(terms.loss)).updates });
      return program.dispatches.map((dispatch) => dispatch.code);
    };
    expect(await code(3, 100)).toEqual(await code(4, 500));
    expect(await code(3, 0)).toEqual(await code(0.5, 0));
  });
});

describe.skipIf(missing)('gradients of several batches', () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  /** The weights after two steps of twelve examples each, which come in batches. */
  async function weightsOf(batch: number, stepsASubmit = 1): Promise<Float32Array> {
    const model = new Linear(3, 70);
    const parameters = new Parameters(model, 4);
    const accumulate = 12 / batch;
    const lr = warmup(2, cosineSchedule({ lr: 0.1, steps: 5 }));
    const optimizer = new AdamW(parameters, { lr, maxNorm: 0.3, skip: 5, average: 0.9, accumulate });
    // What an example is follows from its number: batch by batch, the same ones.
    const at = add(mul(toF32(optimizer.step.tensor), batch), iota([batch, 3], 0));
    const images = sin(add(at, mul(iota([batch, 3], 1), 0.7)));
    const loss = mean(square(sub(model.forward(images), 1)));
    const program = await compile(gpu, { outputs: { loss }, updates: optimizer.minimize(loss).updates });
    for (let done = 0; done < 2 * accumulate; done += stepsASubmit) program.run({}, { steps: stepsASubmit });
    const flat = (await readVariable(gpu, parameters.flat)) as Float32Array;
    program.destroy();
    freeVariables(gpu, [parameters.flat, ...optimizer.variables]);
    return flat;
  }

  // Against one large batch: tests/checkpointing.node.test.ts.
  test('are averaged to the same bits, however many batches share a submit', async () => {
    const weights = await weightsOf(4);
    expect(await weightsOf(4, 6)).toEqual(weights);
    expect(weights.every(Number.isFinite)).toBe(true);
  });

  test('as many as a whole number says', () => {
    const parameters = new Parameters(new Linear(1, 1));
    expect(() => new SGD(parameters, { accumulate: 0 })).toThrow('accumulate must be a positive whole number, got 0');
  });
});

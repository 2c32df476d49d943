// Layers, initialisation, optimizers and schedules against what PyTorch's documentation says they compute, in float64.
import { describe, expect, test } from 'vitest';
import { OptionError } from '../src/errors.ts';
import { Generator } from '../src/nn/generator.ts';
import { kaimingUniform, normal, xavierUniform } from '../src/nn/init.ts';
import { GELU, LeakyReLU, Linear, ReLU, Sequential, Sigmoid, SiLU, Softplus, Tanh } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam, AdamW, type Optimizer, SGD } from '../src/nn/optimizers.ts';
import { cosineSchedule, inverseTimeSchedule, type LearningRateSchedule, warmup } from '../src/nn/schedules.ts';
import { mul } from '../src/ops/elementwise.ts';
import { sum } from '../src/ops/reduce.ts';
import { constant, input, iota } from '../src/ops/source.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { readVariable } from '../src/runtime/variables.ts';
import { errorOf, sharedGpu } from './numbers.ts';

describe('modules', () => {
  test("parameters have PyTorch's names, in order", () => {
    const model = new Sequential(new Linear(4, 3), new Tanh(), new Sequential(new Linear(3, 2, { bias: false })));
    const named = [...model.namedParameters()].map(([name, { shape }]) => `${name} ${shape.join('×')}`);
    expect(named).toEqual(['0.weight 3×4', '0.bias 3', '2.0.weight 2×3']);
  });

  test('Linear is x·Wᵀ + b over the last axis', async () => {
    const gpu = await sharedGpu();
    const layer = new Linear(3, 2);
    const parameters = new Parameters(layer, 5);
    const x = Float32Array.from({ length: 2 * 2 * 3 }, (_, i) => i / 7 - 1);
    const { y } = await evaluate(gpu, { y: layer.forward(input('x', [2, 2, 3])) }, { x });
    const values = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
    const [weight, bias] = [values.get('weight')!.data, values.get('bias')!.data];
    const expected = Array.from({ length: 8 }, (_, at) => {
      const [row, out] = [at >> 1, at & 1];
      return bias[out]! + [0, 1, 2].reduce((total, k) => total + x[row * 3 + k]! * weight[out * 3 + k]!, 0);
    });
    expect(errorOf(y!, expected)).toBeLessThan(1e-5);
  });

  test('activations', async () => {
    const gpu = await sharedGpu();
    const x = Float32Array.of(-3, -0.5, 0, 0.5, 30, -30);
    const layers = {
      relu: new ReLU(),
      sigmoid: new Sigmoid(),
      tanh: new Tanh(),
      softplus: new Softplus(),
      gelu: new GELU(),
      silu: new SiLU(),
      leaky: new LeakyReLU(0.2),
    };
    const values = input('x', [6]);
    const outputs = Object.fromEntries(Object.entries(layers).map(([name, layer]) => [name, layer.forward(values)]));
    const { relu, sigmoid, tanh, softplus, gelu, silu, leaky } = await evaluate(gpu, outputs, { x });
    const map = (f: (x: number) => number) => Array.from(x, f);
    expect([...relu!]).toEqual(map((v) => Math.max(v, 0)));
    expect(
      errorOf(
        sigmoid!,
        map((v) => 1 / (1 + Math.exp(-v))),
      ),
    ).toBeLessThan(1e-5);
    expect(errorOf(tanh!, map(Math.tanh))).toBeLessThan(1e-5);
    expect(
      errorOf(
        softplus!,
        map((v) => (v > 20 ? v : Math.log1p(Math.exp(v)))),
      ),
    ).toBeLessThan(1e-5);
    expect(
      errorOf(
        silu!,
        map((v) => v / (1 + Math.exp(-v))),
      ),
    ).toBeLessThan(1e-5);
    expect(
      errorOf(
        leaky!,
        map((v) => (v > 0 ? v : 0.2 * v)),
      ),
    ).toBeLessThan(1e-5);
    // Φ(0.5) = 0.6914624612740131
    expect(errorOf([gelu![3]!, gelu![1]!], [0.5 * 0.6914624612740131, -0.5 * (1 - 0.6914624612740131)])).toBeLessThan(
      1e-5,
    );
  });
});

describe('initialisation', () => {
  const moments = (values: Float32Array) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return { mean, std: Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length) };
  };

  test.each([
    ['kaimingUniform', kaimingUniform(), 1 / Math.sqrt(100) / Math.sqrt(3)],
    ['xavierUniform', xavierUniform, Math.sqrt(6 / 300) / Math.sqrt(3)],
    ['normal', normal(0.3), 0.3],
  ] as const)('%s has the spread that it should', (_, initialise, std) => {
    const values = initialise([200, 100], new Generator(3));
    const found = moments(values);
    expect(Math.abs(found.mean)).toBeLessThan((4 * std) / Math.sqrt(values.length));
    expect(Math.abs(found.std / std - 1)).toBeLessThan(0.03);
  });

  test('the same seed gives the same weights; another seed or parameter, others', () => {
    const draw = (seed: number) => {
      const model = new Sequential(new Linear(9, 9), new Linear(9, 9));
      const { named } = new Parameters(model, seed);
      return [...named.values()].map(({ init }) => [...(init!() as Float32Array)]);
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(draw(1)[0]).not.toEqual(draw(1)[2]);
  });
});

/** Minimises Σ cᵢ·wᵢ over the three weights of a layer: the gradient is c, whatever the weights. */
async function descend(make: (parameters: Parameters) => Optimizer, steps: number) {
  const gpu = await sharedGpu();
  const layer = new Linear(3, 1, { bias: false });
  const parameters = new Parameters(layer, 4);
  const optimizer = make(parameters);
  const { updates, gradientNorm } = optimizer.minimize(sum(mul(layer.weight.tensor, input('c', [1, 3]))));
  const program = await compile(gpu, { updates, outputs: { gradientNorm } });
  const start = [...(await readVariable(gpu, layer.weight))];
  const gradients = Array.from({ length: steps }, (_, t) => [0.5 + t, -2, 0.001 * (t + 1)]);
  for (const c of gradients) program.run({ c: Float32Array.from(c) });
  const [norm] = await program.read('gradientNorm');
  return { start, gradients, end: await readVariable(gpu, layer.weight), norm };
}

interface Reference {
  lr: number;
  decay?: number;
  decoupled?: boolean;
  scale?: (g: number[]) => number;
}

function adamReference(
  start: number[],
  gradients: number[][],
  { lr, decay = 0, decoupled, scale = () => 1 }: Reference,
) {
  const w = [...start];
  const m = w.map(() => 0);
  const v = w.map(() => 0);
  gradients.forEach((g, index) => {
    const t = index + 1;
    const factor = scale(g);
    for (const i of w.keys()) {
      const gradient = g[i]! * factor + (decoupled ? 0 : decay * w[i]!);
      if (decoupled) w[i]! *= 1 - lr * decay;
      m[i] = 0.9 * m[i]! + 0.1 * gradient;
      v[i] = 0.999 * v[i]! + 0.001 * gradient ** 2;
      w[i]! -= ((lr / (1 - 0.9 ** t)) * m[i]!) / (Math.sqrt(v[i]!) / Math.sqrt(1 - 0.999 ** t) + 1e-8);
    }
  });
  return w;
}

describe('optimizers', () => {
  test('Adam', async () => {
    const { start, gradients, end } = await descend((p) => new Adam(p, { lr: 0.01 }), 12);
    expect(errorOf(end, adamReference(start, gradients, { lr: 0.01 }))).toBeLessThan(1e-5);
  });

  test('Adam with weight decay, and AdamW, which decays the weights themselves', async () => {
    const adam = await descend((p) => new Adam(p, { lr: 0.01, weightDecay: 0.1 }), 8);
    expect(errorOf(adam.end, adamReference(adam.start, adam.gradients, { lr: 0.01, decay: 0.1 }))).toBeLessThan(1e-5);
    const adamW = await descend((p) => new AdamW(p, { lr: 0.01, weightDecay: 0.1 }), 8);
    const expected = adamReference(adamW.start, adamW.gradients, { lr: 0.01, decay: 0.1, decoupled: true });
    expect(errorOf(adamW.end, expected)).toBeLessThan(1e-5);
  });

  test('clipping scales the whole gradient to the norm', async () => {
    const clip = { lr: 0.01, maxNorm: 1 };
    const { start, gradients, end, norm } = await descend((p) => new Adam(p, clip), 6);
    const length = (g: number[]) => Math.hypot(...g);
    expect(norm).toBeCloseTo(length(gradients.at(-1)!), 4);
    const scale = (g: number[]) => Math.min(1, 1 / (length(g) + 1e-6));
    expect(errorOf(end, adamReference(start, gradients, { lr: 0.01, scale }))).toBeLessThan(1e-5);
  });

  test.each([
    { momentum: 0, nesterov: false },
    { momentum: 0.9, nesterov: false },
    { momentum: 0.9, nesterov: true },
  ])('SGD with momentum $momentum, nesterov $nesterov', async ({ momentum, nesterov }) => {
    const { start, gradients, end } = await descend(
      (p) => new SGD(p, { lr: 0.1, momentum, nesterov, weightDecay: 0.01 }),
      7,
    );
    const w = [...start];
    const velocity = w.map(() => 0);
    for (const c of gradients) {
      for (const i of w.keys()) {
        const g = c[i]! + 0.01 * w[i]!;
        velocity[i] = momentum * velocity[i]! + g;
        w[i]! -= 0.1 * (nesterov ? g + momentum * velocity[i]! : velocity[i]!);
      }
    }
    expect(errorOf(end, w)).toBeLessThan(1e-5);
  });

  test('refuse what makes no sense', () => {
    const make = (options: object) => () => new Adam(new Parameters(new Linear(2, 2)), options);
    expect(make({ lr: -1 })).toThrow(OptionError);
    expect(make({ lr: Number.NaN })).toThrow(/learning rate must be a number from 0, got NaN/);
    expect(make({ betas: [0.9, 1] })).toThrow(/betas/);
    expect(make({ maxNorm: 0 })).toThrow(/maxNorm/);
  });
});

test('schedules', async () => {
  const gpu = await sharedGpu();
  const rates = async (schedule: LearningRateSchedule) => {
    const steps = iota([8]);
    const numbers = schedule.numbers(schedule.lr).map((value) => constant(value));
    return [...(await evaluate(gpu, { rate: mul(schedule.rate(steps, numbers), 1) })).rate!];
  };
  const cosine = await rates(cosineSchedule({ lr: 2, steps: 4, min: 1 }));
  const expected = [0, 1, 2, 3, 4, 4, 4, 4].map((t) => 1 + 0.5 * (1 + Math.cos((Math.PI * t) / 4)));
  expect(errorOf(cosine, expected)).toBeLessThan(1e-3);
  const falling = await rates(inverseTimeSchedule({ lr: 3, steps: 2 }));
  expect(errorOf(falling, [3, 2, 1.5, 1.2, 1, 6 / 7, 0.75, 2 / 3])).toBeLessThan(1e-6);
  const warm = await rates(warmup(3, cosineSchedule({ lr: 1, steps: 4 })));
  const rising = [1 / 3, 2 / 3, 1, 1, ...[1, 2, 3, 4].map((t) => 0.5 * (1 + Math.cos((Math.PI * t) / 4)))];
  expect(errorOf(warm, rising)).toBeLessThan(1e-3);
});

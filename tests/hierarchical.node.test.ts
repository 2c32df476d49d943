// VAEs whose code has several layers, in float64: gradients, bounds that are bounds of one likelihood, and that they learn.
import { expect, test } from 'vitest';
import { gradients } from '../src/graph/autodiff.ts';
import { DeepVAE } from '../src/models/deep_vae.ts';
import type { HierarchicalVAE } from '../src/models/hierarchical.ts';
import { Hvae } from '../src/models/hvae.ts';
import { LadderVAE } from '../src/models/ladder_vae.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { mul } from '../src/ops/elementwise.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import type { Tensor } from '../src/ops/tensor.ts';
import { Evaluator, evaluateStep, type Inputs, type Memory } from './fuzz/evaluate.ts';
import { randomFrom } from './numbers.ts';

const seed = TEST_SEED;
const random = randomFrom(seed);
const normalNumber = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const normals = (length: number) => Float64Array.from({ length }, normalNumber);

const shape = { height: 4, width: 8, channels: 1 };
const hvae = () => new Hvae({ shape, layers: 4, width: 3, latent: 1 });
const deep = () => new DeepVAE({ pixels: 7, latents: [3, 2], hidden: [4, 5] });
const ladder = () => new LadderVAE({ pixels: 7, latents: [3, 2, 2], hidden: [4, 5, 3] });

/** Weights that are drawn, those too that are 0 at first. */
function drawn(model: HierarchicalVAE, size = 0.5): { parameters: Parameters; memory: Memory } {
  const parameters = new Parameters(model);
  const flat = normals(parameters.flat.size).map((value) => size * value);
  return { parameters, memory: new Map([[parameters.flat.place(), [flat]]]) };
}

function evaluated(outputs: Readonly<Record<string, Tensor>>, given: Inputs, memory: Memory) {
  const evaluator = new Evaluator(given, memory, { samples: 1 });
  return Object.fromEntries(
    Object.entries(outputs).map(([name, node]) => [name, evaluator.value(node).samples[0]!]),
  ) as Record<string, Float64Array>;
}

const binary = (length: number) => Float64Array.from({ length }, () => Number(random() < 0.4));

test.each([
  ['Hvae', hvae, 32],
  ['DeepVAE', deep, 7],
  ['LadderVAE', ladder, 7],
] as const)('the gradient of the bound of %s is its central difference', (_, make, pixels) => {
  const model = make();
  const { parameters, memory } = drawn(model);
  const batch = 3;
  const { loss } = model.elbo(input('images', [batch, pixels]), input('noise', [batch, model.latent]));
  // In the middle of a graph: each image's bound has a factor of its own.
  const total = sum(mul(loss, input('factors', [batch])));
  const named = [...parameters.named];
  const slopes = gradients(
    total,
    named.map(([, { tensor }]) => tensor),
  );
  const given = { images: binary(batch * pixels), noise: normals(batch * model.latent), factors: normals(batch) };
  const exact = evaluated(Object.fromEntries(named.map(([name], i) => [name, slopes[i]!])), given, memory);
  const [flat] = memory.get(parameters.flat.place())!;
  for (const [name, { offset, size }] of named) {
    const i = Math.floor(random() * size);
    const at = offset + i;
    const before = flat![at]!;
    const value = (step: number) => {
      flat![at] = before + step;
      return evaluated({ total }, given, memory).total![0]!;
    };
    const slope = (value(1e-6) - value(-1e-6)) / 2e-6;
    flat![at] = before;
    const error = Math.abs(exact[name]![i]! - slope) / Math.max(0.1, Math.abs(slope));
    expect(error, `seed ${seed}: ${name}[${i}]: ${exact[name]![i]} against ${slope}`).toBeLessThan(1e-4);
  }
});

/** Equal steps of a normal's numbers, and the weight of each. */
const STEPS = Array.from({ length: 61 }, (_, i) => (i - 30) / 3);
const WEIGHTS = STEPS.map((x) => Math.exp((-x * x) / 2) / (3 * Math.sqrt(2 * Math.PI)));

test.each([
  ['DeepVAE', DeepVAE],
  ['LadderVAE', LadderVAE],
] as const)(
  'the importance weights of %s have the likelihood for their mean, by integration over its code',
  (_, Made) => {
    const model = new Made({ pixels: 3, latents: [1, 1], hidden: [4, 4] });
    const { memory } = drawn(model, 0.35);
    const k = STEPS.length ** 2;
    const grid = Float64Array.from({ length: 2 * k }, (_, i) => {
      const at = i >> 1;
      return STEPS[i % 2 ? at % STEPS.length : Math.floor(at / STEPS.length)]!;
    });
    const weight = (i: number) => WEIGHTS[Math.floor(i / STEPS.length)]! * WEIGHTS[i % STEPS.length]!;
    const images = input('images', [1, 3]);
    const noise = input('noise', [k, 1, 2]);
    const { reconstruction, divergence } = model.importance(images, model.prepare(images), noise);
    const raw = (model as unknown as { drawFromPrior(noise: Tensor[]): Tensor }).drawFromPrior([
      input('first', [k, 1]),
      input('second', [k, 1]),
    ]);
    for (let bits = 0; bits < 8; bits += 5) {
      const x = [bits & 1, (bits >> 1) & 1, bits >> 2];
      const [first, second] = [0, 1].map((j) => grid.filter((_, i) => i % 2 === j));
      const made = evaluated(
        { reconstruction, divergence, raw },
        { images: x, noise: grid, first: first!, second: second! },
        memory,
      );
      let [byWeights, byPrior] = [0, 0];
      for (let i = 0; i < k; i++) {
        byWeights += weight(i) * Math.exp(-made.reconstruction![i]! - made.divergence![i]!);
        const given = x.reduce((p, pixel, j) => p / (1 + Math.exp((pixel ? -1 : 1) * made.raw![3 * i + j]!)), 1);
        byPrior += weight(i) * given;
      }
      expect(byWeights / byPrior, `seed ${seed}, ${x}`).toBeCloseTo(1, 4);
    }
  },
);

test('the importance weights of Hvae have the likelihood for their mean, and its exact KL terms those of samples', () => {
  const model = new Hvae({ shape: { height: 4, width: 4, channels: 1 }, layers: 3, width: 2, latent: 1 });
  const { memory } = drawn(model, 0.15);
  const k = 500;
  const images = input('images', [1, 16]);
  const noise = input('noise', [k, 1, model.latent]);
  const prepared = model.prepare(images);
  const { reconstruction, divergence } = model.importance(images, prepared, noise);
  const many = Object.fromEntries(
    Object.keys(prepared).map((name) => [name, input(name, [k, ...prepared[name]!.shape.slice(1)])]),
  );
  const each = model.klOfEach(many, input('flat', [k, model.latent]));
  const parts = model.layers.map(({ size }, i) => input(`prior ${i}`, [k, size]));
  const raw = (model as unknown as { drawFromPrior(noise: Tensor[]): Tensor }).drawFromPrior(parts);
  const given = { images: binary(16), noise: normals(k * model.latent) };
  const once = evaluated({ ...prepared }, given, memory);
  const again = Object.fromEntries(
    Object.entries(once).map(([name, data]) => [
      name,
      Float64Array.from({ length: k * data.length }, (_, i) => data[i % data.length]!),
    ]),
  );
  const fromPrior = Object.fromEntries(model.layers.map(({ size }, i) => [`prior ${i}`, normals(k * size)]));
  const made = evaluated(
    { reconstruction, divergence, each, raw },
    { ...given, ...again, ...fromPrior, flat: given.noise },
    memory,
  );
  const weights = made.reconstruction!.map((value, i) => Math.exp(-value - made.divergence![i]!));
  const likelihoods = weights.map((_, i) =>
    given.images.reduce((p, pixel, j) => p / (1 + Math.exp((pixel ? -1 : 1) * made.raw![16 * i + j]!)), 1),
  );
  const kls = made.divergence!.map((_, i) =>
    made.each!.subarray(i * model.latent, (i + 1) * model.latent).reduce((a, b) => a + b, 0),
  );
  const of = (values: Float64Array) => {
    const average = values.reduce((a, b) => a + b, 0) / k;
    return { average, error: Math.sqrt(values.reduce((a, b) => a + (b - average) ** 2, 0)) / k };
  };
  const agree = (a: Float64Array, b: Float64Array) => {
    const [first, second] = [of(a), of(b)];
    const distance = Math.abs(first.average - second.average);
    expect(distance, `seed ${seed}`).toBeLessThan(6 * Math.hypot(first.error, second.error));
  };
  agree(weights, likelihoods);
  agree(kls, made.divergence!);
  expect(of(kls).average).toBeGreaterThan(0);
});

test.each([
  ['Hvae', () => new Hvae({ shape: { height: 4, width: 4, channels: 1 }, layers: 3, width: 4, latent: 1 }), 15],
  ['DeepVAE', () => new DeepVAE({ pixels: 16, latents: [3, 2], hidden: [6, 5] }), 40],
  ['LadderVAE', () => new LadderVAE({ pixels: 16, latents: [3, 2], hidden: [6, 5] }), 40],
] as const)('the bound of %s falls as it learns two images, from samples that stay', (name, make, steps) => {
  const model = make();
  const adam = new Adam(new Parameters(model, 1), { lr: 0.05 });
  const batch = 4;
  const terms = model.elbo(input('images', [batch, 16]), input('noise', [batch, model.latent]));
  const loss = mean(terms.loss);
  const graph = { outputs: { loss, kl: mean(terms.kl) }, ...adam.minimize(loss) };
  // White to the left, or to the right: what no bias can tell.
  const images = Float64Array.from({ length: batch * 16 }, (_, i) => Number(i % 4 < 2 === i % 32 < 16));
  const given = {
    images,
    noise: Float64Array.from({ length: batch * model.latent }, (_, i) => Math.sin(3 * i * i + 1)),
  };
  const memory: Memory = new Map();
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { loss, kl } = evaluateStep(graph, given, memory, { samples: 1 });
    // Each layer of Hvae begins as its prior.
    if (step === 0 && name === 'Hvae') expect(kl!.samples[0]![0]).toBeCloseTo(0, 9);
    losses.push(loss!.samples[0]![0]!);
  }
  expect(losses.at(-1), losses.map((value) => value.toFixed(2)).join(' ')).toBeLessThan(0.8 * losses[0]!);
});

test('sizes that it cannot have are refused', () => {
  expect(() => new Hvae({ shape: { height: 30, width: 28, channels: 1 } })).toThrow(/multiples of 4, got 30 × 28/);
  expect(() => new Hvae({ shape, layers: 2 })).toThrow(/at least 3/);
  expect(() => new LadderVAE({ pixels: 3, latents: [2, 0], hidden: [4, 4] })).toThrow(/positive integer, got 0/);
});

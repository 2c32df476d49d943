// −log p(x) by importance sampling: against a model whose p(x) is known, and what K, chunks and seeds may change.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { strokeDigits } from '../src/data/digits.ts';
import type { ImageSet } from '../src/data/images.ts';
import { CheckpointError, NotFiniteError, OptionError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { VAE, type VAEOptions } from '../src/models/vae.ts';
import { Linear, Sequential } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { freeVariables, writeVariable } from '../src/runtime/variables.ts';
import { decodeTrained } from '../src/train/checkpoint.ts';
import { difference, estimate } from '../src/train/estimates.ts';
import { type EvaluateOptions, estimateLikelihood } from '../src/train/evaluate.ts';
import { trainByName } from '../src/train/named.ts';
import type { TrainOptions } from '../src/train/options.ts';
import { encodeSafetensors } from '../src/train/safetensors.ts';
import { restoreVae, trainedVae } from '../src/train/trained.ts';
import { optionsFor } from './named_run.ts';
import { randomFrom } from './numbers.ts';
import { sampled } from './sampled.ts';

let gpu: Gpu;

beforeAll(async () => {
  gpu = await Gpu.request();
});

afterAll(() => gpu.destroy());

/** Evaluates with weights that are set by name, and frees them. */
async function withWeights(
  options: VAEOptions,
  weights: (name: string, shape: readonly number[]) => Float32Array,
  images: ImageSet,
  how: EvaluateOptions,
) {
  const vae = new VAE(options);
  const parameters = new Parameters(vae);
  const shapes = new Map([...parameters.named].map(([name, { shape }]) => [name, shape]));
  const find = (name: string) => ({ shape: shapes.get(name)!, data: weights(name, shapes.get(name)!) });
  writeVariable(gpu, parameters.flat, parameters.join(find, 'the test'));
  try {
    return await estimateLikelihood(gpu, vae, images, how);
  } finally {
    freeVariables(gpu, [parameters.flat]);
  }
}

describe('x = W z + b + noise, whose p(x) is Gaussian', () => {
  const [pixels, latent, count] = [16, 2, 60];
  const variance = 0.02;
  // The columns of W are orthogonal, so that the posterior has no correlations.
  const columns: readonly number[][] = [
    Array.from({ length: pixels }, (_, i) => (i < 8 ? 0.1 : 0)),
    Array.from({ length: pixels }, (_, i) => (i < 8 ? 0 : i % 2 ? 0.05 : -0.05)),
  ];
  const bias = Array.from({ length: pixels }, (_, i) => 0.3 + 0.02 * i);
  const squares = columns.map((column) => column.reduce((sum, w) => sum + w * w, 0));
  const posteriorVariance = squares.map((square) => 1 / (1 + square / variance));
  const random = randomFrom(7);
  const images: ImageSet = {
    images: Uint8Array.from({ length: count * pixels }, () => Math.floor(256 * random())),
    ...{ count, height: 4, width: 4, channels: 1, classes: 0 },
  };

  /** −log N(x; b, W Wᵀ + variance), along the columns of W and across them. */
  const truth = estimate(
    Float64Array.from({ length: count }, (_, i) => {
      const centred = bias.map((b, j) => images.images[i * pixels + j]! / 255 - b);
      let quadratic = centred.reduce((sum, c) => sum + c * c, 0) / variance;
      let logDeterminant = pixels * Math.log(2 * Math.PI * variance);
      columns.forEach((column, k) => {
        const along = column.reduce((sum, w, j) => sum + w * centred[j]!, 0) ** 2 / squares[k]!;
        quadratic -= along / variance - along / (variance + squares[k]!);
        logDeterminant += Math.log(1 + squares[k]! / variance);
      });
      return 0.5 * (quadratic + logDeterminant);
    }),
  );

  /** The encoder gives the exact posterior, its mean and logvar off by so much. */
  const run = (meanOff: number, logvarOff: number, how: EvaluateOptions) => {
    const values: Record<string, number[]> = {
      logvar: [Math.log(variance)],
      'decoder.0.weight': Array.from({ length: pixels * latent }, (_, i) => columns[i % latent]![i >> 1]!),
      'decoder.0.bias': bias,
      'encoder.0.weight': [
        ...columns.flatMap((column, k) => column.map((w) => (w * posteriorVariance[k]!) / variance)),
        ...Array<number>(latent * pixels).fill(0),
      ],
      'encoder.0.bias': [
        ...columns.map((column, k) => {
          const shift = column.reduce((sum, w, j) => sum + w * bias[j]!, 0);
          return meanOff - (shift * posteriorVariance[k]!) / variance;
        }),
        ...posteriorVariance.map((v) => Math.log(v) + logvarOff),
      ],
    };
    const networks = {
      encoder: new Sequential(new Linear(pixels, 2 * latent)),
      decoder: new Sequential(new Linear(latent, pixels)),
    };
    const options: VAEOptions = { pixels, latent, likelihood: 'gaussian', networks };
    return withWeights(options, (name) => Float32Array.from(values[name]!), images, how);
  };

  test('with the exact posterior as encoder, the estimate is exact for any K', async () => {
    const { nll } = await run(0, 0, { samples: [1, 3, 20], batch: 25 });
    for (const { samples, values } of nll) {
      const worst = Math.max(...values.map((value, i) => Math.abs(value - truth.values[i]!)));
      expect(worst, `K = ${samples}`).toBeLessThan(1e-3);
    }
  });

  test('with another encoder, it comes within its errors of the truth, and the ELBO lies above by the divergence', async () => {
    const [meanOff, logvarOff] = [0.3, 0.4];
    const { loss, reconstruction, kl, nll } = await run(meanOff, logvarOff, { samples: [1, 2000], batch: 25 });
    const [one, many] = nll.map((estimated) => difference(estimated, truth)) as [typeof truth, typeof truth];
    expect(Math.abs(many.mean)).toBeLessThan(4 * many.standardError);
    expect(many.standardError).toBeLessThan(0.02);
    // KL(q ‖ posterior), the same for every image.
    const divergence = posteriorVariance.reduce(
      (total, v) => total + 0.5 * (Math.exp(logvarOff) + meanOff ** 2 / v - 1 - logvarOff),
      0,
    );
    expect(divergence).toBeGreaterThan(0.1);
    for (const bound of [one, difference(loss, truth)]) {
      expect(Math.abs(bound.mean - divergence)).toBeLessThan(4 * bound.standardError + 1e-3);
      expect(bound.standardError).toBeLessThan(0.1);
    }
    expect(loss.mean).toBeCloseTo(reconstruction.mean + kl.mean, 9);
  });
});

describe('a VAE of digits', () => {
  const digits = strokeDigits({ seed: 3, train: 100, test: 70 });
  const trained = async (given: object) => {
    using trainer = await trainByName(gpu, digits, optionsFor({ hidden: 32, latent: 4, batch: 20, ...given }));
    for await (const _ of trainer.train());
    return decodeTrained(await trainer.checkpoint(), 'trained');
  };
  const evaluated = async (checkpoint: ReturnType<typeof decodeTrained>, how: EvaluateOptions) => {
    const model = trainedVae(checkpoint, digits);
    restoreVae(gpu, model);
    try {
      return await estimateLikelihood(gpu, model.vae, digits.test, how);
    } finally {
      freeVariables(
        gpu,
        model.weights.map(({ variable }) => variable),
      );
    }
  };

  test.each(
    sampled(
      [
        { model: 'vae', likelihood: 'bernoulli' },
        { model: 'vae', likelihood: 'gaussian' },
        { model: 'beta-vae', likelihood: 'bernoulli' },
        { model: 'cvae', likelihood: 'bernoulli' },
        { model: 'iwae', likelihood: 'bernoulli', particles: 5 },
        { model: 'conv-vae', likelihood: 'bernoulli', epochs: 1, samples: [1, 5, 25] },
      ],
      3,
    ),
  )(
    '$model $likelihood: the bound falls as K grows, and K = 1 is the ELBO',
    async ({ samples = [1, 5, 25, 100], ...given }) => {
      const { loss, kl, nll, images } = await evaluated(await trained({ epochs: 4, ...given }), { samples });
      expect(images).toBe(70);
      for (const [i, bound] of nll.slice(1).entries()) expect(bound.mean).toBeLessThan(nll[i]!.mean);
      const one = difference(nll[0]!, loss);
      expect(Math.abs(one.mean)).toBeLessThan(4 * one.standardError);
      const { below } = nll.at(-1)!;
      expect(below.mean).toBeGreaterThan(4 * below.standardError);
      expect(below.mean).toBeCloseTo(loss.mean - nll.at(-1)!.mean, 9);
      expect(kl.mean).toBeGreaterThan(0);
    },
  );

  test('of an iwae, K as it was trained is its own test loss', async () => {
    const options = optionsFor({ hidden: 32, latent: 4, batch: 20, model: 'iwae', particles: 5, epochs: 4 });
    using trainer = await trainByName(gpu, digits, options);
    for await (const _ of trainer.train());
    const { loss } = (await trainer.evaluate())!;
    const bound = async (seed: number) =>
      (await estimateLikelihood(gpu, trainer.model as VAE, digits.test, { samples: [5], seed })).nll[0]!;
    const [one, other] = [await bound(1), await bound(2)];
    // The images are the same: what differs is the noise, by so much.
    expect(Math.abs(one.mean - loss)).toBeLessThan(4 * difference(one, other).standardError);
  });

  test('same seed, same bits, however many samples share a submit; another seed, others', async () => {
    const checkpoint = await trained({ epochs: 1 });
    const bits = async (how: Partial<EvaluateOptions>) => {
      const { loss, nll } = await evaluated(checkpoint, { samples: [1, 40], batch: 32, ...how });
      return [loss, ...nll].map(({ values }) => values);
    };
    const first = await bits({ samplesPerSubmit: 32 });
    expect(await bits({ samplesPerSubmit: 32 })).toEqual(first);
    expect(await bits({ samplesPerSubmit: 1 })).toEqual(first);
    expect(await bits({ samplesPerSubmit: 7 })).toEqual(first);
    expect(await bits({})).toEqual(first);
    expect(await bits({ seed: 1 })).not.toEqual(first);
  });

  test('images of a part, its progress, and an end before the end', async () => {
    const checkpoint = await trained({ epochs: 1 });
    const all = await evaluated(checkpoint, { samples: [3], batch: 20 });
    const told: number[] = [];
    const some = await evaluated(checkpoint, {
      ...{ samples: [3], batch: 20, images: 50 },
      onProgress: ({ done, total }) => told.push(done, total),
    });
    expect(some.nll[0]!.values).toEqual(all.nll[0]!.values.subarray(0, 50));
    expect([told.slice(0, 2), told.slice(-2)]).toEqual([
      [20, 150],
      [150, 150],
    ]);
    const stop = new AbortController();
    const stopped = evaluated(checkpoint, { samples: [1000], signal: stop.signal, onProgress: () => stop.abort() });
    // Only now is there a reason.
    await expect(stopped.catch((error) => error === stop.signal.reason)).resolves.toBe(true);
  });

  test('weights alone do too, where they tell their options', async () => {
    const options = optionsFor({ hidden: 32, latent: 4, batch: 20, steps: 2 });
    using trainer = await trainByName(gpu, digits, options);
    for await (const _ of trainer.train());
    const how = { samples: [2] };
    const [checkpoint, weights] = await Promise.all([trainer.checkpoint(), trainer.weights()]);
    const { nll } = await evaluated(decodeTrained(weights, 'weights'), how);
    expect(nll).toEqual((await evaluated(decodeTrained(checkpoint, 'checkpoint'), how)).nll);
  });

  describe('what cannot be evaluated is refused', () => {
    const trainedAs = (options: Partial<TrainOptions>) => ({
      name: 'it',
      tensors: new Map(),
      options: optionsFor(options),
    });

    test.each([
      ['vq-vae', /it holds a vq-vae: its code is looked up, not drawn.* p\(x\) is not defined/],
      ['classifier', /it holds a classifier: it tells classes of images, not how likely images are/],
      ['conv-classifier', /it holds a conv-classifier: it tells classes/],
    ] as const)('a %s', (model, message) => {
      expect(() => trainedVae(trainedAs({ model }), digits)).toThrow(message);
      expect(() => trainedVae(trainedAs({ model }), digits)).toThrow(OptionError);
    });

    test('other images, other classes, missing tensors, foreign weights', async () => {
      const other = strokeDigits({ train: 10, test: 10, size: 20 });
      const checkpoint = await trained({ model: 'cvae', steps: 1 });
      expect(() => trainedVae(checkpoint, other)).toThrow(
        /trained was trained on images of 784 numbers \(stroke digits\), and those of stroke digits have 400/,
      );
      const fewer = { ...digits, train: { ...digits.train, classes: 12 } };
      expect(() => trainedVae(checkpoint, fewer)).toThrow(/trained was told 10 classes, and stroke digits has 12/);
      expect(() => trainedVae(trainedAs({ model: 'vae' }), digits)).toThrow(CheckpointError);
      const foreign = encodeSafetensors({ w: { dtype: 'F32', shape: [1], data: new Float32Array(1) } }, {});
      expect(() => decodeTrained(foreign, 'w')).toThrow(/w holds tensors and does not say with which options/);
    });

    test('options that no estimate can be made of, and weights that are not finite', async () => {
      const vae = { pixels: 784, hidden: 8, latent: 2 };
      const run = (how: EvaluateOptions, value = 0) =>
        withWeights(vae, (_, shape) => new Float32Array(shape.reduce((a, b) => a * b)).fill(value), digits.test, how);
      const { labels: _, ...unlabelled } = digits.test;
      for (const [images, message] of [
        [{ ...unlabelled, classes: 0 }, /these images have none/],
        [{ ...digits.test, classes: 11 }, /is told 10 classes, and these images have 11/],
      ] as const) {
        await expect(
          estimateLikelihood(gpu, new VAE({ ...vae, classes: 10 }), images, { samples: [1] }),
        ).rejects.toThrow(message);
      }
      await expect(run({ samples: [] })).rejects.toThrow(/samples is empty/);
      await expect(run({ samples: [0] })).rejects.toThrow(/samples must be a whole number from 1 .* got 0/);
      await expect(run({ samples: [1], batch: 0.5 })).rejects.toThrow(/batch must be a whole number/);
      await expect(run({ samples: [1] }, 1e30)).rejects.toThrow(/image 0: the log of an importance weight is/);
      await expect(run({ samples: [1] }, 1e30)).rejects.toThrow(NotFiniteError);
    });

    test('and nothing is left behind', () => {
      expect(gpu.allocations).toBe(0);
    });
  });
});

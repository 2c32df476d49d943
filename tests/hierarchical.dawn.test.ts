// Estimates of likelihood of a code of several layers, on lavapipe: they fall as K grows, and can be stopped and gone on with.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { DeepVAE } from '../src/models/deep_vae.ts';
import { Parameters } from '../src/nn/module.ts';
import { difference } from '../src/train/estimates.ts';
import { type EvaluationState, estimateLikelihood, IN_USE } from '../src/train/evaluate.ts';

const missing = inject('withoutLavapipe');

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing)('on lavapipe', () => {
  let gpu: Gpu;

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  test('the estimates of a code of two layers fall as K grows, and go on where they were stopped', async () => {
    const model = new DeepVAE({ pixels: 6, latents: [4, 2], hidden: [8, 8] });
    new Parameters(model, 3);
    const images = {
      ...{ count: 50, height: 2, width: 3, channels: 1, classes: 0 },
      images: Uint8Array.from({ length: 300 }, (_, i) => 255 * ((i * 2654435761) >>> 31)),
    };
    const how = { samples: [1, 10, 200], batch: 20 };
    const states: EvaluationState[] = [];
    const whole = await estimateLikelihood(gpu, model, images, {
      ...how,
      onBatch: (state) => void states.push(JSON.parse(JSON.stringify(state))),
    });
    expect(states.map(({ kl }) => kl.length)).toEqual([20, 40, 50]);
    const { nll, loss, kl, layers } = whole;
    for (const [i, bound] of nll.slice(1).entries()) {
      const fall = difference(nll[i]!, bound);
      expect(fall.mean).toBeGreaterThan(3 * fall.standardError);
    }
    // K = 1 is the ELBO, and its KL term that of the layers, within what samples differ.
    expect(nll[0]!.mean).toBeCloseTo(loss.mean, 4);
    expect(layers.map(({ name, size }) => [name, size])).toEqual([
      ['layer 1', 4],
      ['layer 2', 2],
    ]);
    expect(Math.abs(layers[0]!.kl + layers[1]!.kl - kl.mean)).toBeLessThan(0.5 * kl.mean + 0.1);
    const average = states.at(-1)!.klOfEach.map((total) => total / 50);
    expect(layers.flatMap(({ used }, i) => used.map((j) => 4 * i + j))).toEqual(
      [...average.keys()].filter((i) => average[i]! >= IN_USE),
    );
    for (const state of states.slice(1)) {
      expect(await estimateLikelihood(gpu, model, images, { ...how, resume: state })).toEqual(whole);
    }
    for (const [changes, images_] of [
      [{ samples: [1, 10] }, images],
      [{ batch: 15 }, images],
      [{}, { ...images, count: 30, images: images.images.subarray(0, 180) }],
    ] as const) {
      await expect(estimateLikelihood(gpu, model, images_, { ...how, ...changes, resume: states[1]! })).rejects.toThrow(
        /is of another evaluation/,
      );
    }
    expect(gpu.allocations).toBe(1);
  });
});

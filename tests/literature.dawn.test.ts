// What the literature's likelihoods take beside the VAE itself, on lavapipe: binary images that are drawn anew, free bits, a moving
// average of the weights that is tested and saved, gradients that leap and are skipped.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { imageTensors } from '../src/data/tensors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { VAE } from '../src/models/vae.ts';
import { Linear } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { SGD } from '../src/nn/optimizers.ts';
import { gaussianKl } from '../src/ops/composite.ts';
import { square, sub } from '../src/ops/elementwise.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { input, Variable } from '../src/ops/source.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { readVariable, writeVariable } from '../src/runtime/variables.ts';
import { decodeCheckpoint, decodeTrained, restoredModel } from '../src/train/checkpoint.ts';
import { GpuDataset } from '../src/train/dataset.ts';
import { trainByName } from '../src/train/named.ts';
import { completeOptions } from '../src/train/options.ts';

const setOf = (count: number) => ({
  count,
  ...{ height: 3, width: 5, channels: 1, classes: 0 },
  images: Uint8Array.from({ length: 15 * count }, (_, i) => (i * 2654435761) >>> 24),
});

const missing = inject('withoutLavapipe');

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing)('on lavapipe', () => {
  let gpu: Gpu;

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  test('dynamic binarization draws each step anew, and gives test images as they were drawn once', async () => {
    const set = { count: 8, height: 2, width: 3, channels: 1, classes: 0, images: new Uint8Array(48).fill(128) };
    const key = new Variable('key', [2], { dtype: 'u32', init: () => Uint32Array.of(5, 6) });
    const data = imageTensors({ name: 'half', train: set, test: set }, { binarize: 'dynamic', seed: 5 });
    const examples = new GpuDataset(gpu, data, { batch: 8, key });
    const step = input('step', [], 'u32');
    const program = await compile(gpu, {
      outputs: { train: examples.trainBatch(step).images!, test: examples.testBatch(step).batch.images! },
    });
    const read = async (at: number, name: 'train' | 'test') => {
      program.run({ step: Uint32Array.of(at) });
      return [...((await program.read(name)) as Float32Array)];
    };
    const first = await read(0, 'train');
    expect(new Set(first)).toEqual(new Set([0, 1]));
    expect(await read(0, 'train')).toEqual(first);
    expect(await read(1, 'train')).not.toEqual(first);
    expect(await read(0, 'test')).toEqual([...data.test!.tensors.images.data].map((byte) => byte / 255));
  });

  test('free bits charge each number of the code at least so many nats, in training alone', async () => {
    const vae = new VAE({ pixels: 6, hidden: 5, latent: 3, freeBits: 0.4 });
    const images = input('images', [4, 6]);
    const noise = input('noise', [4, 3]);
    const given = { images: new Float32Array(24).map((_, i) => (i % 5) / 4), noise: new Float32Array(12).fill(0.3) };
    const { loss, reconstruction, kl } = vae.elbo(images, noise, { freeBits: vae.freeBits });
    const { mean: means, logvar } = vae.encode(images);
    const each = gaussianKl(means, logvar);
    const out = await evaluate(gpu, { loss, reconstruction, kl, each, plain: vae.elbo(images, noise).loss }, given);
    const columns = [0, 1, 2].map((j) => [0, 1, 2, 3].reduce((total, i) => total + out.each[3 * i + j]! / 4, 0));
    const charged = columns.reduce((total, value) => total + Math.max(value, 0.4), 0);
    expect(charged).toBeGreaterThan(columns.reduce((a, b) => a + b, 0));
    for (const i of [0, 1, 2, 3]) {
      expect(out.loss[i]! - out.reconstruction[i]!).toBeCloseTo(charged, 4);
      expect(out.plain[i]! - out.reconstruction[i]!).toBeCloseTo(out.kl[i]!, 4);
    }
  });

  test('a gradient whose norm leaps changes no weight, and the average follows the weights', async () => {
    const layer = new Linear(1, 1, { bias: false });
    const sgd = new SGD(new Parameters(layer), { lr: 0.1, skip: 3, average: 0.5 });
    const target = input('target', []);
    const { updates } = sgd.minimize(mean(square(sub(sum(layer.weight.tensor), target))));
    const program = await compile(gpu, { updates });
    writeVariable(gpu, layer.weight, Float32Array.of(1));
    let [weight, average] = [1, 0];
    // The third target makes a gradient far above three times the others'.
    for (const [step, wanted] of [0.5, 0.5, 100, 0.5, 0.5].entries()) {
      program.run({ target: Float32Array.of(wanted) });
      if (wanted < 1) weight -= 0.1 * 2 * (weight - wanted);
      const decay = Math.min(step / (step + 9), 0.5);
      average = decay * average + (1 - decay) * weight;
      expect(((await readVariable(gpu, layer.weight)) as Float32Array)[0]).toBeCloseTo(weight, 5);
      expect(((await readVariable(gpu, sgd.average!)) as Float32Array)[0]).toBeCloseTo(average, 5);
    }
    expect((await readVariable(gpu, sgd.step))[0]).toBe(5);
  });

  test('a run with an average tests and saves that, goes on to the same bits, and keeps its own weights', async () => {
    const data = { name: 'small', train: setOf(40), test: setOf(13) };
    const given = {
      model: 'burda',
      hidden: 6,
      latent: 3,
      batch: 8,
      steps: 6,
      average: 0.8,
      skip: 9,
      binarize: 'dynamic',
    };
    const options = completeOptions(given);
    const trainer = await trainByName(gpu, data, options);
    const steps = [];
    for await (const event of trainer.train()) if (event.event === 'step') steps.push(event.loss);
    const weights = decodeTrained(await trainer.weights(), 'weights');
    const bytes = await trainer.checkpoint();
    const saved = decodeTrained(bytes, 'checkpoint');
    const before = (await readVariable(gpu, trainer.parameters.flat)) as Float32Array;
    const test = await trainer.evaluate();
    expect(await readVariable(gpu, trainer.parameters.flat)).toEqual(before);
    const average = (await readVariable(gpu, trainer.optimizer.average!)) as Float32Array;
    expect(average).not.toEqual(before);
    for (const file of [weights, saved]) {
      expect(restoredModel(trainer.parameters, new Map(), file).at(-1)!.flat).toEqual(average);
    }
    trainer.destroy();
    // The test is that of the average: a run that has made no step has none, and is tested as it is.
    const fresh = await trainByName(gpu, data, options);
    writeVariable(gpu, fresh.parameters.flat, average);
    expect(await fresh.evaluate()).toEqual(test);
    fresh.destroy();

    const half = await trainByName(gpu, data, { ...options, steps: 3 });
    for await (const _ of half.train());
    const checkpoint = decodeCheckpoint(await half.checkpoint(), 'half');
    half.destroy();
    const rest = await trainByName(gpu, data, options, { checkpoint });
    for await (const event of rest.train()) if (event.event === 'step') expect(event.loss).toBe(steps[event.step - 1]);
    expect(await readVariable(gpu, rest.optimizer.average!)).toEqual(average);
    rest.destroy();
  });
});

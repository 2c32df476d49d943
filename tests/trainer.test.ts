// Training as a whole: it learns, the same seed gives the same bits, a resumed run is the run, and NaN stops it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { strokeDigits } from '../src/data/digits.ts';
import type { Dataset } from '../src/data/images.ts';
import { imageTensors } from '../src/data/tensors.ts';
import { CheckpointError, NotFiniteError, OptionError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { add } from '../src/ops/elementwise.ts';
import { Variable } from '../src/ops/source.ts';
import { compile } from '../src/runtime/compile.ts';
import { freeVariables } from '../src/runtime/variables.ts';
import { decodeCheckpoint } from '../src/train/checkpoint.ts';
import { GpuDataset } from '../src/train/dataset.ts';
import type { EpochEvent, TrainEvent } from '../src/train/events.ts';
import { trainByName } from '../src/train/named.ts';
import { encodeSafetensors } from '../src/train/safetensors.ts';
import type { Trainer } from '../src/train/trainer.ts';
import { Calls } from './calls.ts';
import { optionsFor } from './named_run.ts';
import { sampled } from './sampled.ts';

let gpu: Gpu;
let data: Dataset;
/** For models of convolutions, whose steps take long on a CPU. */
let few: Dataset;

beforeAll(async () => {
  gpu = await Gpu.request();
  data = strokeDigits({ seed: 1, train: 600, test: 100 });
  few = strokeDigits({ seed: 1, train: 200, test: 50 });
});

afterAll(() => gpu.destroy());

/** 200 steps of a batch of 30 are ten epochs of 600. */
const SMALL = { hidden: 40, latent: 5, batch: 30, epochs: 10 };

/** The weights, without the header, which names the options. */
async function bits(trainer: Trainer): Promise<Uint8Array> {
  const file = await trainer.weights();
  return file.slice(8 + new DataView(file.buffer, file.byteOffset).getUint32(0, true));
}

async function finish(trainer: Trainer, until = Number.POSITIVE_INFINITY): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of trainer.train()) {
    events.push(event);
    if (event.event === 'step' && event.step >= until) break;
  }
  return events;
}

/** A whole run: what it told, and its checkpoint. */
async function run(given: object, images = data) {
  using trainer = await trainByName(gpu, images, optionsFor(given));
  const events = await finish(trainer);
  return { events, weights: await bits(trainer), checkpoint: await trainer.checkpoint() };
}

const epochs = (events: readonly TrainEvent[]) =>
  events.filter((event): event is EpochEvent => event.event === 'epoch');

test('the VAE learns: its loss falls, on images that it has not seen', async () => {
  const { events } = await run(SMALL);
  const told = epochs(events);
  expect(told.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(told.at(-1)!.test!.loss).toBeLessThan(told[0]!.test!.loss * 0.8);
  const { loss, reconstruction, kl } = told.at(-1)!.test!;
  expect(loss).toBeCloseTo(reconstruction! + kl!, 3);
});

test.each(
  sampled(
    [
      ['classifier', 0.7, {}],
      ['conv-classifier', 0.5, { epochs: 2, lr: 3e-3 }],
    ] as const,
    1,
  ),
)('the %s learns: most images that it has not seen are told right', async (model, least, more) => {
  const { events } = await run({ ...SMALL, model, ...more });
  expect(epochs(events).at(-1)!.test!.accuracy).toBeGreaterThan(least);
});

const shown = sampled(['cvae', 'iwae', 'vq-vae'], 1);

test.each(shown.filter((model) => model !== 'vq-vae'))('the %s learns, and shows what', async (model) => {
  using trainer = await trainByName(gpu, data, optionsFor({ ...SMALL, model, epochs: 3, lr: 2e-3 }));
  const told = epochs(await finish(trainer));
  expect(told.at(-1)!.test!.loss).toBeLessThan(told[0]!.test!.loss * 0.85);
  const pictures = await trainer.pictures();
  expect(pictures.map(({ name }) => name)).toEqual(expect.arrayContaining(['reconstructions', 'samples']));
  for (const { data: pixels, columns, caption } of pictures) {
    expect(caption).not.toBe('');
    expect(pixels.length % (columns * 784)).toBe(0);
    expect(pixels.every((value) => value >= 0 && value <= 1)).toBe(true);
    expect(new Set(pixels.map((value) => Math.round(value * 10))).size).toBeGreaterThan(3);
  }
});

test.each(shown.filter((model) => model === 'vq-vae'))(
  'the %s learns, and a batch takes much of its table',
  async (model) => {
    const options = { ...SMALL, model, latent: 4, codes: 32, batch: 10, epochs: 3, lr: 2e-3 };
    using trainer = await trainByName(gpu, few, optionsFor(options));
    const told = epochs(await finish(trainer));
    expect(told.at(-1)!.test!.reconstruction).toBeLessThan(told[0]!.test!.reconstruction! * 0.7);
    expect(told.at(-1)!.test!.used).toBeGreaterThan(0.3);
    const pictures = await trainer.pictures();
    expect(pictures.map(({ name }) => name)).toEqual(['reconstructions', 'codes', 'usage']);
  },
);

test('beta-VAE: a greater weight of the KL term leaves less of it, and warm-up begins without any', async () => {
  const after = async (given: object) => epochs((await run({ ...SMALL, epochs: 5, ...given })).events).at(-1)!;
  const plain = await after({});
  expect((await after({ model: 'beta-vae', warmup: 0 })).test!.kl).toBeLessThan(plain.test!.kl! * 0.7);
  const { train } = await after({ model: 'beta-vae', warmup: 1e9 });
  expect(train.loss).toBeCloseTo(train.reconstruction!, 2);
  expect(train.kl).toBeGreaterThan(plain.train.kl!);
});

test('the importance-weighted bound is tighter than the plain one with the same network', async () => {
  const told = async (model: string) => epochs((await run({ ...SMALL, model, epochs: 5 })).events).at(-1)!;
  expect((await told('iwae')).test!.loss).toBeLessThan((await told('vae')).test!.loss);
});

test('same seed, same bits after 200 steps; another seed, others', async () => {
  const [first, second, other] = [await run(SMALL), await run(SMALL), await run({ ...SMALL, seed: 2 })];
  expect(first.events.filter(({ event }) => event === 'step')).toHaveLength(200);
  expect(second.weights).toEqual(first.weights);
  expect(other.weights).not.toEqual(first.weights);
});

test.each(
  sampled(
    [
      { stop: 7 },
      { stop: 20 },
      { stop: 33 },
      // It has running statistics beside its weights. Submits that are under way go no further than the epoch's end.
      { stop: 2, model: 'vq-vae', batch: 10, epochs: 2, codes: 8 },
    ],
    2,
  ),
)(
  'stopped after step $stop and resumed, a run ends with the same bits',
  async ({ stop, ...other }: { stop: number; model?: string; epochs?: number }) => {
    const options: typeof SMALL & { model?: string } = { ...SMALL, epochs: 3, ...other };
    const images = options.model ? few : data;
    const whole = await run(options, images);
    const first = await trainByName(gpu, images, optionsFor(options));
    const before = await finish(first, stop);
    const checkpoint = decodeCheckpoint(await first.checkpoint(), 'checkpoint');
    first.destroy();
    expect(checkpoint.step).toBeGreaterThanOrEqual(stop);
    expect(checkpoint.step).toBeLessThan(20 * options.epochs);
    using second = await trainByName(gpu, images, optionsFor(options), { checkpoint });
    const after = await finish(second);
    expect(await bits(second)).toEqual(whole.weights);
    expect(epochs([...before, ...after])).toEqual(epochs(whole.events));
  },
);

describe('images that do not fit the budget are streamed', () => {
  // A batch of 30 takes 25 KB; all images take 550 KB, those of the test 79 KB.
  test.each(
    sampled(
      [
        { budget: 0.3, slots: 'some, and the test is resident' },
        { budget: 0.15, slots: 'hardly any, and the test is streamed too' },
        { budget: 0.2, batch: 49, model: 'cvae' },
      ],
      1,
    ),
  )('to the same bits and numbers: %o', async ({ budget, ...other }) => {
    const { slots: _, ...given } = { slots: '', ...SMALL, epochs: 3, ...other };
    const resident = await run(given);
    const { events, weights } = await run({ ...given, budget });
    expect(weights.length).toBeGreaterThan(0);
    expect(weights).toEqual(resident.weights);
    expect(epochs(events)).toEqual(epochs(resident.events));
  });

  test('within the budget', async () => {
    for (const budget of [0.1, 0.3, 0.5]) {
      using trainer = await trainByName(gpu, data, optionsFor({ ...SMALL, batch: 20, budget }));
      await trainer.evaluate();
      expect(trainer.streamedThrough).toBeLessThanOrEqual(budget * 1e6);
    }
    using whole = await trainByName(gpu, data, optionsFor({ ...SMALL, budget: 0.6 }));
    expect(whole.streamedThrough).toBeUndefined();
  });

  test('each image once an epoch, in whatever order', async () => {
    // Every image says its own number, in two digits of base 256.
    const [count, batch] = [257, 12];
    const images = Uint8Array.from({ length: 2 * count }, (_, i) => (i % 2 ? i >> 9 : i >> 1));
    const set = { images, count, height: 1, width: 2, channels: 1, classes: 0 };
    const key = new Variable('key', [2], { dtype: 'u32', init: () => Uint32Array.of(5, 6) });
    const step = new Variable('step', [], { dtype: 'u32' });
    const stream = new GpuDataset(gpu, imageTensors({ name: 'numbers', train: set, test: set }), {
      batch,
      key,
      budget: 120,
    });
    const outputs = { images: stream.trainBatch(step.tensor).images! };
    using program = await compile(gpu, { outputs, updates: [{ variable: step, value: add(step.tensor, 1) }] });
    const numbers: number[] = [];
    for (let i = 0; numbers.length < 3 * count; i++) {
      stream.load(gpu, 'train', i, 1);
      program.run();
      const bytes = ((await program.read('images')) as Float32Array).map((value) => Math.round(value * 255));
      for (let j = 0; j < batch; j++) numbers.push(bytes[2 * j]! + 256 * bytes[2 * j + 1]!);
    }
    const all = Array.from({ length: count }, (_, i) => i);
    const seen = [0, 1, 2].map((epoch) => numbers.slice(epoch * count, (epoch + 1) * count));
    for (const epoch of seen) expect(epoch.toSorted((a, b) => a - b)).toEqual(all);
    expect(seen[0]).not.toEqual(all);
    expect(seen[0]).not.toEqual(seen[1]);
    freeVariables(gpu, [...stream.variables, key, step]);
  });

  test('a resumed run ends with the same bits, whatever the budget then', async () => {
    const options = { ...SMALL, epochs: 2, budget: 0.3 };
    const whole = await run({ ...options, budget: undefined });
    const first = await trainByName(gpu, data, optionsFor(options));
    await finish(first, 9);
    const checkpoint = decodeCheckpoint(await first.checkpoint(), 'checkpoint');
    first.destroy();
    using second = await trainByName(gpu, data, optionsFor({ ...options, budget: 0.15 }), { checkpoint });
    await finish(second);
    expect(await bits(second)).toEqual(whole.weights);
  });

  test('pictures show the same test images', async () => {
    const pictures = async (budget?: number) => {
      using trainer = await trainByName(gpu, data, optionsFor({ ...SMALL, budget }));
      return await trainer.pictures();
    };
    expect(await pictures(0.15)).toEqual(await pictures());
  });

  test('a step that is not finite leaves the weights before it', async () => {
    const failed = async (budget?: number) => {
      using trainer = await trainByName(gpu, data, optionsFor({ ...SMALL, lr: 500, budget }));
      const error = await finish(trainer).catch((reason) => reason);
      expect(error).toBeInstanceOf(NotFiniteError);
      return { message: error.message, weights: await bits(trainer) };
    };
    expect(await failed(0.15)).toEqual(await failed());
  });

  test('but not through less than two batches', async () => {
    const error = await trainByName(gpu, data, optionsFor({ ...SMALL, budget: 0.04 })).catch((reason) => reason);
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toMatch(/2 batches of 30 examples .* takes .* MB, and of the budget .* give it more/);
  });
});

test.each(sampled([undefined, 0.2], 1))(
  'a submit holds one pass, and makes nothing on the device, budget %s',
  async (budget) => {
    using watched = await Gpu.request();
    using trainer = await trainByName(watched, data, optionsFor({ ...SMALL, batch: 3, epochs: 4, budget }));
    const training = trainer.train();
    // Staging buffers are made as they are first needed, and on a busy machine some are needed late: not for ever, though.
    let calls: Calls;
    let start: number;
    let windows = 0;
    do {
      while (trainer.step % 100 < 60) await training.next();
      calls = new Calls(watched.device);
      start = trainer.step;
      while (trainer.step % 100 >= 60) await training.next();
      calls.stop();
      for (const made of calls.created) expect(made).toBe('device.createBuffer');
    } while (calls.created.length > 0 && ++windows < 6);
    expect(calls.created).toEqual([]);
    expect(calls.of('queue.submit')).toBeGreaterThan(0);
    expect(calls.of('queue.submit')).toBeLessThanOrEqual(trainer.step - start);
    expect(calls.of('encoder.beginComputePass')).toBe(calls.of('queue.submit'));
    await training.return(undefined);
  },
);

test.each(
  sampled(
    [
      { model: 'beta-vae' },
      { model: 'cvae' },
      { model: 'iwae' },
      { model: 'classifier' },
      { model: 'conv-classifier' },
      { model: 'conv-vae' },
      { model: 'vq-vae', latent: 4, codes: 32 },
    ],
    3,
  ),
)('a step of the $model is one submit and one pass', async (given) => {
  using trainer = await trainByName(gpu, data, optionsFor({ ...SMALL, ...given }));
  const calls = new Calls(gpu.device);
  const training = trainer.train();
  while (trainer.step < 5) await training.next();
  await training.return(undefined);
  expect(calls.of('queue.submit')).toBeGreaterThan(0);
  expect(calls.of('queue.submit')).toBeLessThanOrEqual(trainer.step);
  expect(calls.of('encoder.beginComputePass')).toBe(calls.of('queue.submit'));
  calls.stop();
});

test('a loss that is not finite stops the run, names the op, and leaves the last good weights', async () => {
  using trainer = await trainByName(gpu, data, optionsFor({ ...SMALL, lr: 500 }));
  const error = await finish(trainer).catch((reason) => reason);
  expect(error).toBeInstanceOf(NotFiniteError);
  expect(error.message).toMatch(/^step \d+: the loss or its gradient is not finite; first made by \w+ in [\w.]+ \(/);
  const { tensors, step } = decodeCheckpoint(await trainer.checkpoint(), 'checkpoint');
  expect(step).toBe(trainer.step);
  for (const [name, { data }] of tensors) {
    expect(Array.from(data as Float32Array).every(Number.isFinite), name).toBe(true);
  }
});

describe('what does not fit is refused', () => {
  const create = (given: object, checkpoint?: ReturnType<typeof decodeCheckpoint>) =>
    trainByName(gpu, data, optionsFor(given), { checkpoint });

  test('a batch larger than the data', async () => {
    await expect(create({ batch: 601 })).rejects.toThrow(/batch of 601 is larger than the data.*600 training images/);
  });

  test('a checkpoint of other options', async () => {
    const { checkpoint } = await run({ ...SMALL, steps: 2 });
    const decoded = decodeCheckpoint(checkpoint, 'old');
    await expect(create({ ...SMALL, hidden: 41 }, decoded)).rejects.toThrow(
      /old was made with --hidden 40, not with --hidden 41/,
    );
    await expect(create({ ...SMALL, hidden: 41 }, decoded)).rejects.toThrow(OptionError);
  });

  test('a checkpoint that lacks a tensor, or has one of another shape', async () => {
    const { checkpoint } = await run({ ...SMALL, steps: 2 });
    const decoded = decodeCheckpoint(checkpoint, 'bad');
    const without = new Map([...decoded.tensors].filter(([name]) => name !== 'optimizer.exp_avg.decoder.0.bias'));
    await expect(create(SMALL, { ...decoded, tensors: without })).rejects.toThrow(
      /bad has no tensor optimizer\.exp_avg\.decoder\.0\.bias/,
    );
    const bias = decoded.tensors.get('decoder.0.bias')!;
    const bent = new Map(decoded.tensors).set('decoder.0.bias', { ...bias, shape: [8, 5] });
    await expect(create(SMALL, { ...decoded, tensors: bent })).rejects.toThrow(/decoder\.0\.bias is \[8, 5\]/);
  });

  test('a file that is no checkpoint', () => {
    const weights = encodeSafetensors({ w: { dtype: 'F32', shape: [1], data: new Float32Array(1) } }, { format: 'pt' });
    expect(() => decodeCheckpoint(weights, 'weights')).toThrow(/weights is no checkpoint of Glia's/);
    expect(() => decodeCheckpoint(new Uint8Array(5), 'short')).toThrow(CheckpointError);
  });

  test('nothing is left behind', () => {
    expect(gpu.allocations).toBe(0);
  });
});

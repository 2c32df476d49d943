// The trainer with models and data of one's own, on lavapipe in Node: floats and tokens, any loss, any optimizer; resident
// or streamed, and stopped and resumed, to the same bits.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import type { Batch, TensorDataset } from '../src/data/tensors.ts';
import {
  CheckpointError,
  DataError,
  NotFiniteError,
  OptionError,
  OutOfMemoryError,
  ShapeError,
} from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { Linear, ReLU, Sequential } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam, AdamW, type Optimizer, SGD } from '../src/nn/optimizers.ts';
import { Dropout, Embedding } from '../src/nn/pool.ts';
import { cosineSchedule } from '../src/nn/schedules.ts';
import { crossEntropy } from '../src/ops/cross_entropy.ts';
import { abs, log, square, sub } from '../src/ops/elementwise.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { reshape } from '../src/ops/view.ts';
import { freeVariables, readVariable } from '../src/runtime/variables.ts';
import { decodeCheckpoint } from '../src/train/checkpoint.ts';
import type { TrainEvent } from '../src/train/events.ts';
import { Trainer } from '../src/train/trainer.ts';
import type { TrainerOptions } from '../src/train/trainer_options.ts';

const missing = inject('withoutLavapipe');

/** y = sin of the sum of x, by a table of 47 training and 13 test examples. */
function table(): TensorDataset<'x' | 'y'> {
  const examples = (count: number, from: number) => {
    const x = Float32Array.from({ length: count * 3 }, (_, i) => Math.sin(7 * (i + from)));
    const y = Float32Array.from({ length: count }, (_, i) => Math.sin(x[3 * i]! + x[3 * i + 1]! + x[3 * i + 2]!));
    return {
      count,
      tensors: { x: { dtype: 'f32', shape: [3], data: x }, y: { dtype: 'f32', shape: [1], data: y } },
    } as const;
  };
  return { name: 'sines', train: examples(47, 0), test: examples(13, 500) };
}

function regression(make: (parameters: Parameters) => Optimizer = (p) => new SGD(p, { lr: 0.1, momentum: 0.9 })) {
  const model = new Sequential(new Linear(3, 20), new ReLU(), new Dropout(0.1), new Linear(20, 1));
  const optimizer = make(new Parameters(model, 4));
  return {
    ...{ model, optimizer, data: table(), batch: 10, epochs: 6, seed: 2, options: { width: 20 } },
    loss({ x, y }) {
      const error = sub(model.forward(x), y);
      return { squared: sum(square(error), { axis: 1 }), absolute: sum(abs(error), { axis: 1 }) };
    },
  } satisfies TrainerOptions<'x' | 'y'>;
}

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing)('the trainer', () => {
  let gpu: Gpu;

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });

  afterAll(() => gpu?.destroy());

  async function finish(trainer: Trainer, until = Number.POSITIVE_INFINITY): Promise<TrainEvent[]> {
    const events: TrainEvent[] = [];
    for await (const event of trainer.train()) {
      events.push(event.event === 'step' ? { ...event, msPerStep: 0 } : event);
      if (event.event === 'step' && event.step >= until) break;
    }
    return events;
  }

  /** A whole run, and what is left of it. */
  async function run<Name extends string>(options: TrainerOptions<Name>) {
    const trainer = await Trainer.create(gpu, options);
    const events = await finish(trainer);
    const weights = await readVariable(gpu, trainer.parameters.flat);
    trainer.destroy();
    freeVariables(gpu, [trainer.parameters.flat]);
    return { events, weights };
  }

  test('is tested after every second epoch and the last where that is asked for, and learns the same', async () => {
    const every = await run({ ...regression(), epochs: 5 });
    const second = await run({ ...regression(), epochs: 5, testEvery: 2 });
    const tested = ({ events }: typeof every) =>
      events.flatMap((one) => (one.event === 'epoch' && one.test ? [one.epoch] : []));
    expect(tested(every)).toEqual([1, 2, 3, 4, 5]);
    expect(tested(second)).toEqual([2, 4, 5]);
    expect(second.weights).toEqual(every.weights);
    await expect(Trainer.create(gpu, { ...regression(), testEvery: 0 })).rejects.toThrow(
      /testEvery must be a positive integer, got 0/,
    );
  });

  test('learns a table of floats with SGD, and tells its own terms', async () => {
    const trainer = await Trainer.create(gpu, regression());
    expect(trainer.terms).toEqual(['loss', 'absolute']);
    const epochs = (await finish(trainer)).filter(({ event }) => event === 'epoch');
    expect(epochs).toHaveLength(6);
    const [first, last] = [epochs[0]!, epochs.at(-1)!] as (TrainEvent & { event: 'epoch' })[];
    expect(last!.test!.loss).toBeLessThan(first!.test!.loss * 0.5);
    // The model is the caller's, and stays trained; the test is its mean over the examples, the last partial batch too.
    trainer.destroy();
    const { weights } = { weights: await readVariable(gpu, trainer.parameters.flat) };
    const values = trainer.parameters.split(weights as Float32Array);
    const [w1, b1, w2, b2] = ['0.weight', '0.bias', '3.weight', '3.bias'].map((name) => values.get(name)!.data);
    const { count, tensors } = table().test!;
    let total = 0;
    for (let i = 0; i < count; i++) {
      let y = b2![0]!;
      for (let j = 0; j < 20; j++) {
        let h = b1![j]!;
        for (let k = 0; k < 3; k++) h += w1![3 * j + k]! * tensors.x.data[3 * i + k]!;
        y += w2![j]! * Math.max(0, h);
      }
      total += (y - tensors.y.data[i]!) ** 2;
    }
    expect(last!.test!.loss).toBeCloseTo(total / count, 4);
    freeVariables(gpu, [trainer.parameters.flat]);
  });

  test.each<[string, (parameters: Parameters) => Optimizer]>([
    ['SGD', (p) => new SGD(p, { lr: 0.1 })],
    ['SGD with momentum', (p) => new SGD(p, { lr: 0.05, momentum: 0.9, nesterov: true })],
    ['Adam and a cosine', (p) => new Adam(p, { lr: cosineSchedule({ lr: 0.01, steps: 30 }) })],
    [
      'AdamW with groups',
      (p) => new AdamW(p, { groups: [{ parameters: (name) => /bias/.test(name), weightDecay: 0 }] }),
    ],
  ])('%s, stopped and resumed, ends with the same bits, streamed or not', async (_, make) => {
    const whole = await run(regression(make));
    const first = await Trainer.create(gpu, regression(make));
    const before = await finish(first, 11);
    const bytes = await first.checkpoint();
    first.destroy();
    freeVariables(gpu, [first.parameters.flat]);
    const checkpoint = decodeCheckpoint(bytes, 'checkpoint');
    expect(checkpoint.step).toBeLessThan(28);
    // 2 batches of 12 rows of 16 bytes.
    const second = await Trainer.create(gpu, { ...regression(make), checkpoint, budget: 900 });
    expect(second.streamedThrough).toBeLessThanOrEqual(900);
    const after = await finish(second);
    expect(await readVariable(gpu, second.parameters.flat)).toEqual(whole.weights);
    expect([...before, ...after].filter(({ event }) => event === 'epoch')).toEqual(
      whole.events.filter(({ event }) => event === 'epoch'),
    );
    second.destroy();
    freeVariables(gpu, [second.parameters.flat]);
  });

  test('a learning rate set while training is kept by checkpoints', async () => {
    const set = async (trainer: Trainer) => {
      await finish(trainer, 7);
      while (trainer.step < 7) await finish(trainer, 7);
      trainer.setLearningRate(0.01);
    };
    const first = await Trainer.create(gpu, regression());
    await set(first);
    const checkpoint = decodeCheckpoint(await first.checkpoint(), 'checkpoint');
    await finish(first);
    const wanted = await readVariable(gpu, first.parameters.flat);
    const second = await Trainer.create(gpu, { ...regression(), checkpoint });
    await finish(second);
    expect(await readVariable(gpu, second.parameters.flat)).toEqual(wanted);
    for (const trainer of [first, second]) {
      trainer.destroy();
      freeVariables(gpu, [trainer.parameters.flat]);
    }
  });

  test('learns tokens of u32 and labels of u8 by a scalar loss, without a test set', async () => {
    const embedding = new Embedding(50, 8);
    const head = new Linear(3 * 8, 3);
    class Words extends Sequential {
      readonly table = embedding;
      readonly head = head;
      override members() {
        return Object.entries({ table: this.table, head: this.head });
      }
    }
    const count = 40;
    const tokens = Uint32Array.from({ length: 3 * count }, (_, i) => (i * 31) % 50);
    const label = Uint8Array.from({ length: count }, (_, i) => tokens[3 * i]! % 3);
    const train = {
      count,
      tensors: { tokens: { dtype: 'u32', shape: [3], data: tokens }, label: { dtype: 'u8', shape: [], data: label } },
    } as const;
    const { events } = await run({
      ...{ model: new Words(), data: { name: 'words', train }, batch: 8, epochs: 12 },
      loss: ({ tokens, label }) => mean(crossEntropy(head.forward(reshape(embedding.forward(tokens), [8, 24])), label)),
    });
    const epochs = events.filter((event) => event.event === 'epoch');
    expect(epochs[0]).not.toHaveProperty('test');
    expect(epochs.at(-1)!.train.loss).toBeLessThan(epochs[0]!.train.loss * 0.9);
  });

  test('stops at a loss that is not finite, and names the op', async () => {
    const given = regression();
    const trainer = await Trainer.create(gpu, {
      ...given,
      loss: ({ x, y }: Batch<'x' | 'y'>) => log(sum(sub(given.model.forward(x), y), { axis: 1 })),
    });
    const error = await finish(trainer).catch((reason) => reason);
    expect(error).toBeInstanceOf(NotFiniteError);
    expect(error.message).toMatch(/step \d+: .* first made by log/);
    trainer.destroy();
    freeVariables(gpu, [trainer.parameters.flat]);
  });

  describe('refuses', () => {
    const refused = async (change: object, kind: new (...args: never[]) => Error, message: RegExp) => {
      const error = await Trainer.create(gpu, { ...regression(), ...change }).catch((reason) => reason);
      expect(error).toBeInstanceOf(kind);
      expect(error.message).toMatch(message);
      expect(error.message).not.toContain('\n');
    };
    const data = table();
    const withX = (x: object) => ({ ...data, train: { ...data.train, tensors: { ...data.train.tensors, x } } });

    test.each<[string, object, new (...args: never[]) => Error, RegExp]>([
      [
        'data of another length',
        { data: withX({ ...data.train.tensors.x, shape: [4] }) },
        DataError,
        /sines, training, x: 47 examples of f32 \[4\] are a Float32Array of 188, got a Float32Array of 141/,
      ],
      [
        'an unknown type',
        { data: withX({ ...data.train.tensors.x, dtype: 'f64' }) },
        DataError,
        /x: dtype must be u8, u32 or f32, got f64/,
      ],
      ['a model without a loss', { loss: undefined }, OptionError, /Sequential says no loss/],
      [
        'terms of another shape',
        { loss: ({ x }: Batch<'x' | 'y'>) => x },
        ShapeError,
        /the loss gave f32 \[10, 3\] for loss: terms are f32 \[10\]/,
      ],
      [
        'a batch larger than the data',
        { batch: 48 },
        OptionError,
        /batch of 48 is larger than the data: sines has 47 training examples/,
      ],
      ['half a batch', { batch: 1.5 }, OptionError, /batch must be a positive integer/],
      [
        'an optimizer of another model',
        { optimizer: new SGD(new Parameters(new Linear(3, 1))) },
        OptionError,
        /not those of the model/,
      ],
    ])('%s', (_, change, kind, message) => refused(change, kind, message));

    test('a scalar loss whose test is less than a batch', () =>
      refused(
        { batch: 20, loss: ({ x }: Batch<'x' | 'y'>) => mean(x) },
        OptionError,
        /whole batches, and sines has 13 test/,
      ));

    test('a model that the device cannot bind, before anything is made', async () => {
      const model = new Linear(100_000, 100_000);
      const made = gpu.allocatedBytes;
      const error = await Trainer.create(gpu, {
        ...regression(),
        model,
        optimizer: new SGD(new Parameters(model)),
      }).catch((reason) => reason);
      expect(error).toBeInstanceOf(OutOfMemoryError);
      expect(error.message).toMatch(/weights take 40000400128 bytes \(weight \[100000, 100000\] .* binds at most \d+/);
      expect(gpu.allocatedBytes).toBe(made);
    });

    test('a checkpoint of other options, another optimizer, other data', async () => {
      const first = await Trainer.create(gpu, regression());
      await finish(first, 2);
      const checkpoint = decodeCheckpoint(await first.checkpoint(), 'mine');
      expect(checkpoint.progress).toMatchObject({ options: { width: 20 }, optimizer: 'SGD', data: { count: 47 } });
      first.destroy();
      freeVariables(gpu, [first.parameters.flat]);
      await refused(
        { checkpoint, options: { width: 21 } },
        OptionError,
        /mine was made with width 20, not with width 21/,
      );
      await refused({ checkpoint, seed: 3 }, OptionError, /mine was made with seed 2, not with seed 3/);
      const adam = regression((p) => new Adam(p));
      await refused({ ...adam, checkpoint }, OptionError, /made with optimizer SGD, not with optimizer Adam/);
      const cut = {
        ...data,
        train: {
          count: 46,
          tensors: {
            x: { ...data.train.tensors.x, data: data.train.tensors.x.data.subarray(3) },
            y: { ...data.train.tensors.y, data: data.train.tensors.y.data.subarray(1) },
          },
        },
      };
      await refused({ checkpoint, data: cut }, OptionError, /mine was made with 47 of x f32 \[3\].*and these are 46/);
      const model = new Sequential(new Linear(3, 21), new Linear(21, 1));
      const other = {
        model,
        optimizer: new SGD(new Parameters(model), { momentum: 0.9 }),
        loss: ({ x }: Batch<'x' | 'y'>) => sum(model.forward(x), { axis: 1 }),
      };
      await refused({ ...other, checkpoint }, CheckpointError, /0\.weight is \[20, 3\], and this model's is \[21, 3\]/);
    });
  });
});

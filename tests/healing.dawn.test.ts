// A device that is lost in the middle of a run: the trainer goes on with another, to the same bits, and tells each step once.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import type { TensorDataset } from '../src/data/tensors.ts';
import { DeviceLostError, OutOfMemoryError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { Linear, ReLU, Sequential } from '../src/nn/layers.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { mul, square, sub } from '../src/ops/elementwise.ts';
import { sum } from '../src/ops/reduce.ts';
import { Variable } from '../src/ops/source.ts';
import { freeVariables, writeVariable } from '../src/runtime/variables.ts';
import { decodeCheckpoint } from '../src/train/checkpoint.ts';
import type { TrainEvent } from '../src/train/events.ts';
import type { Recovery } from '../src/train/healing.ts';
import { Pace } from '../src/train/pace.ts';
import { SnapshotClock } from '../src/train/snapshots.ts';
import { Trainer } from '../src/train/trainer.ts';
import type { TrainerOptions } from '../src/train/trainer_options.ts';

const missing = inject('withoutLavapipe');

function table(): TensorDataset<'x' | 'y'> {
  const examples = (count: number, from: number) => {
    const x = Float32Array.from({ length: count * 3 }, (_, i) => Math.sin(7 * (i + from)));
    const y = Float32Array.from({ length: count }, (_, i) => Math.sin(x[3 * i]! + x[3 * i + 1]!));
    return {
      count,
      tensors: { x: { dtype: 'f32', shape: [3], data: x }, y: { dtype: 'f32', shape: [1], data: y } },
    } as const;
  };
  return { name: 'sines', train: examples(47, 0), test: examples(13, 500) };
}

/** 10 epochs are 47 steps. */
function options(more: Partial<TrainerOptions> = {}) {
  const model = new Sequential(new Linear(3, 12), new ReLU(), new Linear(12, 1));
  // The app's own number, which the loss reads, and which no step changes.
  const scale = new Variable('scale', []);
  const given: TrainerOptions<'x' | 'y'> = {
    ...{ model, data: table(), batch: 10, epochs: 10, seed: 3, snapshotEvery: 0 },
    optimizer: new Adam(new Parameters(model, 5), { lr: 0.01 }),
    loss: ({ x, y }) => sum(mul(square(sub(model.forward(x), y)), scale.tensor), { axis: 1 }),
    ...(more as object),
  };
  return { given, scale };
}

const untimed = (event: TrainEvent) => (event.event === 'step' ? { ...event, msPerStep: 0 } : event);

test('the pace is lowered by what a device gave up on, and comes back after a while', () => {
  const pace = new Pace();
  expect(pace.steps(100)).toBe(1);
  expect(pace.lower()).toBe(false);
  for (let i = 0; i < 5 * 20; i++) pace.made(1, 1);
  expect(pace.steps(100)).toBe(32);
  const lowered = () => [pace.lower(), pace.steps(100)];
  expect([lowered(), lowered(), lowered(), lowered()]).toEqual([
    [true, 8],
    [true, 2],
    [true, 1],
    [false, 1],
  ]);
  for (let i = 0; i < 20; i++) pace.made(1, 1);
  expect(pace.steps(100)).toBe(2);
});

test('the next snapshot is the later, the longer the last few took', () => {
  const clock = new SnapshotClock(0);
  expect(clock.due).toBe(true);
  for (let i = 0; i < 3; i++) clock.cost(500);
  clock.taken();
  expect(clock.due).toBe(false);
  clock.cost(0);
  clock.cost(0);
  expect(clock.due).toBe(true);
});

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

describe.skipIf(missing)('a device that is lost', () => {
  let implementation: GPU;
  let whole: Awaited<ReturnType<typeof run>>;

  beforeAll(async () => {
    implementation = await startDawn('lavapipe');
    whole = await run(() => {});
  });

  const gpus: Gpu[] = [];
  afterAll(() => {
    for (const gpu of gpus) gpu.destroy();
  });

  async function request(): Promise<Gpu> {
    const gpu = await Gpu.request({ gpu: implementation });
    gpus.push(gpu);
    return gpu;
  }

  /** A run with what happens after each event. */
  async function run(meanwhile: (trainer: Trainer, event: TrainEvent) => void, more: Partial<TrainerOptions> = {}) {
    const gpu = await request();
    const { given, scale } = options(more);
    const recoveries: Recovery[] = [];
    writeVariable(gpu, scale, Float32Array.of(2));
    const trainer = await Trainer.create(gpu, { ...given, onRecovery: (recovery) => recoveries.push(recovery) });
    const events: TrainEvent[] = [];
    for await (const event of trainer.train()) {
      events.push(untimed(event));
      meanwhile(trainer, event);
    }
    const checkpoint = await trainer.checkpoint();
    trainer.destroy();
    gpus.push(trainer.gpu);
    return { events, checkpoint, recoveries, trainer };
  }

  /** Dawn for Node sometimes crashes if a device is destroyed with submits under way; Chrome's GPU process is killed elsewhere. */
  const lose = async ({ gpu: { device } }: Trainer) => {
    await device.queue.onSubmittedWorkDone();
    device.destroy();
  };

  test.each<[string, number[], Partial<TrainerOptions>]>([
    ['before the first step is told', [1], {}],
    ['at any time, again and again', [5, 6, 31, 46], {}],
    ['with the copy of the beginning alone', [13, 40], { snapshotEvery: Number.POSITIVE_INFINITY }],
    ['with its data streamed', [13, 40], { budget: 700 }],
  ])('%s: the run ends with the same bits, and tells each step once', async (_, steps, more) => {
    const lost = await run((trainer, event) => {
      if (event.event === 'step' && steps.includes(event.step)) void lose(trainer);
    }, more);
    expect(lost.events).toEqual(whole.events);
    expect(lost.checkpoint).toEqual(whole.checkpoint);
    // Two losses in one submit are one.
    expect(lost.recoveries.length).toBeGreaterThan(0);
    for (const { from, step, otherAdapter } of lost.recoveries) {
      expect(from).toBeLessThanOrEqual(step);
      expect(otherAdapter).toBe(false);
    }
    if (more.snapshotEvery) expect(lost.recoveries.every(({ from }) => from === 0)).toBe(true);
  });

  test.each([11, 15])(
    'that reads as zeros before there is news of its loss, after step %i: nothing of that counts',
    async (from) => {
      const { prototype } = GPUBuffer;
      const { getMappedRange } = prototype;
      let zeros = 0;
      const dying = function (this: GPUBuffer, offset?: number, size?: number) {
        zeros++;
        return new ArrayBuffer(getMappedRange.call(this, offset, size).byteLength);
      };
      try {
        const lost = await run(
          (_, event) => {
            if (event.event === 'step' && event.step === from && zeros === 0) prototype.getMappedRange = dying;
          },
          {
            onDeviceLost() {
              prototype.getMappedRange = getMappedRange;
              return request();
            },
          },
        );
        expect(zeros).toBeGreaterThan(0);
        expect(lost.recoveries.map(({ reason }) => reason)).toEqual([expect.stringMatching(/no longer gives back/)]);
        expect(lost.events).toEqual(whole.events);
        expect(lost.checkpoint).toEqual(whole.checkpoint);
      } finally {
        prototype.getMappedRange = getMappedRange;
      }
    },
  );

  test('for no reason that shows, when a step failed: it is tried on another', async () => {
    const { prototype } = GPUBuffer;
    const { getMappedRange } = prototype;
    const failing = function (this: GPUBuffer, offset?: number, size?: number) {
      const bytes = getMappedRange.call(this, offset, size);
      // The history; not the word that tells whether a device answers.
      if (bytes.byteLength === 4) return bytes;
      prototype.getMappedRange = getMappedRange;
      return new ArrayBuffer(bytes.byteLength);
    };
    try {
      const lost = await run((_, event) => {
        if (event.event === 'step' && event.step === 12) prototype.getMappedRange = failing;
      });
      expect(lost.recoveries.map(({ reason }) => reason)).toEqual([expect.stringMatching(/shows nothing wrong/)]);
      expect(lost.events).toEqual(whole.events);
      expect(lost.checkpoint).toEqual(whole.checkpoint);
    } finally {
      prototype.getMappedRange = getMappedRange;
    }
  });

  test('while it is tested, pictured, or saved', async () => {
    const gpu = await request();
    const { given, scale } = options();
    writeVariable(gpu, scale, Float32Array.of(2));
    const trainer = await Trainer.create(gpu, given);
    for await (const { event } of trainer.train()) if (event === 'epoch' && trainer.step > 10) break;
    const tested = await trainer.evaluate();
    await lose(trainer);
    expect(await trainer.evaluate()).toEqual(tested);
    const saved = await trainer.checkpoint();
    await lose(trainer);
    expect(await trainer.checkpoint()).toEqual(saved);
    const evaluated = trainer.evaluate();
    await lose(trainer);
    expect(await evaluated).toEqual(tested);
    trainer.destroy();
    gpus.push(trainer.gpu);
  });

  test('with a learning rate that was set since the copy', async () => {
    const set = (lossAt?: number) => (trainer: Trainer, event: TrainEvent) => {
      if (event.event !== 'step') return;
      // Between two epochs, when nothing is under way, so that both runs set it at the same step.
      if (event.step === 10) trainer.setLearningRate(0.001);
      if (event.step === 24) trainer.setLearningRate(0.03);
      if (event.step === lossAt) void lose(trainer);
    };
    const steady = { steps: 29, snapshotEvery: Number.POSITIVE_INFINITY };
    const [undisturbed, disturbed] = [await run(set(), steady), await run(set(24), steady)];
    expect(disturbed.recoveries.map(({ from }) => from)).toEqual([0]);
    expect(disturbed.checkpoint).toEqual(undisturbed.checkpoint);
    expect(undisturbed.checkpoint).not.toEqual(whole.checkpoint);
  });

  test('of an app goes on with the one that the app brings, and without one ends', async () => {
    const device = async () => Gpu.from(await (await implementation.requestAdapter())!.requestDevice());
    const train = async (more: Partial<TrainerOptions>) => {
      const { given, scale } = options(more);
      const gpu = await device();
      writeVariable(gpu, scale, Float32Array.of(2));
      const trainer = await Trainer.create(gpu, given);
      const events: TrainEvent[] = [];
      for await (const event of trainer.train()) {
        events.push(untimed(event));
        if (trainer.gpu === gpu && trainer.step >= 12) gpu.device.destroy();
      }
      return { events, trainer };
    };
    const brought: Gpu[] = [];
    const { events, trainer } = await train({
      onDeviceLost: async () => {
        brought.push(await device());
        return brought[0];
      },
    });
    expect(brought).toEqual([trainer.gpu]);
    expect(events.map(({ event }) => event)).toEqual(whole.events.map(({ event }) => event));
    trainer.destroy();
    for (const gpu of brought) {
      gpu.destroy();
      gpu.device.destroy();
    }
    await expect(train({})).rejects.toThrow(DeviceLostError);
    await expect(train({ onDeviceLost: async () => undefined })).rejects.toThrow(DeviceLostError);
  });

  test('whenever it makes a step ends the run in one line, with the checkpoint of the last copy', async () => {
    const gpu = await request();
    const { given, scale } = options();
    writeVariable(gpu, scale, Float32Array.of(2));
    const trainer = await Trainer.create(gpu, given);
    const events: TrainEvent[] = [];
    const wait = setInterval(() => trainer.step >= 20 && void lose(trainer), 1);
    const error = await (async () => {
      for await (const event of trainer.train()) events.push(event);
    })().catch((reason) => reason);
    clearInterval(wait);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error.message).toMatch(
      /^the GPU device was lost 6 times in a row after step \d+, without a step in between/,
    );
    const { step, progress } = decodeCheckpoint(await trainer.checkpoint(), 'kept');
    expect(step).toBeLessThanOrEqual(trainer.step);
    expect(step).toBeGreaterThan(0);
    const second = await Trainer.create(await request(), {
      ...options().given,
      checkpoint: decodeCheckpoint(await trainer.checkpoint(), 'kept'),
    });
    expect(second.step).toBe(step);
    expect(progress.epochSums.steps).toBeGreaterThan(0);
    second.destroy();
    trainer.destroy();
  });

  test('without memory for a submit, it holds fewer steps before the run gives up', async () => {
    let refused = 0;
    const counts: number[] = [];
    const wounded = await run((trainer, event) => {
      if (event.event !== 'step' || event.step !== 8) return;
      const { queue } = trainer.gpu.device;
      const { submit } = queue;
      queue.submit = (buffers) => {
        if (refused++ < 1) throw new OutOfMemoryError('no memory for this submit');
        counts.push(1);
        queue.submit = submit;
        submit.call(queue, buffers);
      };
    });
    expect(refused).toBe(2);
    expect(wounded.events).toEqual(whole.events);
    expect(wounded.checkpoint).toEqual(whole.checkpoint);
    expect(wounded.recoveries).toEqual([]);
  });

  test('nothing is left behind, also of a copy that is under way', async () => {
    const gpu = await request();
    const { given, scale } = options({ ownsModel: true, snapshotEvery: 0 });
    const trainer = await Trainer.create(gpu, given);
    const training = trainer.train();
    while (trainer.step < 7) await training.next();
    await training.return(undefined);
    trainer.destroy();
    freeVariables(gpu, [scale]);
    expect(gpu.allocations).toBe(0);
  });

  test('that was given up is not asked for again', async () => {
    const gpu = await request();
    const trainer = await Trainer.create(gpu, options().given);
    gpu.destroy();
    await expect(trainer.checkpoint()).rejects.toThrow(/destroyed/);
    await expect(trainer.train().next()).rejects.toThrow(/destroyed/);
  });
});

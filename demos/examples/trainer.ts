// A model and data of one's own in the trainer: two spirals, told apart by a perceptron; stopped, and resumed.
import * as glia from 'glia';
import { decodeCheckpoint, Trainer } from 'glia/train';
import type { Stage } from './stage.ts';

const COUNT = 2000;

function spirals(seed: number) {
  const random = new glia.Generator(seed);
  const x = new Float32Array(2 * COUNT);
  const label = new Uint32Array(COUNT);
  for (let i = 0; i < COUNT; i++) {
    label[i] = i % 2;
    const along = 0.3 + 0.7 * random.uniform();
    const angle = 7 * along + Math.PI * label[i]!;
    x[2 * i] = along * Math.cos(angle) + 0.02 * random.normal();
    x[2 * i + 1] = along * Math.sin(angle) + 0.02 * random.normal();
  }
  const tensors = {
    x: { dtype: 'f32', shape: [2], data: x },
    label: { dtype: 'u32', shape: [], data: label },
  } as const;
  return { count: COUNT, tensors };
}

export async function run({ say, plot }: Stage) {
  using gpu = await glia.Gpu.request();
  const create = (checkpoint?: Uint8Array) => {
    const [first, second, head] = [new glia.Linear(2, 64), new glia.Linear(64, 64), new glia.Linear(64, 2)];
    const model = new glia.Sequential(first, new glia.Tanh(), second, new glia.Tanh(), head);
    return Trainer.create(gpu, {
      model,
      data: { name: 'spirals', train: spirals(1), test: spirals(2) },
      optimizer: new glia.AdamW(new glia.Parameters(model), { lr: 1e-2 }),
      loss({ x, label }) {
        const logits = model.forward(x);
        return { loss: glia.crossEntropy(logits, label), accuracy: glia.equal(glia.argmax(logits), label) };
      },
      batch: 100,
      epochs: 12,
      checkpoint: checkpoint && decodeCheckpoint(checkpoint, 'spirals'),
    });
  };
  const losses: number[] = [];
  let [checkpoint, accuracy]: [Uint8Array | undefined, number] = [undefined, 0];
  for (const _ of ['begin', 'go on']) {
    using trainer = await create(checkpoint);
    for await (const event of trainer.train()) {
      if (event.event === 'step') losses.push(event.loss);
      if (event.event === 'step') continue;
      accuracy = event.test!.accuracy!;
      say(`epoch ${event.epoch}: ${(100 * accuracy).toFixed(1)} % of the test right`);
      if (event.epoch === 6) break; // leaving the loop stops the run; the second trainer goes on from there
    }
    checkpoint = await trainer.checkpoint();
  }
  plot(new Float32Array(losses.keys()), { loss: Float32Array.from(losses) });
  return { accuracy, steps: losses.length };
}

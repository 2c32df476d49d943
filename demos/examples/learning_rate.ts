// A learning rate that is changed while training: it is a number on the GPU, so nothing is compiled anew.
import * as glia from 'glia';
import type { Stage } from './stage.ts';

const RATES = [0.1, 0.02, 0.004];
const STEPS = 200;

export async function run({ say, plot }: Stage) {
  using gpu = await glia.Gpu.request();
  const model = new glia.Sequential(new glia.Linear(8, 64), new glia.ReLU(), new glia.Linear(64, 1));
  const sgd = new glia.SGD(new glia.Parameters(model), { lr: RATES[0]! });

  // Noise in every batch: a large rate learns fast and stays noisy, a small one comes to rest.
  const key = glia.randomKey(0, sgd.step.tensor);
  const x = glia.normal([32, 8], key);
  const noise = glia.mul(glia.normal([32, 1], { ...key, stream: 1 }), 0.3);
  const target = glia.add(glia.tanh(glia.sum(x, { axis: 1, keepDims: true })), noise);
  const loss = glia.mean(glia.square(glia.sub(model.forward(x), target)));
  using training = await glia.compile(gpu, { outputs: { loss }, ...sgd.minimize(loss) });

  const losses: number[] = [];
  const smooth: number[] = [];
  for (const rate of RATES) {
    sgd.setLearningRate(gpu, rate);
    for (let step = 0; step < STEPS; step++) {
      training.run();
      losses.push((await training.read('loss'))[0]!);
      const recent = losses.slice(-50);
      smooth.push(recent.reduce((a, b) => a + b, 0) / recent.length);
    }
    say(`${losses.length} steps, learning rate ${rate}: loss ${smooth.at(-1)!.toFixed(3)}`);
  }
  const steps = Float32Array.from(losses, (_, i) => i + 1);
  plot(steps, { loss: Float32Array.from(losses), 'mean of 50': Float32Array.from(smooth) });
  return { smooth: RATES.map((_, i) => smooth[(i + 1) * STEPS - 1]!) };
}

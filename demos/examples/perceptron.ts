// A perceptron learns a function from samples of it.
import { Adam, compile, Gpu, input, Linear, mean, Parameters, Sequential, square, sub, Tanh } from 'glia';
import type { Stage } from './stage.ts';

const f = (x: number) => Math.sin(3 * x) + 0.3 * x;

export async function run({ say, plot }: Stage) {
  using gpu = await Gpu.request();
  const model = new Sequential(new Linear(1, 32), new Tanh(), new Linear(32, 32), new Tanh(), new Linear(32, 1));
  const adam = new Adam(new Parameters(model), { lr: 1e-2 });

  // Traced once: forward pass, loss, gradients and Adam's update become one program.
  const x = input('x', [64, 1]);
  const y = model.forward(x);
  const loss = mean(square(sub(y, input('target', [64, 1]))));
  using training = await compile(gpu, { outputs: { loss, y }, ...adam.minimize(loss) });

  const points = Float32Array.from({ length: 64 }, (_, i) => i / 31.5 - 1);
  const target = points.map(f);
  for (let step = 0; step < 500; step += 20) {
    training.run({ x: points, target }, { steps: 20 }); // one submit
    say(`step ${step + 20}: mean squared error ${(await training.read('loss'))[0]!.toExponential(2)}`);
  }
  plot(points, { 'sin 3x + 0.3x': target, learned: (await training.read('y')) as Float32Array });
  return { error: (await training.read('loss'))[0]! };
}

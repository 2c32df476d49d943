// A loss of one's own: the pinball loss, whose minimum is a quantile (Koenker and Bassett, Regression Quantiles, 1978).
import * as glia from 'glia';
import type { Stage } from './stage.ts';

const QUANTILES = [0.1, 0.5, 0.9];
const COUNT = 512;

/** Mean of max(q·e, (q − 1)·e) with e = target − prediction: prediction [N, 3], target [N, 1]. */
function pinball(prediction: glia.Tensor, target: glia.Tensor): glia.Tensor {
  const q = glia.concat(QUANTILES.map((value) => glia.reshape(glia.constant(value), [1])));
  const error = glia.sub(target, prediction);
  return glia.mean(glia.maximum(glia.mul(error, q), glia.mul(error, glia.sub(q, 1))));
}

export async function run({ say, plot }: Stage) {
  using gpu = await glia.Gpu.request();
  const model = new glia.Sequential(new glia.Linear(1, 32), new glia.Tanh(), new glia.Linear(32, QUANTILES.length));
  const adam = new glia.Adam(new glia.Parameters(model), { lr: 2e-2 });
  const y = model.forward(glia.input('x', [COUNT, 1]));
  const loss = pinball(y, glia.input('target', [COUNT, 1]));
  using training = await glia.compile(gpu, { outputs: { loss, y }, ...adam.minimize(loss) });

  // Noise that grows to the right: what a mean alone would not tell.
  const random = new glia.Generator(1);
  const x = Float32Array.from({ length: COUNT }, (_, i) => (2 * i) / COUNT - 1);
  const target = x.map((at) => Math.sin(3 * at) + 0.25 * (at + 1.2) * random.normal());
  for (let step = 0; step < 600; step += 20) {
    training.run({ x, target }, { steps: 20 });
    say(`step ${step + 20}: pinball loss ${(await training.read('loss'))[0]!.toFixed(4)}`);
  }
  const learned = (await training.read('y')) as Float32Array;
  const curve = (q: number) => x.map((_, i) => learned[i * QUANTILES.length + q]!);
  plot(x, { samples: target, '10 %': curve(0), median: curve(1), '90 %': curve(2) });
  const below = QUANTILES.map((_, q) => target.filter((value, i) => value < curve(q)[i]!).length / COUNT);
  return { below };
}

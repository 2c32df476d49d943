// The convolutional VAE against an independent engine: loss and every gradient, for the same weights, images and noise.
import { valueAndGrad } from '@jax-js/jax';
import { expect, test } from 'vitest';
import { vaeLoss } from '../src/bench/jax.ts';
import { startJax, toArray } from '../src/bench/jax_training.ts';
import { convNetwork } from '../src/bench/network.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { convNetworks } from '../src/models/networks.ts';
import { VAE } from '../src/models/vae.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { mean } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import { compile, evaluate } from '../src/runtime/compile.ts';
import { readVariable } from '../src/runtime/variables.ts';
import { randomFrom, randomValues, sharedGpu } from './numbers.ts';

const BATCH = 8;
const LATENT = 6;
const WIDTHS = [32, 64];

function build(batch: number) {
  const shape = { height: 28, width: 28, channels: 1 };
  const vae = new VAE({
    pixels: 784,
    latent: LATENT,
    networks: convNetworks({ shape, widths: WIDTHS, latent: LATENT, codes: 2 * LATENT }),
  });
  const elbo = vae.elbo(input('images', [batch, 784]), input('noise', [batch, LATENT]));
  return { vae, loss: mean(elbo.loss) };
}

test('loss and gradients agree with jax-js', async () => {
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const gpu = await sharedGpu();
  const random = randomFrom(seed);
  const images = randomValues({ shape: [BATCH, 784], min: 0, max: 1 }, random) as Float32Array;
  const noise = randomValues({ shape: [BATCH, LATENT] }, random) as Float32Array;
  const { vae, loss: value } = build(BATCH);
  const parameters = new Parameters(vae, seed);
  const names = [...parameters.named.keys()];
  const wrt = gradients(
    value,
    [...parameters.named.values()].map(({ tensor }) => tensor),
  );
  const outputs = { loss: value, ...Object.fromEntries(names.map((name, i) => [name, wrt[i]!])) };
  const actual = (await evaluate(gpu, outputs, { images, noise })) as Record<string, Float32Array>;

  await startJax('wasm');
  const weights = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
  const p = Object.fromEntries([...weights].map(([name, { data, shape }]) => [name, toArray(data, shape, 'wasm')]));
  const arrays = [toArray(images, [BATCH, 784], 'wasm'), toArray(noise, [BATCH, LATENT], 'wasm')] as const;
  const network = convNetwork({ size: 28, widths: WIDTHS, latent: LATENT });
  const [total, expected] = valueAndGrad(vaeLoss(network))(p, ...arrays);
  const [nats] = await total.data();
  expect(Math.abs(actual.loss![0]! / nats! - 1), `loss, seed ${seed}`).toBeLessThan(1e-5);
  for (const name of names) {
    const wanted = await (expected as typeof p)[name]!.data();
    const square = (values: Iterable<number>) => [...values].reduce((sum, x) => sum + x * x, 0);
    const difference = square(actual[name]!.map((x, i) => x - wanted[i]!));
    expect(Math.sqrt(difference / square(wanted)), `gradient of ${name}, seed ${seed}`).toBeLessThan(1e-4);
  }
});

test('its step needs little more memory than what is alive at once', async () => {
  const { vae, loss: value } = build(64);
  const adam = new Adam(new Parameters(vae));
  using program = await compile(await sharedGpu(), adam.minimize(value));
  expect(program.memory.peakBytes).toBeLessThan(1.25 * program.memory.lowerBoundBytes);
});

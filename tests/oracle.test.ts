// The whole VAE against an independent engine: loss and every gradient, for the same weights, images and noise.
import { valueAndGrad } from '@jax-js/jax';
import { expect, test } from 'vitest';
import { startJax, toArray, vaeLoss } from '../src/bench/jax.ts';
import { mlpNetwork } from '../src/bench/network.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { VAE } from '../src/models/vae.ts';
import { Parameters } from '../src/nn/module.ts';
import { mean } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import type { Tensor } from '../src/ops/tensor.ts';
import { evaluate } from '../src/runtime/compile.ts';
import { readVariable } from '../src/runtime/variables.ts';
import { randomFrom, randomValues, sharedGpu } from './numbers.ts';

/** Euclidean norm of the difference, relative to that of what was expected. */
function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return actual.length === expected.length ? Math.sqrt(difference / norm) : Number.POSITIVE_INFINITY;
}

test.each([
  { batch: 128, pixels: 784, hidden: 400, latent: 20 },
  { batch: 7, pixels: 50, hidden: 33, latent: 3 },
])('loss and gradients agree with jax-js: $batch × $pixels, $hidden, $latent', async (sizes) => {
  const { batch, pixels, hidden, latent } = sizes;
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const gpu = await sharedGpu();
  const random = randomFrom(seed);
  const images = randomValues({ shape: [batch, pixels], min: 0, max: 1 }, random) as Float32Array;
  const noise = randomValues({ shape: [batch, latent], min: -2, max: 2 }, random) as Float32Array;

  const vae = new VAE({ pixels, hidden, latent });
  const parameters = new Parameters(vae, seed);
  const loss = mean(vae.elbo(input('images', [batch, pixels]), input('noise', [batch, latent])).loss);
  const names = [...parameters.named.keys()];
  const wrt = gradients(
    loss,
    [...parameters.named.values()].map(({ tensor }) => tensor),
  );
  const outputs: Record<string, Tensor> = { loss, ...Object.fromEntries(names.map((name, i) => [name, wrt[i]!])) };
  const actual = await evaluate(gpu, outputs, { images, noise });

  await startJax('wasm');
  const weights = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
  const p = Object.fromEntries([...weights].map(([name, { data, shape }]) => [name, toArray(data, shape, 'wasm')]));
  const x = toArray(images, [batch, pixels], 'wasm');
  const network = mlpNetwork({ pixels, hidden: [hidden], latent });
  const [value, expected] = valueAndGrad(vaeLoss(network))(p, x, toArray(noise, [batch, latent], 'wasm'));

  expect(relativeError(actual.loss!, await value.data()), `loss, seed ${seed}`).toBeLessThan(1e-4);
  for (const name of names) {
    const gradient = await (expected as typeof p)[name]!.data();
    expect(relativeError(actual[name]!, gradient), `gradient of ${name}, seed ${seed}`).toBeLessThan(1e-4);
  }
});

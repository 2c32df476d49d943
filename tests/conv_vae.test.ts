// The convolutional VAE against an independent engine: loss and every gradient, for the same weights, images and noise.
import { lax, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { expect, test } from 'vitest';
import { startJax, toArray } from '../demos/bench/jax.ts';
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

type Arrays = Record<string, np.Array>;

const BATCH = 8;
const LATENT = 6;

/** Negative ELBO, nats per image; parameters under Glia's names. Consumes what it is given. */
function loss(p: Arrays, x: np.Array, noise: np.Array): np.Array {
  const weight = (name: string) => p[`${name}.weight`]!.ref;
  const biased = (y: np.Array, name: string) => y.add(np.reshape(p[`${name}.bias`]!.ref, [1, -1, 1, 1]));
  const linear = (y: np.Array, name: string) => np.matmul(y, np.transpose(weight(name))).add(p[`${name}.bias`]!.ref);
  const down = (y: np.Array, name: string) =>
    nn.relu(
      biased(
        lax.convGeneralDilated(
          y,
          weight(name),
          [2, 2],
          [
            [1, 1],
            [1, 1],
          ],
        ),
        name,
      ),
    );
  const up = (y: np.Array, name: string) => {
    const flipped = np.flip(np.transpose(weight(name), [1, 0, 2, 3]), [2, 3]);
    const dilated = { lhsDilation: [2, 2] };
    return biased(
      lax.convGeneralDilated(
        y,
        flipped,
        [1, 1],
        [
          [1, 2],
          [1, 2],
        ],
        dilated,
      ),
      name,
    );
  };
  const images = np.reshape(x.ref, [BATCH, 1, 28, 28]);
  const code = linear(np.reshape(down(down(images, 'encoder.1'), 'encoder.3'), [BATCH, -1]), 'encoder.6');
  const center = code.ref.slice([], [0, LATENT]);
  const logvar = code.slice([], [LATENT]);
  const z = center.ref.add(np.exp(logvar.ref.mul(0.5)).mul(noise));
  const start = np.reshape(nn.relu(linear(z, 'decoder.0')), [BATCH, 64, 7, 7]);
  const logits = np.reshape(up(nn.relu(up(start, 'decoder.3')), 'decoder.5'), [BATCH, 784]);
  const reconstruction = nn.softplus(logits.ref).sub(logits.mul(x)).sum();
  const kl = np.square(center).add(np.exp(logvar.ref)).sub(logvar).sub(1).sum().mul(0.5);
  tree.dispose(p);
  return reconstruction.add(kl).mul(1 / BATCH);
}

function build(batch: number) {
  const shape = { height: 28, width: 28, channels: 1 };
  const vae = new VAE({
    pixels: 784,
    latent: LATENT,
    networks: convNetworks({ shape, latent: LATENT, codes: 2 * LATENT }),
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
  const [total, expected] = valueAndGrad(loss)(p, ...arrays) as [np.Array, Arrays];
  const [nats] = await total.data();
  expect(Math.abs(actual.loss![0]! / nats! - 1), `loss, seed ${seed}`).toBeLessThan(1e-5);
  for (const name of names) {
    const wanted = await expected[name]!.data();
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

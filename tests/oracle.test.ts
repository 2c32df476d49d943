// Whole models against an independent engine, jax-js: loss and every gradient, for the same weights and data.
import { type numpy as np, valueAndGrad } from '@jax-js/jax';
import { expect, test } from 'vitest';
import { gptOf } from '../src/bench/gpt/glia.ts';
import { gptLoss } from '../src/bench/gpt/jax.ts';
import { gptTask } from '../src/bench/gpt/task.ts';
import { vaeLoss } from '../src/bench/jax.ts';
import { type Arrays, type Loss, startJax, toArray, toArrays, toIntegers } from '../src/bench/jax_training.ts';
import { mlpNetwork } from '../src/bench/network.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { TextVAE } from '../src/models/text_vae.ts';
import { VAE } from '../src/models/vae.ts';
import { type Module, Parameters } from '../src/nn/module.ts';
import { inEvaluation } from '../src/nn/training.ts';
import { gaussianKl } from '../src/ops/composite.ts';
import { add } from '../src/ops/elementwise.ts';
import { mean, sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import type { Tensor } from '../src/ops/tensor.ts';
import { evaluate } from '../src/runtime/compile.ts';
import { readVariable } from '../src/runtime/variables.ts';
import { randomFrom, randomValues, sharedGpu } from './numbers.ts';
import { sampled } from './sampled.ts';
import { textVaeLoss } from './text_vae_jax.ts';

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

interface Case {
  readonly model: Module;
  readonly loss: Tensor;
  readonly inputs: Record<string, Float32Array | Uint32Array>;
  readonly theirs: Loss;
  readonly batch: () => np.Array[];
}

async function compare({ model, loss, inputs, theirs, batch }: Case, seed: number): Promise<void> {
  const gpu = await sharedGpu();
  const parameters = new Parameters(model, seed);
  const names = [...parameters.named.keys()];
  const wrt = gradients(
    loss,
    [...parameters.named.values()].map(({ tensor }) => tensor),
  );
  const outputs: Record<string, Tensor> = { loss, ...Object.fromEntries(names.map((name, i) => [name, wrt[i]!])) };
  const actual = await evaluate(gpu, outputs, inputs);

  await startJax('wasm');
  const weights = parameters.split((await readVariable(gpu, parameters.flat)) as Float32Array);
  const p = toArrays(weights, 'wasm');
  const [value, expected] = valueAndGrad(theirs)(p, ...batch()) as [np.Array, Arrays];
  expect(relativeError(actual.loss!, await value.data()), `loss, seed ${seed}`).toBeLessThan(1e-4);
  for (const name of names) {
    const gradient = await expected[name]!.data();
    expect(relativeError(actual[name]!, gradient), `gradient of ${name}, seed ${seed}`).toBeLessThan(1e-4);
  }
}

const drawnSeed = () => 1 + Math.floor(Math.random() * 2 ** 31);

const SIZES = [
  { batch: 128, pixels: 784, hidden: 400, latent: 20 },
  { batch: 7, pixels: 50, hidden: 33, latent: 3 },
];

test.each(sampled(SIZES, 1))(
  'loss and gradients of a VAE agree with jax-js: $batch × $pixels, $hidden, $latent',
  async (sizes) => {
    const { batch, pixels, hidden, latent } = sizes;
    const seed = drawnSeed();
    const random = randomFrom(seed);
    const images = randomValues({ shape: [batch, pixels], min: 0, max: 1 }, random) as Float32Array;
    const noise = randomValues({ shape: [batch, latent], min: -2, max: 2 }, random) as Float32Array;
    const model = new VAE({ pixels, hidden, latent });
    const loss = mean(model.elbo(input('images', [batch, pixels]), input('noise', [batch, latent])).loss);
    const theirs = vaeLoss(mlpNetwork({ pixels, hidden: [hidden], latent }));
    const arrays = () => [toArray(images, [batch, pixels], 'wasm'), toArray(noise, [batch, latent], 'wasm')];
    await compare({ model, loss, inputs: { images, noise }, theirs, batch: arrays }, seed);
  },
);

test('loss and gradients of a gpt agree with jax-js', async () => {
  const seed = drawnSeed();
  const sizes = { vocabulary: 13, context: 9, layers: 1, heads: 2, width: 16 };
  const shape = [3, sizes.context + 1];
  const optimizer = { lr: 0, beta2: 0, weightDecay: 0, maxNorm: 1 };
  // Its weights are so large that every part of the model shows in the loss.
  const task = gptTask({ sizes, batch: 3, optimizer }, randomFrom(seed));
  const model = gptOf(task);
  const loss = mean(model.loss(input('tokens', shape, 'u32')));
  const inputs = { tokens: Uint32Array.from(task.batches[0]) };
  const batch = () => [toIntegers(task.batches[0], shape, 'wasm')];
  await compare({ model, loss, inputs, theirs: gptLoss(sizes), batch }, seed);
});

test('loss and gradients of a text VAE agree with jax-js', async () => {
  const seed = drawnSeed();
  const random = randomFrom(seed);
  const [count, length] = [3, 5];
  const sizes = { vocabulary: 9, width: 6, hidden: 8, latent: 3 };
  const { vocabulary: end, latent } = sizes;
  const rows = Array.from({ length: count }, (_, i) =>
    Array.from({ length }, (_, t) => (t < i + 2 ? Math.floor(end * random()) : end)),
  );
  const shape = [count, length];
  const tokens = Uint32Array.from(rows.flat());
  const noise = randomValues({ shape: [count, latent], min: -2, max: 2 }, random) as Float32Array;
  const model = new TextVAE(sizes);
  const loss = inEvaluation(() => {
    const sentences = input('tokens', shape, 'u32');
    const posterior = model.encode(sentences);
    const z = model.reparameterize(posterior, input('noise', [count, latent]));
    const kl = sum(gaussianKl(posterior.mean, posterior.logvar), { axis: 1 });
    return mean(add(model.negativeLogLikelihood(sentences, z), kl));
  });
  const told = rows.flatMap((row) => [end, ...row.slice(0, -1)]);
  // Each token, and the end behind the last.
  const counted = Float32Array.from(rows.flatMap((row) => row.map((_, t) => (t === 0 || row[t - 1] !== end ? 1 : 0))));
  const batch = () => [
    ...[rows.flat(), told].map((of) => toIntegers(Int32Array.from(of), shape, 'wasm')),
    ...[toArray(counted, shape, 'wasm'), toArray(noise, [count, latent], 'wasm')],
  ];
  await compare({ model, loss, inputs: { tokens, noise }, theirs: textVaeLoss(sizes), batch }, seed);
});

// Convolutions against an independent engine: forward, and both gradients, of which one is the transposed convolution.
import { lax, numpy as np, valueAndGrad } from '@jax-js/jax';
import { expect, test } from 'vitest';
import { startJax, toArray } from '../src/bench/jax_training.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { conv2d, convTranspose2d } from '../src/ops/conv.ts';
import { mul } from '../src/ops/elementwise.ts';
import { sum } from '../src/ops/reduce.ts';
import { input } from '../src/ops/source.ts';
import { evaluate } from '../src/runtime/compile.ts';
import { errorOf, randomFrom, randomValues, sharedGpu } from './numbers.ts';

const CASES = [
  { images: [4, 1, 28, 28], weight: [32, 1, 3, 3], stride: 2, padding: 1 },
  { images: [4, 32, 14, 14], weight: [64, 32, 3, 3], stride: 2, padding: 1 },
  { images: [2, 3, 17, 15], weight: [5, 3, 5, 4], stride: 3, padding: 2 },
  { images: [2, 8, 9, 12], weight: [12, 8, 3, 3], stride: 1, padding: 2, dilation: 2 },
  { images: [2, 6, 10, 8], weight: [8, 3, 3, 3], stride: 1, padding: 1, groups: 2 },
  { images: [2, 4, 8, 8], weight: [4, 4, 1, 1], stride: 1, padding: 0 },
];

test.each(CASES)('agrees with jax-js: $images by $weight', async (given) => {
  const { images, weight, stride, padding, dilation = 1, groups = 1 } = given;
  const options = { stride, padding, dilation, groups };
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const random = randomFrom(seed);
  const [x, w] = [input('x', images), input('w', weight)];
  const y = conv2d(x, w, options);
  const g = input('g', y.shape);
  const size = (axis: number) => (y.shape[axis]! - 1) * stride - 2 * padding + dilation * (weight[axis]! - 1) + 1;
  const outputPadding = [images[2]! - size(2), images[3]! - size(3)] as const;
  const back = convTranspose2d(g, w, { ...options, outputPadding });
  const [dx, dw] = gradients(sum(mul(y, g)), [x, w]) as [typeof x, typeof w];
  const values = {
    x: randomValues({ shape: images }, random) as Float32Array,
    w: randomValues({ shape: weight }, random) as Float32Array,
    g: randomValues({ shape: y.shape }, random) as Float32Array,
  };
  const actual = await evaluate(await sharedGpu(), { y, back, dx, dw }, values);

  await startJax('wasm');
  const array = (data: Float32Array, shape: readonly number[]) => toArray(data, shape, 'wasm');
  const pads: [number, number][] = [
    [padding, padding],
    [padding, padding],
  ];
  const convolve = (a: np.Array, b: np.Array) =>
    lax.convGeneralDilated(a, b, [stride, stride], pads, {
      rhsDilation: [dilation, dilation],
      featureGroupCount: groups,
    });
  const forward = convolve(array(values.x, images), array(values.w, weight));
  const loss = (p: { x: np.Array; w: np.Array }, cotangent: np.Array) => np.sum(convolve(p.x, p.w).mul(cotangent));
  const [total, expected] = valueAndGrad(loss)(
    { x: array(values.x, images), w: array(values.w, weight) },
    array(values.g, y.shape),
  ) as [np.Array, { x: np.Array; w: np.Array }];
  total.dispose();
  expect(errorOf(actual.y, await forward.data()), `forward, seed ${seed}`).toBeLessThan(2e-5);
  const pixels = await expected.x.data();
  expect(errorOf(actual.dx, pixels), `gradient of the images, seed ${seed}`).toBeLessThan(5e-5);
  expect(errorOf(actual.back, pixels), `transposed convolution, seed ${seed}`).toBeLessThan(5e-5);
  expect(errorOf(actual.dw, await expected.w.data()), `gradient of the weight, seed ${seed}`).toBeLessThan(5e-5);
});

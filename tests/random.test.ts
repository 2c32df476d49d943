// What random numbers promise beyond their bits: distributions, independence of streams, and a shuffle that is one.
import { expect, test } from 'vitest';
import { bernoulli, normal, permutation, randomKey, uniform } from '../src/ops/random.ts';
import { constant, input, iota } from '../src/ops/source.ts';
import { broadcastTo } from '../src/ops/view.ts';
import { evaluate } from '../src/runtime/compile.ts';
import { sharedGpu } from './numbers.ts';

const COUNT = 40_000;
const SEED = 1 + Math.floor(Math.random() * 2 ** 31);
const key = (stream = 1, counter = 5) => randomKey(SEED, constant(counter, 'u32'), stream);

function moments(values: ArrayLike<number>) {
  const all = Array.from(values);
  const mean = all.reduce((a, b) => a + b, 0) / all.length;
  return { mean, variance: all.reduce((a, b) => a + (b - mean) ** 2, 0) / all.length };
}

function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [ma, mb] = [moments(a), moments(b)];
  const covariance = Array.from(a).reduce((sum, x, i) => sum + (x - ma.mean) * (b[i]! - mb.mean), 0) / a.length;
  return covariance / Math.sqrt(ma.variance * mb.variance);
}

/** Five standard errors: one run in a million fails by chance. */
const slack = (standardDeviation: number) => (5 * standardDeviation) / Math.sqrt(COUNT);

test(`uniform, normal and Bernoulli numbers are distributed as they should be, seed ${SEED}`, async () => {
  const gpu = await sharedGpu();
  const p = broadcastTo(constant(0.3), [COUNT]);
  const { u, n, b } = await evaluate(gpu, {
    u: uniform([COUNT], key()),
    n: normal([COUNT], key()),
    b: bernoulli(p, key()),
  });
  expect(Math.abs(moments(u).mean - 0.5)).toBeLessThan(slack(Math.sqrt(1 / 12)));
  expect(Math.min(...u)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...u)).toBeLessThan(1);
  expect(Math.abs(moments(n).mean)).toBeLessThan(slack(1));
  expect(Math.abs(moments(n).variance - 1)).toBeLessThan(slack(Math.SQRT2));
  const beyond = Array.from(n).filter((x) => Math.abs(x) > 1.959964).length / COUNT;
  expect(Math.abs(beyond - 0.05)).toBeLessThan(slack(Math.sqrt(0.05 * 0.95)));
  expect(new Set(b)).toEqual(new Set([0, 1]));
  expect(Math.abs(moments(b).mean - 0.3)).toBeLessThan(slack(Math.sqrt(0.21)));
});

test('streams and counters are independent, and the same ones agree', async () => {
  const gpu = await sharedGpu();
  const { a, same, stream, step } = await evaluate(gpu, {
    a: normal([COUNT], key(1, 5)),
    same: normal([COUNT], key(1, 5)),
    stream: normal([COUNT], key(2, 5)),
    step: normal([COUNT], key(1, 6)),
  });
  expect(same).toEqual(a);
  for (const other of [stream, step]) expect(Math.abs(correlation(a, other))).toBeLessThan(slack(1));
});

test.each([1, 2, 100, 1001])('a shuffle of %i takes each once, and every epoch another way', async (count) => {
  const gpu = await sharedGpu();
  const epoch = (e: number) => broadcastTo(constant(e, 'u32'), [count]);
  const words = input('key', [2], 'u32');
  const shuffle = (e: number) => permutation(iota([count], 0, 'u32'), epoch(e), words, count);
  const { first, second } = await evaluate(
    gpu,
    { first: shuffle(0), second: shuffle(1) },
    { key: Uint32Array.of(SEED, 9) },
  );
  const all = Array.from({ length: count }, (_, i) => i);
  for (const order of [first, second]) expect(Array.from(order).sort((a, b) => a - b)).toEqual(all);
  if (count >= 100) {
    expect(second).not.toEqual(first);
    expect(Math.abs(correlation(first, all))).toBeLessThan(5 / Math.sqrt(count));
  }
});

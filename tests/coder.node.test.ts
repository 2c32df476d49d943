// The entropy coder: it comes back, takes what the entropy says, and is exact at the edges; and functions without Math.exp.
import { describe, expect, test } from 'vitest';
import { batchCode, batchSize, MOST_IN_BATCH } from '../src/coder/bits_back.ts';
import {
  evenQuantiles,
  exp,
  log,
  monotoneTable,
  normalCdf,
  normalQuantile,
  sigmoid,
  tanh,
} from '../src/coder/exact_math.ts';
import { BinnedNormal, fineBins } from '../src/coder/latent_bins.ts';
import { AnsStack, LOWEST, MAX_PRECISION } from '../src/coder/rans.ts';
import { DataError } from '../src/errors.ts';
import { erfReference } from '../src/ops/erf.ts';
import { randomFrom } from './numbers.ts';

/** Starts and frequencies of weights, which sum to 2^precision. */
function table(weights: readonly number[], precision: number) {
  const total = weights.reduce((a, b) => a + b, 0);
  const room = 2 ** precision - weights.length;
  let sum = 0;
  const ends = weights.map((weight, i) => Math.floor((room * (sum += weight)) / total) + i + 1);
  ends[ends.length - 1] = 2 ** precision;
  return ends.map((end, i) => ({ start: ends[i - 1] ?? 0, frequency: end - (ends[i - 1] ?? 0) }));
}

/** To fractions of a bit: words, and what the states hold. */
const bitsOf = ({ length, lanes }: AnsStack) => 16 * length + lanes.reduce((sum, x) => sum + Math.log2(x), 0);

const medianOf = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

describe('a normal distribution over bins', () => {
  test.each([0, 1.7, -3.2])('finds the number that it means, as surely as it is, at %f', (mean) => {
    const bins = fineBins();
    const normal = new BinnedNormal(bins);
    for (const logvar of [0, -4, -9]) {
      normal.set(Math.round(1024 * mean), 1024 * logvar);
      const stack = new AnsStack();
      const values: number[] = [];
      for (let i = 0; i < 4000; i++) values.push(bins.medianOf(normal.pop(stack)) / bins.steps);
      // By medians: each bin has a slot, so that one number in 2¹⁶ is any other.
      const middle = medianOf(values);
      const deviation = medianOf(values.map((value) => Math.abs(value - middle))) / 0.6745;
      expect(Math.abs(middle - mean)).toBeLessThan(0.08 * Math.exp(logvar / 2) + 0.005);
      expect(Math.abs(deviation / Math.exp(logvar / 2) - 1)).toBeLessThan(0.12);
    }
  });

  test('weighs what is said with the prior of the bins, as the product of both densities', () => {
    const bins = fineBins();
    const [product, whole] = [new BinnedNormal(bins), new BinnedNormal(bins)];
    // Variances 1/4 and 1/2, means 0.5 and −1: the product has the variance 1/6 and the mean 0; in the prior's units, 1/3 and √2.
    product.weigh(512, 1024 * Math.log(1 / 4), -1024, 1024 * Math.log(1 / 2));
    whole.set(1024 * Math.SQRT2, 1024 * Math.log(1 / 3));
    const [first, second] = [new AnsStack(), new AnsStack()];
    for (let i = 0; i < 200; i++) {
      const [a, b] = [product.pop(first), whole.pop(second)].map(bins.medianOf);
      expect(Math.abs(a! - b!) / bins.steps).toBeLessThan(0.003);
    }
  });
});

test('a batch is as large as it may be, to within two images, and a byte tells how large', () => {
  for (let most = 1; most <= 600; most++) {
    const code = batchCode(most);
    expect(code >= 0 && code < 256 && Number.isInteger(code)).toBe(true);
    const size = batchSize(code);
    expect(batchCode(size)).toBe(code);
    expect(size).toBeLessThanOrEqual(Math.min(most, MOST_IN_BATCH));
    expect(size).toBeGreaterThan(Math.min(most, MOST_IN_BATCH) - 3);
  }
});

describe('the stack', () => {
  test('comes back symbol by symbol, for any distribution, precision and number of lanes', () => {
    const seed = TEST_SEED;
    const random = randomFrom(seed);
    for (let round = 0; round < 40; round++) {
      const precision = 1 + Math.floor(random() * MAX_PRECISION);
      const size = Math.min(2 ** precision, 1 + Math.floor(random() * 40));
      const symbols = table(
        Array.from({ length: size }, () => random() ** 8 + 1e-9),
        precision,
      );
      let stack = new AnsStack(1 + Math.floor(random() * 9));
      const sent = Array.from({ length: 500 }, () => Math.floor(random() * size));
      for (const i of sent) stack.push(symbols[i]!.start, symbols[i]!.frequency, precision);
      expect(Math.min(...stack.lanes), `seed ${seed}`).toBeGreaterThanOrEqual(LOWEST);
      expect(Math.max(...stack.lanes), `seed ${seed}`).toBeLessThan(LOWEST * 2 ** 16);
      stack = AnsStack.decode(stack.encode());
      for (const i of sent.reverse()) {
        const slot = stack.peek(precision);
        const { start, frequency } = symbols[i]!;
        expect(slot >= start && slot < start + frequency, `seed ${seed}`).toBe(true);
        stack.drop(start, frequency, precision);
      }
      expect(stack.isFirst).toBe(true);
    }
  });

  const sources: readonly [string, readonly number[], number][] = [
    ['a fair coin', [1, 1], 16],
    ['a coin of 1 %', [99, 1], 16],
    ['a geometric source', Array.from({ length: 30 }, (_, i) => 0.7 ** i), 16],
    ['a uniform byte', Array(256).fill(1), 16],
    ['a wide source in 24 bits', Array.from({ length: 4096 }, (_, i) => Math.exp(-(((i - 2000) / 90) ** 2))), 24],
  ];
  // Their weights are not for the test's name.
  test.each(sources.map(([name]) => name))('takes the entropy of %s, to a thousandth', (name) => {
    const [, weights, precision] = sources.find(([one]) => one === name)!;
    const symbols = table([...weights], precision);
    const random = randomFrom(11);
    const stack = new AnsStack(4);
    const before = bitsOf(stack);
    const total = weights.reduce((a, b) => a + b, 0);
    const ends: number[] = [];
    for (const weight of weights) ends.push((ends.at(-1) ?? 0) + weight);
    let information = 0;
    const count = 300_000;
    for (let i = 0; i < count; i++) {
      const u = random() * total;
      let [low, high] = [0, ends.length - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (ends[middle]! > u) high = middle;
        else low = middle + 1;
      }
      information -= Math.log2(weights[low]! / total);
      stack.push(symbols[low]!.start, symbols[low]!.frequency, precision);
    }
    const took = bitsOf(stack) - before;
    expect(Math.abs(took / information - 1)).toBeLessThan(1e-3);
  });

  test('whoever pops what was never pushed gets it back by pushing: bits back', () => {
    const symbols = table([5, 1, 3, 7, 0.01], 20);
    const stack = new AnsStack(3);
    const seen = Array.from({ length: 2000 }, () => {
      const slot = stack.peek(20);
      const symbol = symbols.find(({ start, frequency }) => slot >= start && slot < start + frequency)!;
      stack.drop(symbol.start, symbol.frequency, 20);
      return symbol;
    });
    // What lies below the bottom is random: all symbols come, as often as they should.
    expect(seen.filter((symbol) => symbol === symbols[3]).length / 2000).toBeCloseTo(7 / 16.01, 1);
    const again = AnsStack.decode(stack.encode());
    for (const { start, frequency } of seen.reverse()) again.push(start, frequency, 20);
    expect(again.isFirst).toBe(true);
    again.push(0, 1, 1);
    expect(again.isFirst).toBe(false);
  });

  test('what is no stack is refused', () => {
    const bytes = new AnsStack(2).encode();
    for (const damaged of [bytes.subarray(0, 5), new Uint8Array(0), Uint8Array.of(...bytes, 1), new Uint8Array(14)]) {
      expect(() => AnsStack.decode(damaged)).toThrow(DataError);
    }
  });
});

describe('functions of + − × ÷', () => {
  const points = Array.from({ length: 2001 }, (_, i) => (i - 1000) / 50);

  test('are what they are called', () => {
    for (const x of points) {
      expect(exp(x) / Math.exp(x)).toBeCloseTo(1, 13);
      expect(tanh(x)).toBeCloseTo(Math.tanh(x), 14);
      expect(sigmoid(x)).toBeCloseTo(1 / (1 + Math.exp(-x)), 14);
      expect(normalCdf(x)).toBeCloseTo(0.5 * (1 + erfReference(x * Math.SQRT1_2)), 6);
      if (x > 0) expect(log(x)).toBeCloseTo(Math.log(x), 12);
    }
    for (const p of [1e-6, 0.01, 0.3, 0.5, 0.9]) expect(normalCdf(normalQuantile(p))).toBeCloseTo(p, 12);
    // From tables of the normal distribution.
    expect(normalCdf(1)).toBeCloseTo(0.841344746068543, 14);
    expect(normalCdf(-3)).toBeCloseTo(0.00134989803163, 14);
  });

  test('quantiles at even steps are those by bisection', () => {
    const count = 2 ** 12;
    const quantiles = evenQuantiles(count);
    for (let i = 1; i < count; i += 37) expect(quantiles[i]).toBeCloseTo(normalQuantile(i / count), 12);
    for (const i of [1, 2, count - 1]) expect(quantiles[i]).toBeCloseTo(normalQuantile(i / count), 11);
    expect([quantiles[0], quantiles[count / 2], quantiles[count]]).toEqual([-Infinity, 0, Infinity]);
  });

  test('a table never falls, whatever it is made of', () => {
    const random = randomFrom(TEST_SEED);
    const f = monotoneTable(normalCdf, -8, 8, 64);
    let before = 0;
    let x = -9;
    while (x < 9) {
      const y = f(x);
      expect(y).toBeGreaterThanOrEqual(before);
      before = y;
      x += random() * (random() < 0.5 ? 1e-13 : 0.003);
    }
    expect(f(-9)).toBe(normalCdf(-8));
    expect(f(9)).toBeCloseTo(1, 14);
  });
});

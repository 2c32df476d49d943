// What bytes are to a decoder: probabilities that sum to 1, gradients, and values at 0 and 255 and far in the tails, on lavapipe.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { BetaBinomialCoder, CategoricalCoder } from '../src/coder/byte_coders.ts';
import { LogisticCoder } from '../src/coder/distributions.ts';
import { AnsStack } from '../src/coder/rans.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { gradients } from '../src/graph/autodiff.ts';
import { OBSERVATIONS } from '../src/models/observation.ts';
import {
  betaBinomialNll,
  betaBinomialNllOp,
  betaBinomialNllReference,
  digammaDifferenceOp,
  logGammaRatioOp,
} from '../src/ops/beta_binomial.ts';
import {
  categoricalNllOp,
  discretizedLogisticNll,
  discretizedLogisticNllOp,
  logisticMixtureNll,
  logisticMixtureNllOp,
  logisticNllReference,
} from '../src/ops/observation.ts';
import { sum } from '../src/ops/reduce.ts';
import { input, tensor } from '../src/ops/source.ts';
import { toU32Op } from '../src/ops/to_u32.ts';
import { evaluate } from '../src/runtime/compile.ts';
import { checkOp } from '../src/testing/check_op.ts';

const BYTES = Float32Array.from({ length: 256 }, (_, i) => i);
const PAIRS = [
  [127.5, 3],
  [0, 0],
  [255, -1],
  [254.3, 2],
  [-400, 4],
  [900, 1],
  [100.2, -9],
  [30, 12],
] as const;

const missing = inject('withoutLavapipe');

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

test('the probabilities of the 256 bytes sum to 1, to 1e-6', () => {
  for (const [mean, scale] of PAIRS) {
    const total = BYTES.reduce((sum, byte) => sum + Math.exp(-logisticNllReference(mean, scale, byte)), 0);
    expect(Math.abs(total - 1)).toBeLessThan(1e-6);
  }
});

test('a byte takes the bits that its likelihood says, and comes back', () => {
  for (const [mean, scale] of PAIRS.slice(0, 4)) {
    const coder = new LogisticCoder(1, 1, false);
    const row = Float32Array.of(Math.round(((mean - 127.5) / 127.5) * 1024), Math.round((scale - 2.5) * 1024));
    const stack = new AnsStack(1);
    const size = () => 16 * stack.length + Math.log2(stack.lanes[0]!);
    const sent = [0, 255, 254, 1, 100, 128, Math.round(mean)].filter(
      (byte) => logisticNllReference(mean, scale, byte) < 9,
    );
    const before = size();
    for (const byte of sent) coder.push(stack, row, 0, 0, byte);
    const nats = sent.reduce((total, byte) => total + logisticNllReference(mean, scale, byte), 0);
    expect(Math.abs((size() - before) * Math.LN2 - nats)).toBeLessThan(0.1);
    for (const byte of sent.reverse()) expect(coder.pop(stack, row, 0, 0)).toBe(byte);
    expect(stack.isFirst).toBe(true);
  }
});

/** α and β, from both ends to the middle, sure and unsure. */
const SHAPES = [
  [1, 1],
  [0.001, 0.002],
  [0.3, 40],
  [900, 2.5],
  [8000, 8000],
  [7.9, 8.1],
  [1e-3, 5000],
] as const;

test('the probabilities of the 256 bytes under a beta-binomial distribution sum to 1, to 1e-6', () => {
  for (const [alpha, beta] of SHAPES) {
    const total = BYTES.reduce((sum, byte) => sum + Math.exp(-betaBinomialNllReference(alpha, beta, byte)), 0);
    expect(Math.abs(total - 1), `${alpha}, ${beta}`).toBeLessThan(1e-6);
  }
  // Of α = β = 1, all are as likely; and what is known of it: mean and variance.
  expect(betaBinomialNllReference(1, 1, 77)).toBeCloseTo(Math.log(256), 12);
  const [alpha, beta] = [3, 5];
  const chance = (byte: number) => Math.exp(-betaBinomialNllReference(alpha, beta, byte));
  const mean = BYTES.reduce((sum, byte) => sum + byte * chance(byte), 0);
  const variance = BYTES.reduce((sum, byte) => sum + (byte - mean) ** 2 * chance(byte), 0);
  expect(mean).toBeCloseTo((255 * 3) / 8, 9);
  expect(variance).toBeCloseTo((255 * 15 * (8 + 255)) / (64 * 9), 7);
});

test.each([
  ['beta-binomial', BetaBinomialCoder, SHAPES.map((pair) => pair.map((x) => Math.round(1024 * Math.log(x))))],
  ['categorical', CategoricalCoder, [0, 1, 2].map((k) => [...BYTES].map((b) => Math.round(2048 * Math.sin(b * k))))],
] as const)('a byte under %s takes the bits that its likelihood says, and comes back', (name, Coder, rows) => {
  for (const integers of rows) {
    const nllOf = (byte: number) => {
      const real = integers.map((x) => x / 1024);
      if (name === 'beta-binomial') return betaBinomialNllReference(Math.exp(real[0]!), Math.exp(real[1]!), byte);
      return Math.log(real.reduce((total, x) => total + Math.exp(x), 0)) - real[byte]!;
    };
    const coder = new Coder(1);
    const row = Float32Array.from(integers);
    const stack = new AnsStack(1);
    const size = () => 16 * stack.length + Math.log2(stack.lanes[0]!);
    const sent = [...BYTES].filter((byte) => nllOf(byte) < 8);
    expect(sent.length).toBeGreaterThan(0);
    const before = size();
    for (const byte of sent) coder.push(stack, row, 0, 0, byte);
    const nats = sent.reduce((total, byte) => total + nllOf(byte), 0);
    expect(Math.abs((size() - before) * Math.LN2 - nats)).toBeLessThan(0.002 * nats + 0.1);
    for (const byte of sent.reverse()) expect(coder.pop(stack, row, 0, 0)).toBe(byte);
    expect(stack.isFirst).toBe(true);
  }
});

describe.skipIf(missing)('on lavapipe', () => {
  let gpu: Gpu;

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  });
  afterAll(() => gpu?.destroy());

  test.each([
    ...[discretizedLogisticNllOp, logisticMixtureNllOp, toU32Op],
    ...[categoricalNllOp, logGammaRatioOp, digammaDifferenceOp, betaBinomialNllOp],
  ])('$name is its reference, and its gradient the slope', async (op) => {
    await checkOp(gpu, op);
  });

  test('all 256 bytes have the probability of the reference, in f32, and sum to 1', async () => {
    const count = PAIRS.length;
    const wide = (k: 0 | 1) => Float32Array.from({ length: 256 * count }, (_, i) => PAIRS[Math.floor(i / 256)]![k]);
    const mean = input('mean', [count, 256]);
    const scale = input('scale', [count, 256]);
    const value = tensor(
      Float32Array.from({ length: 256 * count }, (_, i) => i % 256),
      [count, 256],
    );
    const nll = discretizedLogisticNll(mean, scale, value);
    const [dMean, dScale] = gradients(sum(nll), [mean, scale]);
    const stacked = [mean, scale].map((x) => input(`${x === mean ? 'means' : 'scales'}`, [2, count, 256]));
    const mixed = logisticMixtureNll(input('logits', [2, count, 256]), stacked[0]!, stacked[1]!, value);
    const twice = (x: Float32Array) => Float32Array.of(...x, ...x);
    const out = await evaluate(
      gpu,
      { nll, dMean: dMean!, dScale: dScale!, mixed },
      {
        ...{ mean: wide(0), scale: wide(1), means: twice(wide(0)), scales: twice(wide(1)) },
        logits: new Float32Array(512 * count).map((_, i) => (i < 256 * count ? 1 : -1)),
      },
    );
    PAIRS.forEach(([m, s], row) => {
      let total = 0;
      for (let byte = 0; byte < 256; byte++) {
        const wanted = logisticNllReference(m, s, byte);
        const at = 256 * row + byte;
        expect(Math.abs(out.nll[at]! - wanted) / (1 + wanted)).toBeLessThan(1e-4);
        // A mixture of the same is the same.
        expect(Math.abs(out.mixed[at]! - wanted) / (1 + wanted)).toBeLessThan(1e-4);
        expect(Number.isFinite(out.dMean[at]!) && Number.isFinite(out.dScale[at]!)).toBe(true);
        total += Math.exp(-out.nll[at]!);
      }
      expect(Math.abs(total - 1)).toBeLessThan(1e-3);
    });
  });

  test('all 256 bytes have the probability of the beta-binomial reference, in f32, and sum to 1', async () => {
    const count = SHAPES.length;
    const wide = (k: 0 | 1) => Float32Array.from({ length: 256 * count }, (_, i) => SHAPES[Math.floor(i / 256)]![k]);
    const [alpha, beta] = [input('alpha', [count, 256]), input('beta', [count, 256])];
    const value = tensor(
      Uint32Array.from({ length: 256 * count }, (_, i) => i % 256),
      [count, 256],
    );
    const nll = betaBinomialNll(alpha, beta, value);
    const [dAlpha, dBeta] = gradients(sum(nll), [alpha, beta]);
    const out = await evaluate(gpu, { nll, dAlpha: dAlpha!, dBeta: dBeta! }, { alpha: wide(0), beta: wide(1) });
    SHAPES.forEach(([a, b], row) => {
      let total = 0;
      for (let byte = 0; byte < 256; byte++) {
        const wanted = betaBinomialNllReference(a, b, byte);
        const at = 256 * row + byte;
        expect(Math.abs(out.nll[at]! - wanted) / (1 + wanted), `${a}, ${b}: ${byte}`).toBeLessThan(2e-4);
        const [da, db] = [1e-5 * a, 1e-5 * b];
        const slopes = [
          (betaBinomialNllReference(a + da, b, byte) - betaBinomialNllReference(a - da, b, byte)) / (2 * da),
          (betaBinomialNllReference(a, b + db, byte) - betaBinomialNllReference(a, b - db, byte)) / (2 * db),
        ];
        // As a decoder has them, by the logarithms.
        expect(Math.abs(a * (out.dAlpha[at]! - slopes[0]!))).toBeLessThan(1e-3 * (1 + Math.abs(a * slopes[0]!)));
        expect(Math.abs(b * (out.dBeta[at]! - slopes[1]!))).toBeLessThan(1e-3 * (1 + Math.abs(b * slopes[1]!)));
        total += Math.exp(-out.nll[at]!);
      }
      expect(Math.abs(total - 1), `${a}, ${b}`).toBeLessThan(1e-3);
    });
  });

  test('a decoder of grey images has parameters beside one another, and a mean', async () => {
    const { logistic, 'logistic-mixture': mixture } = OBSERVATIONS;
    const images = tensor(Float32Array.of(0, 1, 0.5), [1, 3]);
    const raw = Float32Array.from({ length: 27 }, (_, i) => Math.sin(i));
    const one = tensor(raw.subarray(0, 6), [1, 6]);
    const nine = tensor(raw, [1, 27]);
    const out = await evaluate(
      gpu,
      {
        one: logistic.nll(one, images),
        mean: logistic.mean(one),
        nine: mixture.nll(nine, images),
        mixed: mixture.mean(nine),
      },
      {},
    );
    const bytes = [0, 255, 128];
    bytes.forEach((byte, p) => {
      const at = (i: number) => raw[3 * i + p]!;
      const nllOf = (m: number, s: number) => logisticNllReference(127.5 + 127.5 * m, s + 2.5, byte);
      expect(out.one[p]!).toBeCloseTo(nllOf(at(0), at(1)), 3);
      expect(out.mean[p]!).toBeCloseTo(0.5 + 0.5 * at(0), 5);
      const weights = [0, 1, 2].map((k) => Math.exp(at(k)));
      const total = weights.reduce((a, b) => a + b);
      const p_ = weights.reduce((sum, w, k) => sum + (w / total) * Math.exp(-nllOf(at(3 + k), at(6 + k))), 0);
      expect(out.nine[p]!).toBeCloseTo(-Math.log(p_), 3);
      const mean = weights.reduce((sum, w, k) => sum + (w / total) * (0.5 + 0.5 * at(3 + k)), 0);
      expect(out.mixed[p]!).toBeCloseTo(mean, 5);
    });
  });
});

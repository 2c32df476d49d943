// −log p of bytes under a beta-binomial distribution: of 255 draws with a probability that is itself drawn from Beta(α, β), how many
// were white. Its logarithms of the gamma function are large and differ by little, so that f32 would keep none of their digits;
// what stands here are their differences, from which what cancels has been taken out.
import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { add, div, log1p, mul, neg, sub, toF32 } from './elementwise.ts';
import { gather } from './gather.ts';
import { constant, tensor } from './source.ts';
import { apply, sameShape, show, type Tensor } from './tensor.ts';
import { stopGradient } from './view.ts';

const MOST = 255;

// Γ(a + n) / Γ(a) by Stirling's series from 8 on (Abramowitz and Stegun, 6.1.40 and 6.3.18), below by the recurrence up to there.
const FUNCTIONS = `
fn gamma_log1p(t: f32) -> f32 {
  let series = t * (1.0 - t * (0.5 - t * (0.33333333 - t * (0.25 - t * 0.2))));
  return select(log(1.0 + t), series, t < 0.05);
}
fn gamma_stirling(x: f32) -> f32 {
  let r = 1.0 / x;
  return r * (0.083333333 - r * r * (0.0027777778 - r * r * 0.00079365079));
}
// a·(a + 1) … (a + 7), whose factors pair off around a + 3.5; and the slope of its logarithm.
fn gamma_rise(a: f32) -> f32 {
  let s = a * (a + 7.0);
  return s * (s + 6.0) * (s + 10.0) * (s + 12.0);
}
fn gamma_rise_slope(a: f32) -> f32 {
  let s = a * (a + 7.0);
  return (2.0 * a + 7.0) * (1.0 / s + 1.0 / (s + 6.0) + 1.0 / (s + 10.0) + 1.0 / (s + 12.0));
}
fn log_gamma_ratio(a: f32, count: u32) -> f32 {
  let n = f32(count);
  let shifted = a < 8.0;
  let x = select(a, a + 8.0, shifted);
  let below = select(0.0, log(gamma_rise(min(a, 8.0)) / gamma_rise(min(a, 8.0) + n)) + n * gamma_log1p(8.0 / a), shifted);
  let stirling = (x + n - 0.5) * gamma_log1p(n / x) - n + gamma_stirling(x + n) - gamma_stirling(x);
  return select(below + stirling, 0.0, count < 2u);
}
fn gamma_digamma_rest(x: f32) -> f32 {
  let r = 1.0 / x;
  return -r * (0.5 + r * (0.083333333 - r * r * (0.0083333333 - r * r * 0.003968254)));
}
fn digamma_difference(a: f32, count: u32) -> f32 {
  let n = f32(count);
  let shifted = a < 8.0;
  let x = select(a, a + 8.0, shifted);
  let below = select(0.0, gamma_rise_slope(a) - gamma_rise_slope(a + n), shifted);
  return below + gamma_log1p(n / x) + gamma_digamma_rest(x + n) - gamma_digamma_rest(x);
}`;

/** In float64, by the sum that it is. */
const ratioReference = (a: number, n: number) => {
  let total = 0;
  for (let i = 0; i < n; i++) total += Math.log1p(i / a);
  return total;
};

const differenceReference = (a: number, n: number) => {
  let total = 0;
  for (let i = 0; i < n; i++) total += 1 / (a + i);
  return total;
};

/** Functions of a > 0 and of a count. */
const OF_GAMMA = {
  functions: FUNCTIONS,
  dtypes: ['f32', 'u32'],
  result: 'f32',
  flops: 60,
  range: [
    [0.05, 40],
    [0, MOST],
  ],
  tolerance: 1e-4,
} as const;

export const digammaDifferenceOp = defineOp({
  name: 'digammaDifference',
  ...OF_GAMMA,
  wgsl: (a, n) => `digamma_difference(${a}, ${n})`,
  reference: differenceReference,
});

/** ψ(a + n) − ψ(a), elementwise: a > 0, n u32; ψ is the slope of log Γ. */
const digammaDifference = (a: Tensor, n: Tensor): Tensor => apply(digammaDifferenceOp, [a, n], {});
const count = (n: Tensor) => stopGradient(toF32(n));

export const logGammaRatioOp = defineOp({
  name: 'logGammaRatio',
  ...OF_GAMMA,
  wgsl: (a, n) => `log_gamma_ratio(${a}, ${n})`,
  reference: ratioReference,
  grad: (g, [a, n]) => [mul(g, sub(digammaDifference(a!, n!), div(count(n!), a!))), undefined],
});

/** log Γ(a + n) − log Γ(a) − n·log a, elementwise: a > 0, n u32. */
export const logGammaRatio = (a: Tensor, n: Tensor): Tensor => apply(logGammaRatioOp, [a, n], {});

/** log of 255 over k, for each byte. */
const logChoose = () => {
  const values = new Float32Array(MOST + 1);
  let total = 0;
  for (let k = 1; k <= MOST; k++) {
    total += Math.log((MOST + 1 - k) / k);
    values[k] = total;
  }
  return values;
};

/** In float64. */
export function betaBinomialNllReference(alpha: number, beta: number, value: number): number {
  let total = 0;
  for (let i = 0; i < value; i++) total -= Math.log(((MOST - i) / (i + 1)) * ((alpha + i) / (alpha + beta + i)));
  for (let i = 0; i < MOST - value; i++) total -= Math.log((beta + i) / (alpha + beta + value + i));
  return total;
}

/** What is black, and all there are. */
function countsOf(value: Tensor) {
  const most = constant(MOST, 'u32');
  return { rest: sub(most, value), all: add(mul(value, constant(0, 'u32')), most) };
}

export const betaBinomialNllOp = defineOp<object>({
  name: 'betaBinomialNll',
  infer([alpha, beta, value]) {
    if (alpha?.dtype !== 'f32' || beta?.dtype !== 'f32' || value?.dtype !== 'u32') {
      throw new ShapeError('wants α and β of f32, and values of u32');
    }
    if (!sameShape(alpha.shape, beta.shape) || !sameShape(alpha.shape, value.shape)) {
      const shapes = [alpha, beta, value].map(({ shape }) => show(shape)).join(', ');
      throw new ShapeError(`wants α, β and values of one shape, got ${shapes}`);
    }
    return { shape: alpha.shape, dtype: 'f32' };
  },
  decompose([alpha, beta, value]) {
    const { rest, all } = countsOf(value!);
    const ratios = sub(
      add(logGammaRatio(alpha!, value!), logGammaRatio(beta!, rest)),
      logGammaRatio(add(alpha!, beta!), all),
    );
    // k·log(α/(α + β)) + (255 − k)·log(β/(α + β)).
    const powers = add(mul(count(value!), log1p(div(beta!, alpha!))), mul(count(rest), log1p(div(alpha!, beta!))));
    return sub(neg(add(gather(tensor(logChoose()), value!), ratios)), neg(powers));
  },
  // Of the parts above, what cancels in the sum would take digits of the slope with it.
  grad({ inputs: [alpha, beta, value] }, g) {
    const { rest, all } = countsOf(value!);
    const both = digammaDifference(add(alpha!, beta!), all);
    const of = (shape: Tensor, n: Tensor) => mul(g, sub(both, digammaDifference(shape, n)));
    return [of(alpha!, value!), of(beta!, rest), undefined];
  },
  check: CHECKS && {
    tolerance: 1e-4,
    reference: ([alpha, beta, value]) =>
      alpha!.data.map((a, i) => betaBinomialNllReference(a, beta!.data[i]!, value!.data[i]!)),
    samples: [
      { shape: [3, 8], min: 0.02, max: 3 },
      { shape: [5, 7], min: 2, max: 90 },
      { shape: [], min: 5, max: 9 },
    ].map(({ shape, min, max }) => ({
      inputs: [
        { shape, min, max },
        { shape, min, max },
        { shape, dtype: 'u32' as const, min: 0, max: MOST },
      ],
      attrs: {},
    })),
  },
});

/**
 * −log p of bytes under a beta-binomial distribution of 255 draws, element by element, in nats (the observation model of grey images of
 * Townsend, Bird and Barber, Practical Lossless Compression with Latent Variables, 2019); of one shape each.
 *
 * @param alpha, beta f32, above 0
 * @param value u32, from 0 to 255
 */
export const betaBinomialNll = (alpha: Tensor, beta: Tensor, value: Tensor): Tensor =>
  apply(betaBinomialNllOp, [alpha, beta, value], {});

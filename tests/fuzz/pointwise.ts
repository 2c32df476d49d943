// The elementwise ops as the evaluator knows them: by name, a function of float64 numbers, one of u32 where there is one, and
// how roughly f32 hardware computes it.

export interface Pointwise {
  readonly f: (...args: number[]) => number;
  /** The same of whole numbers below 2³², wrapping around. */
  readonly u32?: (...args: number[]) => number;
  /** Rounding, in units of f32's: 0 where the result is one of the operands. */
  readonly rounding: number;
  /** Error that does not shrink with the value. */
  readonly absolute?: number;
  /** How large the terms are that the result is a sum of, where that is more than the result. */
  readonly terms?: (...args: number[]) => number;
  /** Whether f32 gives the exact result if it can hold it. */
  readonly exact?: boolean;
  /** WGSL lets a compiler take it that nothing is NaN or infinite: x − x may be 0 of any x. */
  readonly cancels?: boolean;
  /** The result jumps where the first two operands meet. */
  readonly compares?: boolean;
  /** The result jumps where the operand passes from one step to the next. */
  readonly steps?: boolean;
}

const rough = (f: Pointwise['f'], rounding: number, absolute?: number): Pointwise => ({
  f,
  rounding,
  ...(absolute !== undefined && { absolute }),
});
const exact = (f: Pointwise['f'], u32?: Pointwise['f']): Pointwise => ({
  f,
  rounding: 1,
  exact: true,
  ...(u32 && { u32 }),
});
const picks = (f: Pointwise['f'], u32: Pointwise['f'] = f): Pointwise => ({ f, rounding: 0, u32 });
const compares = (f: Pointwise['f']): Pointwise => ({ f, rounding: 0, u32: f, compares: true });
const steps = (f: Pointwise['f']): Pointwise => ({ f, rounding: 0, steps: true });

/** erf by its Taylor series, and by Lentz's continued fraction of erfc where the series cancels. */
function erf(x: number): number {
  const magnitude = Math.abs(x);
  if (Number.isNaN(x)) return NaN;
  if (magnitude > 6) return Math.sign(x);
  if (magnitude < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 80; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n >= 1; n--) fraction = n / 2 / (magnitude + fraction);
  return Math.sign(x) * (1 - Math.exp(-magnitude * magnitude) / (Math.sqrt(Math.PI) * (magnitude + fraction)));
}

const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number) => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)));
/** √(2/π)·(x + 0.044715·x³), of which GPT-2's GELU takes tanh. */
const geluTanhOf = (x: number) => Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
const geluTanhSlope = (x: number) => {
  const t = geluTanhOf(x);
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
};
const truth = (value: boolean) => (value ? 1 : 0);
const gaussian = (logvar: number, square: number) =>
  0.5 * (logvar + square * Math.exp(-logvar) + Math.log(2 * Math.PI));

export const pointwise: Readonly<Record<string, Pointwise>> = {
  add: {
    ...exact(
      (a, b) => a + b,
      (a, b) => (a + b) % 2 ** 32,
    ),
    cancels: true,
  },
  sub: {
    ...exact(
      (a, b) => a - b,
      (a, b) => (a - b + 2 ** 32) % 2 ** 32,
    ),
    cancels: true,
  },
  mul: exact(
    (a, b) => a * b,
    (a, b) => Number((BigInt(a) * BigInt(b)) % (1n << 32n)),
  ),
  // Of u32, WGSL defines the quotient by 0 as the dividend, and the remainder as 0.
  div: { f: (a, b) => a / b, rounding: 3, u32: (a, b) => (b === 0 ? a : Math.floor(a / b)) },
  divideFloor: picks((a, b) => (b === 0 ? a : Math.floor(a / b))),
  modulo: picks((a, b) => (b === 0 ? 0 : a % b)),
  neg: picks((a) => -a),
  abs: picks(Math.abs),
  sign: steps(Math.sign),
  square: exact(
    (a) => a * a,
    (a) => Number((BigInt(a) * BigInt(a)) % (1n << 32n)),
  ),
  sqrt: rough(Math.sqrt, 3),
  rsqrt: rough((a) => 1 / Math.sqrt(a), 3),
  exp: { f: Math.exp, rounding: 8 },
  expm1: { f: Math.expm1, rounding: 16 },
  log: rough(Math.log, 4, 2 ** -20),
  log1p: rough(Math.log1p, 8, 2 ** -20),
  sin: rough(Math.sin, 4, 2 ** -11),
  cos: rough(Math.cos, 4, 2 ** -11),
  tanh: rough(Math.tanh, 8, 2 ** -16),
  sigmoid: rough(sigmoid, 8),
  softplus: rough(softplus, 8, 2 ** -20),
  erf: rough(erf, 8, 5e-7),
  pow: { f: (a, b) => a ** b, rounding: 64 },
  relu: picks((a) => (a > 0 || Number.isNaN(a) ? a : 0)),
  maximum: picks(Math.max),
  minimum: picks(Math.min),
  clamp: picks((a, least, most) => Math.min(Math.max(a, least), most)),
  greater: compares((a, b) => truth(a > b)),
  less: compares((a, b) => truth(a < b)),
  equal: compares((a, b) => truth(a === b)),
  where: picks((condition, a, b) => (condition !== 0 ? a : b)),
  isFinite: { f: (a) => truth(Number.isFinite(a)), rounding: 0, steps: true },
  floor: steps(Math.floor),
  ceil: steps(Math.ceil),
  toF32: exact(
    (a) => Math.fround(a),
    (a) => a,
  ),
  byteToF32: picks((a) => a),
  toF16: picks((a) => a), // rounded as what its type holds
  gelu: { ...rough((x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)), 8, 5e-7), terms: (x) => Math.abs(x) },
  geluTanh: { ...rough((x) => 0.5 * x * (1 + geluTanhOf(x)), 8, 5e-7), terms: (x) => 8 * Math.abs(x) },
  geluTanhSlope: {
    ...rough(geluTanhSlope, 8, 5e-7),
    terms: (x) => 8 * (1 + Math.abs(x) * (1 + x * x) * (1 - geluTanhOf(x) ** 2)),
  },
  toU32: steps(Math.trunc),
  silu: rough((x) => x * sigmoid(x), 8),
  bernoulliNll: {
    ...rough((logit, x) => softplus(logit) - logit * x, 4, 2 ** -20),
    terms: (logit, x) => Math.abs(logit) * (1 + Math.abs(x)),
  },
  gaussianNll: {
    ...rough((mean, logvar, x) => gaussian(logvar, (x - mean) ** 2), 8),
    terms: (mean, logvar, x) =>
      1 + Math.abs(logvar) + (Math.abs(x) + Math.abs(mean)) * Math.abs(x - mean) * Math.exp(-logvar),
  },
  gaussianKl: {
    ...rough((mean, logvar) => 0.5 * (mean * mean + Math.exp(logvar) - logvar - 1), 8),
    terms: (mean, logvar) => mean * mean + Math.exp(logvar) + Math.abs(logvar) + 1,
  },
};

// Functions of doubles that give the same bits in every engine: of + − × ÷ and rounding down alone, which IEEE 754 fixes, and not
// of Math.exp and its kind, which are each engine's own.

const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const INVERSE_LN2 = Math.LOG2E;
const INVERSE_SQRT_TWO_PI = 0.3989422804014327;

/** Two to an integer power. */
export function powerOfTwo(k: number): number {
  let result = 1;
  for (let i = 0; i < k; i++) result *= 2;
  for (let i = 0; i > k; i--) result *= 0.5;
  return result;
}

/** e to the power of x, to a relative 1e-15. */
export function exp(x: number): number {
  if (x > 709) return Infinity;
  if (x < -708) return 0;
  const k = Math.floor(x * INVERSE_LN2 + 0.5);
  const r = x - k * LN2_HIGH - k * LN2_LOW;
  let sum = 1;
  for (let i = 14; i > 0; i--) sum = 1 + (sum * r) / i;
  return sum * powerOfTwo(k);
}

export const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)));

export function tanh(x: number): number {
  const e = exp(-2 * Math.abs(x));
  const t = (1 - e) / (1 + e);
  return x < 0 ? -t : t;
}

/**
 * The standard normal distribution function, to 1e-15 absolute
 * (Marsaglia, Evaluating the Normal Distribution, 2004: a series of terms of one sign).
 */
export function normalCdf(x: number): number {
  if (x > 8.5) return 1;
  if (x < -8.5) return 0;
  const square = x * x;
  let term = x;
  let sum = x;
  for (let i = 3; ; i += 2) {
    term *= square / i;
    const next = sum + term;
    if (next === sum) break;
    sum = next;
  }
  return Math.min(1, Math.max(0, 0.5 + sum * INVERSE_SQRT_TWO_PI * exp(-0.5 * square)));
}

/** Where the standard normal distribution function is p, for 0 < p < 1, by bisection. */
export function normalQuantile(p: number): number {
  let [low, high] = [-8.5, 8.5];
  for (let i = 0; i < 56; i++) {
    const middle = 0.5 * (low + high);
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return 0.5 * (low + high);
}

/**
 * Where the standard normal distribution function is i / count, for i from 0 to count, which is even: Newton's steps from one to the
 * next, from the middle outwards, where the function is concave, so that they never go too far.
 */
export function evenQuantiles(count: number): Float64Array {
  const quantiles = new Float64Array(count + 1);
  const middle = count / 2;
  let x = 0;
  for (let i = middle + 1; i < count; i++) {
    for (let step = 0; step < 20; step++) {
      const next = x + (i / count - normalCdf(x)) / (INVERSE_SQRT_TWO_PI * exp(-0.5 * x * x));
      if (next <= x) break;
      x = next;
    }
    quantiles[i] = x;
    quantiles[count - i] = -x;
  }
  quantiles[count] = Infinity;
  quantiles[0] = -Infinity;
  return quantiles;
}

/** The logarithm of a positive number, to a relative 1e-15, by Newton's steps on `exp`. */
export function log(x: number): number {
  let k = 0;
  let m = x;
  for (; m >= 1.5; k++) m *= 0.5;
  for (; m < 0.75; k--) m *= 2;
  let y = m - 1;
  for (let i = 0; i < 6; i++) y -= 1 - m * exp(-y);
  return k * LN2_HIGH + (y + k * LN2_LOW);
}

/**
 * A function that never falls, by a table of its values at even steps and straight lines between: two subtractions, a product and a
 * sum, of which none can fall where the argument rises, and each value is at most the next one of the table.
 */
export function monotoneTable(f: (x: number) => number, low: number, high: number, perUnit: number) {
  const size = Math.floor((high - low) * perUnit);
  const values = Float64Array.from({ length: size + 2 }, (_, i) => f(low + i / perUnit));
  for (let i = 1; i < values.length; i++) if (values[i]! < values[i - 1]!) values[i] = values[i - 1]!;
  return (x: number): number => {
    const at = (x - low) * perUnit;
    if (!(at > 0)) return values[0]!;
    if (at >= size) return values[size]!;
    const i = Math.floor(at);
    const [from, to] = [values[i]!, values[i + 1]!];
    const y = from + (to - from) * (at - i);
    return Math.min(y, to);
  };
}

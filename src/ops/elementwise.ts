// The elementwise ops, one entry each: WGSL expression, derivative, reference. They own no kernel; they exist to be
// fused. Inputs broadcast against each other as in NumPy; the autodiff sums cotangents back to the inputs' shapes.
import functions from '../../shaders/functions.wgsl?raw';
import { defineOp, type PointwiseGrad, type PointwiseSpec } from './define.ts';
import { erfReference } from './erf.ts';
import { constant } from './source.ts';
import { apply, type Computed, type DType, elementType, type Op, type Tensor, type TensorOf } from './tensor.ts';

/** A tensor, or a number that stands for a constant of the other operand's type. */
export type Operand<D extends DType = DType> = TensorOf<D> | number;

/** An entry of the table. */
/* @__NO_SIDE_EFFECTS__ */
function define(name: string, spec: Omit<PointwiseSpec, 'name'>) {
  return defineOp({ name, ...spec });
}

/** The nearest f16: 11 significant bits, of two equally near the even one, in steps of 2⁻²⁴ at least; infinite from 65520. */
function roundToF16(x: number): number {
  const step = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(x)))) - 10);
  const steps = x / step;
  const down = Math.floor(steps);
  const up = steps - down > 0.5 || (steps - down === 0.5 && down % 2 !== 0);
  const rounded = (up ? down + 1 : down) * step;
  return Math.abs(rounded) > 65504 ? Math.sign(x) * Infinity : rounded;
}

/** As WGSL divides u32 at run time: by 0, it gives the dividend. */
const quotient = (a: number, b: number) => (b === 0 ? a : Math.floor(a / b));

/** A step function: no slope, wherever it has one. */
const flat: PointwiseGrad = (_, inputs) => inputs.map(() => undefined);

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);
const sigmoidReference = (x: number) => 1 / (1 + Math.exp(-x));
const softplusReference = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

export const elementwise = {
  add: define('add', {
    wgsl: (a, b) => `${a} + ${b}`,
    reference: (a, b) => a + b,
    u32: (a, b) => (a + b) >>> 0,
    commutative: true,
    grad: (g) => [g, g],
  }),
  sub: define('sub', {
    wgsl: (a, b) => `${a} - ${b}`,
    reference: (a, b) => a - b,
    u32: (a, b) => (a - b) >>> 0,
    grad: (g) => [g, neg(g)],
  }),
  mul: define('mul', {
    wgsl: (a, b) => `${a} * ${b}`,
    reference: (a, b) => a * b,
    u32: (a, b) => Math.imul(a, b) >>> 0,
    commutative: true,
    grad: (g, [a, b]) => [mul(g, b!), mul(g, a!)],
  }),
  div: define('div', {
    wgsl: (a, b) => `${a} / ${b}`,
    reference: (a, b) => a / b,
    u32: quotient,
    grad: (g, [, b], y) => [div(g, b!), neg(div(mul(g, y), b!))],
    range: [
      [-2, 2],
      [0.5, 2],
    ],
    flops: 2,
  }),
  neg: define('neg', { wgsl: (a) => `-${a}`, reference: (a) => -a, grad: (g) => [neg(g)] }),
  abs: define('abs', {
    wgsl: (a) => `abs(${a})`,
    reference: Math.abs,
    u32: (a) => a,
    grad: (g, [a]) => [mul(g, sign(a!))],
  }),
  sign: define('sign', { wgsl: (a) => `sign(${a})`, reference: Math.sign, grad: flat }),
  square: define('square', {
    wgsl: (a) => `${a} * ${a}`,
    reference: (a) => a * a,
    u32: (a) => Math.imul(a, a) >>> 0,
    grad: (g, [a]) => [mul(g, mul(a!, 2))],
  }),
  sqrt: define('sqrt', {
    wgsl: (a) => `sqrt(${a})`,
    reference: Math.sqrt,
    grad: (g, _, y) => [div(mul(g, 0.5), y)],
    range: [0.1, 4],
    flops: 4,
  }),
  rsqrt: define('rsqrt', {
    wgsl: (a) => `inverseSqrt(${a})`,
    reference: (a) => 1 / Math.sqrt(a),
    grad: (g, [a], y) => [div(mul(g, mul(y, -0.5)), a!)],
    range: [0.1, 4],
    flops: 4,
  }),
  exp: define('exp', { wgsl: (a) => `exp(${a})`, reference: Math.exp, grad: (g, _, y) => [mul(g, y)], flops: 8 }),
  expm1: define('expm1', {
    wgsl: (a) => `expm1(${a})`,
    functions,
    reference: Math.expm1,
    grad: (g, [a]) => [mul(g, exp(a!))],
    flops: 12,
  }),
  log1p: define('log1p', {
    wgsl: (a) => `log1p(${a})`,
    functions,
    reference: Math.log1p,
    grad: (g, [a]) => [div(g, add(a!, 1))],
    range: [-0.5, 4],
    flops: 16,
  }),
  pow: define('pow', {
    wgsl: (a, b) => `pow(${a}, ${b})`,
    reference: (a, b) => a ** b,
    grad: (g, [a, b], y) => [mul(g, mul(b!, pow(a!, sub(b!, 1)))), mul(g, mul(y, log(a!)))],
    range: [
      [0.2, 3],
      [-2, 2],
    ],
    flops: 16,
    tolerance: 2e-4,
  }),
  floor: define('floor', { wgsl: (a) => `floor(${a})`, reference: Math.floor, grad: flat }),
  log: define('log', {
    wgsl: (a) => `log(${a})`,
    reference: Math.log,
    grad: (g, [a]) => [div(g, a!)],
    range: [0.1, 4],
    flops: 8,
  }),
  sin: define('sin', {
    wgsl: (a) => `sin(${a})`,
    reference: Math.sin,
    grad: (g, [a]) => [mul(g, cos(a!))],
    flops: 8,
    tolerance: 5e-3,
  }),
  cos: define('cos', {
    wgsl: (a) => `cos(${a})`,
    reference: Math.cos,
    grad: (g, [a]) => [neg(mul(g, sin(a!)))],
    flops: 8,
    tolerance: 5e-3,
  }),
  tanh: define('tanh', {
    wgsl: (a) => `tanh_safe(${a})`,
    functions,
    reference: Math.tanh,
    grad: (g, _, y) => [mul(g, sub(1, square(y)))],
    flops: 10,
  }),
  sigmoid: define('sigmoid', {
    wgsl: (a) => `sigmoid(${a})`,
    functions,
    reference: sigmoidReference,
    grad: (g, _, y) => [mul(g, mul(y, sub(1, y)))],
    flops: 12,
  }),
  softplus: define('softplus', {
    wgsl: (a) => `softplus(${a})`,
    functions,
    reference: softplusReference,
    grad: (g, [a]) => [mul(g, sigmoid(a!))],
    flops: 20,
  }),
  relu: define('relu', {
    // Not max, which may drop a NaN: below 0 are the bits from those of −0 to those of −∞.
    wgsl: (a) => `select(${a}, 0.0, (bitcast<u32>(${a}) ^ 0x80000000u) <= 0x7f800000u)`,
    reference: (a) => Math.max(a, 0),
    // From the result, not the input, so that the input need not be kept.
    grad: (g, _, y) => [where(greater(y, 0), g, 0)],
  }),
  erf: define('erf', {
    wgsl: (a) => `erf(${a})`,
    functions,
    reference: erfReference,
    grad: (g, [a]) => [mul(g, mul(exp(neg(square(a!))), TWO_OVER_SQRT_PI))],
    flops: 20,
  }),
  maximum: define('maximum', {
    wgsl: (a, b) => `maximum(${a}, ${b})`,
    wgslU32: (a, b) => `max(${a}, ${b})`,
    functions,
    reference: Math.max,
    u32: Math.max,
    grad: (g, [a, b]) => [where(greater(b!, a!), 0, g), where(greater(b!, a!), g, 0)],
  }),
  minimum: define('minimum', {
    wgsl: (a, b) => `minimum(${a}, ${b})`,
    wgslU32: (a, b) => `min(${a}, ${b})`,
    functions,
    reference: Math.min,
    u32: Math.min,
    grad: (g, [a, b]) => [where(less(b!, a!), 0, g), where(less(b!, a!), g, 0)],
  }),
  greater: define('greater', {
    wgsl: (a, b) => `select(0.0, 1.0, ${a} > ${b})`,
    reference: (a, b) => (a > b ? 1 : 0),
    u32: (a, b) => (a > b ? 1 : 0),
    grad: flat,
    result: 'f32',
  }),
  less: define('less', {
    wgsl: (a, b) => `select(0.0, 1.0, ${a} < ${b})`,
    reference: (a, b) => (a < b ? 1 : 0),
    u32: (a, b) => (a < b ? 1 : 0),
    grad: flat,
    result: 'f32',
  }),
  equal: define('equal', {
    wgsl: (a, b) => `select(0.0, 1.0, ${a} == ${b})`,
    reference: (a, b) => (a === b ? 1 : 0),
    u32: (a, b) => (a === b ? 1 : 0),
    grad: flat,
    result: 'f32',
  }),
  where: define('where', {
    wgsl: (condition, a, b) => `select(${b}, ${a}, ${condition} != 0.0)`,
    reference: (condition, a, b) => (condition !== 0 ? a : b),
    u32: (condition, a, b) => (condition !== 0 ? a : b),
    dtypes: ['f32', undefined, undefined],
    grad: (g, [condition]) => [undefined, where(condition!, g, 0), where(condition!, 0, g)],
  }),
  isFinite: define('isFinite', {
    wgsl: (a) => `is_finite(${a})`,
    functions,
    loads: true,
    reference: (a) => (Number.isFinite(a) ? 1 : 0),
    grad: flat,
    result: 'f32',
  }),
  toF32: define('toF32', {
    wgsl: (a) => `f32(${a})`,
    reference: (a) => a,
    dtypes: ['u32'],
    result: 'f32',
    range: [0, 255],
  }),
  toF16: define('toF16', {
    // Mesa's drivers leave f32(f16(x)) out, in one kernel.
    wgsl: (a) => `quantizeToF16(${a})`,
    reference: roundToF16,
    dtypes: ['f32'],
    result: 'f16',
    grad: (g) => [g],
  }),
  byteToF32: define('byteToF32', {
    wgsl: (a) => `f32(${a})`,
    reference: (a) => a,
    dtypes: ['u8'],
    result: 'f32',
    range: [0, 255],
  }),
  modulo: define('modulo', {
    wgsl: (a, b) => `${a} % ${b}`,
    reference: (a, b) => a % b,
    u32: (a, b) => (b === 0 ? 0 : a % b),
    dtypes: ['u32', 'u32'],
    range: [
      [0, 1000],
      [1, 9],
    ],
    flops: 4,
  }),
  divideFloor: define('divideFloor', {
    wgsl: (a, b) => `${a} / ${b}`,
    reference: (a, b) => Math.floor(a / b),
    u32: quotient,
    dtypes: ['u32', 'u32'],
    range: [
      [0, 1000],
      [1, 9],
    ],
    flops: 4,
  }),
} satisfies Record<string, Op<object>>;

/* @__NO_SIDE_EFFECTS__ */
function unary(op: Op<object>) {
  return <D extends DType>(a: TensorOf<D>) => apply(op, [a], {}) as TensorOf<Computed<D>>;
}

function operands(a: Operand, b: Operand): [Tensor, Tensor] {
  if (typeof a !== 'number') return [a, typeof b === 'number' ? constant(b, elementType(a.dtype)) : b];
  return typeof b === 'number' ? [constant(a), constant(b)] : [constant(a, elementType(b.dtype)), b];
}

/* @__NO_SIDE_EFFECTS__ */
function binary(op: Op<object>) {
  return <D extends DType = 'f32'>(a: Operand<D>, b: Operand<D>) =>
    apply(op, operands(a, b), {}) as TensorOf<Computed<D>>;
}

export const add = binary(elementwise.add);
export const sub = binary(elementwise.sub);
export const mul = binary(elementwise.mul);
export const div = binary(elementwise.div);
export const maximum = binary(elementwise.maximum);
export const minimum = binary(elementwise.minimum);
/** 1 where a > b, else 0. */
export const greater = binary(elementwise.greater);
/** 1 where a < b, else 0. */
export const less = binary(elementwise.less);
/** 1 where a = b, else 0. */
export const equal = binary(elementwise.equal);
/** Remainder of u32. */
export const modulo = binary(elementwise.modulo);
/** Quotient of u32, rounded down. */
export const divideFloor = binary(elementwise.divideFloor);
export const neg = unary(elementwise.neg);
export const abs = unary(elementwise.abs);
export const sign = unary(elementwise.sign);
export const square = unary(elementwise.square);
export const sqrt = unary(elementwise.sqrt);
export const rsqrt = unary(elementwise.rsqrt);
export const exp = unary(elementwise.exp);
/** exp(a) − 1, exact near 0. */
export const expm1 = unary(elementwise.expm1);
export const log = unary(elementwise.log);
/** log(1 + a), exact near 0. */
export const log1p = unary(elementwise.log1p);
/** The greatest integer that is not above a; its gradient is 0. */
export const floor = unary(elementwise.floor);
export const sin = unary(elementwise.sin);
export const cos = unary(elementwise.cos);
export const tanh = unary(elementwise.tanh);
export const sigmoid = unary(elementwise.sigmoid);
/** log(1 + exp(a)). */
export const softplus = unary(elementwise.softplus);
export const relu = unary(elementwise.relu);
export const erf = unary(elementwise.erf);
/** 1 where a is neither infinite nor NaN, else 0. */
export const isFinite = unary(elementwise.isFinite);

/** a to the power of b: of a negative a, NaN unless b is a number, and that an integer. */
export function pow(a: Operand, b: Operand): Tensor {
  if (b === 2 && typeof a !== 'number') return square(a);
  if (typeof a === 'number' || typeof b !== 'number' || !Number.isInteger(b)) {
    return apply(elementwise.pow, operands(a, b), {});
  }
  const size = apply(elementwise.pow, operands(abs(a), b), {});
  return b % 2 === 0 ? size : mul(sign(a), size);
}

/** a, cut to at least `low` and at most `high`; a NaN stays. */
export function clamp(a: Tensor, low: Operand, high: Operand): Tensor {
  return minimum(maximum(a, low), high);
}

/** `a` where the condition is not 0, else `b`. */
export function where<D extends DType = 'f32'>(condition: Tensor, a: Operand<D>, b: Operand<D>): TensorOf<Computed<D>> {
  return apply(elementwise.where, [condition, ...operands(a, b)], {}) as TensorOf<Computed<D>>;
}

/** An f32 tensor rounded to f16, and stored so: in half the memory. Whatever reads it gets f32. */
export const toF16 = (a: Tensor): TensorOf<'f16'> => apply(elementwise.toF16, [a], {}) as TensorOf<'f16'>;

/** A tensor of another type as f32. */
export function toF32(a: Tensor): TensorOf<'f32'> {
  const direct = a.dtype === 'f32' ? a : a.dtype === 'f16' ? mul(a, 1) : undefined;
  return (direct ?? apply(a.dtype === 'u8' ? elementwise.byteToF32 : elementwise.toF32, [a], {})) as TensorOf<'f32'>;
}

// GELU with the normal distribution function by tanh, and its slope: one op each, so that no part of the formula is kept for
// the backward pass.
import { defineOp } from './define.ts';
import { mul } from './elementwise.ts';
import { apply, type Tensor } from './tensor.ts';

/** √(2/π), and the factor of x³ (Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, section 2). */
const SCALE = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

// tanh by its argument's bounds: some drivers compute it from exp(2x), which overflows.
const FUNCTIONS = `
fn gelu_tanh_of(x: f32) -> f32 {
  return tanh(clamp(x * (${SCALE} + ${SCALE * CUBIC} * x * x), -15.0, 15.0));
}
fn gelu_tanh(x: f32) -> f32 {
  return 0.5 * x * (1.0 + gelu_tanh_of(x));
}
fn gelu_tanh_slope(x: f32) -> f32 {
  let t = gelu_tanh_of(x);
  return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * (${SCALE} + ${3 * SCALE * CUBIC} * x * x);
}`;

const tanhOf = (x: number) => Math.tanh(SCALE * (x + CUBIC * x ** 3));

export const geluTanhSlopeOp = defineOp({
  name: 'geluTanhSlope',
  functions: FUNCTIONS,
  flops: 20,
  wgsl: (x) => `gelu_tanh_slope(${x})`,
  reference(x) {
    const t = tanhOf(x);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SCALE * (1 + 3 * CUBIC * x * x);
  },
});

export const geluTanhOp = defineOp({
  name: 'geluTanh',
  functions: FUNCTIONS,
  flops: 15,
  wgsl: (x) => `gelu_tanh(${x})`,
  reference: (x) => 0.5 * x * (1 + tanhOf(x)),
  grad: (g, [x]) => [mul(g, apply(geluTanhSlopeOp, [x!], {}))],
});

/** x·Φ(x) with Φ by tanh, as GPT-2 has it; `gelu` has the exact one. */
export const geluTanh = (x: Tensor): Tensor => apply(geluTanhOp, [x], {});

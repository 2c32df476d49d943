// Functions that fused expressions may call. Specialisation copies the ones that a kernel uses into its shader,
// with those that they call in turn. Each has a twin in TypeScript, beside the op that uses it.

/// 1 / (1 + exp(-x)), without overflow on either side.
fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

/// log(1 + exp(x)), without overflow.
fn softplus(x: f32) -> f32 {
  return max(x, 0.0) + log(1.0 + exp(-abs(x)));
}

/// tanh, clamped: some drivers compute it from exp(2x), which overflows. NaN stays.
fn tanh_safe(x: f32) -> f32 {
  return tanh(nan_unless(!is_nan(x), clamp(x, -15.0, 15.0)));
}

/// exp(x) - 1, exact near 0 (Taylor to the 7th power below 1/2).
fn expm1(x: f32) -> f32 {
  let series = x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666668 + x * (0.008333334 + x * (0.0013888889 + x * 0.0001984127))))));
  return select(exp(x) - 1.0, series, abs(x) < 0.5);
}

/// log(1 + x), exact near 0: 2·artanh(x / (2 + x)) by its series.
fn log1p(x: f32) -> f32 {
  let s = x / (2.0 + x);
  let q = s * s;
  let series = 2.0 * s * (1.0 + q * (0.33333333 + q * (0.2 + q * (0.14285714 + q * 0.11111111))));
  return select(log(1.0 + x), series, abs(x) < 0.25);
}

/// The error function, to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
fn erf(x: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * abs(x));
  let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let magnitude = select(1.0 - series * exp(-x * x), abs(x) * (1.1283792 - 0.3761264 * x * x), abs(x) < 0.01);
  return select(-magnitude, magnitude, x >= 0.0);
}

/// 1 where x is neither infinite nor NaN, else 0. WGSL may assume that there is no NaN, so bits are compared.
fn is_finite(x: f32) -> f32 {
  return select(0.0, 1.0, (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u);
}

/// Whether x is NaN, by its bits.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

/// x if it is valid, else NaN, for which WGSL has no literal.
fn nan_unless(valid: bool, x: f32) -> f32 {
  return bitcast<f32>(select(0x7fc00000u, bitcast<u32>(x), valid));
}

/// The greater; NaN if one of them is, which WGSL's max may drop.
fn maximum(a: f32, b: f32) -> f32 {
  return nan_unless(!(is_nan(a) || is_nan(b)), max(a, b));
}

/// The less; NaN if one of them is, which WGSL's min may drop.
fn minimum(a: f32, b: f32) -> f32 {
  return nan_unless(!(is_nan(a) || is_nan(b)), min(a, b));
}

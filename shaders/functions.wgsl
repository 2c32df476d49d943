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

/// The high and the low word of a 64-bit product.
fn multiply_wide(a: u32, b: u32) -> vec2u {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 16u);
  let other = a0 * b1 + (middle & 0xffffu);
  return vec2u(a1 * b1 + (middle >> 16u) + (other >> 16u), a * b);
}

fn philox_round(counter: vec4u, key: vec2u) -> vec4u {
  let p0 = multiply_wide(0xD2511F53u, counter.x);
  let p1 = multiply_wide(0xCD9E8D57u, counter.z);
  return vec4u(p1.x ^ counter.y ^ key.x, p1.y, p0.x ^ counter.w ^ key.y, p0.y);
}

/// Philox 4x32 with 10 rounds (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011).
fn philox(counter_in: vec4u, key_in: vec2u) -> vec4u {
  var counter = counter_in;
  var key = key_in;
  for (var i = 0u; i < 10u; i++) { // unroll
    counter = philox_round(counter, key);
    key += vec2u(0x9E3779B9u, 0xBB67AE85u);
  }
  return counter;
}

/// Uniform in [0, 1), 24 bits.
fn uniform_from_bits(bits: vec4u) -> vec4f {
  return vec4f(bits >> vec4u(8u)) * 5.9604645e-8;
}

/// Four standard normal numbers (Box and Muller, 1958).
fn normal_from_bits(bits: vec4u) -> vec4f {
  let u = vec4f((bits >> vec4u(8u)) + vec4u(1u)) * 5.9604645e-8;
  // WGSL's log may be a little above 0 near 1.
  let r = sqrt(max(vec2f(), -2.0 * log(u.xz)));
  // From −π to π, where WGSL says how good sin and cos are.
  let angle = 6.2831853 * (u.yw - select(vec2f(), vec2f(1.0), u.yw > vec2f(0.5)));
  return vec4f(r.x * cos(angle.x), r.x * sin(angle.x), r.y * cos(angle.y), r.y * sin(angle.y));
}

/// The image of `index` under a permutation of 0 … count-1 that `key` chooses: a four-round Feistel network over
/// the next even power of two, walked until it lands below `count` (Black and Rogaway, 2002).
fn permute(index: u32, count: u32, half_bits: u32, key: vec2u) -> u32 {
  let mask = (1u << half_bits) - 1u;
  var value = index;
  for (var walk = 0u; walk < 1024u; walk++) {
    var left = value >> half_bits;
    var right = value & mask;
    for (var i = 0u; i < 4u; i++) {
      let next = left ^ (philox(vec4u(right, i, 0x7065726du, 0u), key).x & mask);
      left = right;
      right = next;
    }
    value = (left << half_bits) | right;
    if (value < count) { break; }
  }
  return value;
}

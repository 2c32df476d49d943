// Functions of random numbers, as those of functions.wgsl: specialisation copies what a kernel calls. Their twins are in
// src/ops/philox.ts.

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

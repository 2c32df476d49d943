// Draws a choice a row from logits: y[row] by softmax(x / temperature) among the most likely choices.
//
// x [ROWS, CHOICES]; u [ROWS], uniform in [0, 1); temperature, top_k and top_p, a number each. top_k keeps the so many greatest
// (0: all), top_p the fewest of the most likely that have this share of the probability together; what equals the least that is
// kept is kept, too. At temperature 0, or below, the first of the greatest is taken.
// A thread a row; thresholds are found bit by bit, in the order of the floats' bits. Reads x 2 times, and 32 times more for
// each of top_k and top_p where these leave something out; writes ROWS numbers.
const ROWS: u32 = 1;
const CHOICES: u32 = 4;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> temperature: array<f32>;
@group(0) @binding(3) var<storage, read> top_k: array<u32>;
@group(0) @binding(4) var<storage, read> top_p: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<u32>;

// As large as its number is among all.
fn order(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= ROWS) { return; }
  let first = row * CHOICES;
  var top = x[first];
  var best = 0u;
  for (var i = 1u; i < CHOICES; i++) {
    let value = x[first + i];
    if (value > top) {
      top = value;
      best = i;
    }
  }
  let heat = temperature[0];
  if (!(heat > 0.0)) {
    y[row] = best;
    return;
  }
  let scale = 1.0 / heat;
  let most = top_k[0];
  var least = 0u;
  if (most > 0u && most < CHOICES) {
    for (var bit = 32u; bit > 0u; bit--) {
      let candidate = least | (1u << (bit - 1u));
      var count = 0u;
      for (var i = 0u; i < CHOICES; i++) { count += select(0u, 1u, order(x[first + i]) >= candidate); }
      if (count >= most) { least = candidate; }
    }
  }
  var mass = 0.0;
  for (var i = 0u; i < CHOICES; i++) {
    let value = x[first + i];
    mass += select(0.0, exp((value - top) * scale), order(value) >= least);
  }
  if (top_p[0] < 1.0) {
    let wanted = top_p[0] * mass;
    let kept = least;
    for (var bit = 32u; bit > 0u; bit--) {
      let candidate = select(0u, least, bit < 32u) | (1u << (bit - 1u));
      var part = 0.0;
      for (var i = 0u; i < CHOICES; i++) {
        let value = x[first + i];
        part += select(0.0, exp((value - top) * scale), order(value) >= max(candidate, kept));
      }
      least = select(select(0u, least, bit < 32u), candidate, part >= wanted && part > 0.0);
    }
    least = max(least, kept);
    mass = 0.0;
    for (var i = 0u; i < CHOICES; i++) {
      let value = x[first + i];
      mass += select(0.0, exp((value - top) * scale), order(value) >= least);
    }
  }
  let goal = u[row] * mass;
  var before = 0.0;
  var chosen = best;
  for (var i = 0u; i < CHOICES; i++) {
    let value = x[first + i];
    if (order(value) < least) { continue; }
    before += exp((value - top) * scale);
    chosen = i;
    if (before > goal) { break; }
  }
  y[row] = chosen;
}

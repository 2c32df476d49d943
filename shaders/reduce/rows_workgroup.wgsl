// Reduction of elements that lie side by side, a workgroup an output: y[o] = fold over r of x[o, r]; of COUNT tensors
// of one shape at once.
//
// Threads of a workgroup take neighbouring steps of LANES elements (one vec4 load each), UNROLL of them at a time, fold what
// they get, and then each other's, by halves, through workgroup memory: the same order every time.
// Reads OUTPUTS · STEPS · LANES floats of each once, writes OUTPUTS.
// Constants: KIND (0 sum, 1 max, 2 logsumexp), COUNT, OUTPUTS, STEPS, LANES (1 or 4; 1 uses x alone), THREADS (a power of 2),
// UNROLL.
// Hooks: load, store.
const KIND: u32 = 0;
const COUNT: u32 = 1;
const OUTPUTS: u32 = 64;
const STEPS: u32 = 256;
const LANES: u32 = 4;
const THREADS: u32 = 64;
const UNROLL: u32 = 4;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

// A state is the sum or the greatest value, and, for logsumexp, Σ exp(value - greatest); for max, the greatest magnitude,
// whose bits tell whether there was a NaN, which WGSL's max may drop.
var<workgroup> states: array<array<vec2f, COUNT>, THREADS>;

fn load(o: u32, r: u32) -> array<vec4f, COUNT> {
  return array<vec4f, COUNT>(x[o * STEPS + r]);
}

fn store(o: u32, values: array<f32, COUNT>) {
  y[o] = values[0];
}

fn fold(a: vec2f, b: vec2f) -> vec2f {
  if (KIND == 0u) {
    return a + b;
  } else if (KIND == 1u) {
    let magnitude = max(bitcast<u32>(a.y) & 0x7fffffffu, bitcast<u32>(b.y) & 0x7fffffffu);
    return vec2f(max(a.x, b.x), bitcast<f32>(magnitude));
  } else {
    // include logsumexp_fold
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = group.y * groups.x + group.x;
  if (o >= OUTPUTS) { return; } // the same for the whole workgroup, so that no barrier waits
  var state: array<vec2f, COUNT>;
  for (var c = 0u; c < COUNT; c++) { // unroll
    state[c] = vec2f(select(LOWEST, 0.0, KIND == 0u), 0.0);
  }
  if (KIND == 1u) {
    // The greatest of nothing is -∞, which no constant of WGSL may be.
    var least = 0xff800000u;
    for (var c = 0u; c < COUNT; c++) { // unroll
      state[c].x = bitcast<f32>(least);
    }
  }
  for (var r = local; r < STEPS; r += UNROLL * THREADS) {
    for (var u = 0u; u < UNROLL; u++) { // unroll
      if (STEPS % (UNROLL * THREADS) == 0u || r + u * THREADS < STEPS) {
        let values = load(o, r + u * THREADS);
        for (var c = 0u; c < COUNT; c++) { // unroll
          for (var lane = 0u; lane < LANES; lane++) { // unroll
            state[c] = fold(state[c], vec2f(values[c][lane], select(1.0, values[c][lane], KIND == 1u)));
          }
        }
      }
    }
  }
  states[local] = state;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      for (var c = 0u; c < COUNT; c++) { // unroll
        states[local][c] = fold(states[local][c], states[local + half][c]);
      }
    }
  }
  if (local == 0u) {
    var results: array<f32, COUNT>;
    for (var c = 0u; c < COUNT; c++) { // unroll
      let last = states[0][c];
      if (KIND == 2u) {
        results[c] = last.x + log(last.y);
      } else if (KIND == 1u) {
        results[c] = select(last.x, last.y, bitcast<u32>(last.y) > 0x7f800000u);
      } else {
        results[c] = last.x;
      }
    }
    store(o, results);
  }
}

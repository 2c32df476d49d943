// Reduction of elements that lie side by side: y[o] = fold over r of x[o, r].
//
// One thread an output, in order, so the result is the same every time. LANES elements a step (one vec4 load).
// Reads OUTPUTS · STEPS · LANES floats once, writes OUTPUTS.
// Constants: KIND (0 sum, 1 max, 2 logsumexp), OUTPUTS, STEPS, LANES (1 or 4; 1 uses x alone), UNROLL (steps taken
// together, so that loads need not wait for each other; it divides STEPS).
// Hooks: load, store.
const KIND: u32 = 0;
const OUTPUTS: u32 = 64;
const STEPS: u32 = 16;
const LANES: u32 = 4;
const UNROLL: u32 = 4;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn load(o: u32, r: u32) -> vec4f {
  return x[o * STEPS + r];
}

fn store(o: u32, value: f32) {
  y[o] = value;
}

// For logsumexp the state is the greatest value so far and Σ exp(value - greatest), four lanes at a time.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = (group.y * groups.x + group.x) * 64u + local;
  if (o >= OUTPUTS) { return; }
  var top = vec4f(select(LOWEST, 0.0, KIND == 0u));
  var total = vec4f();
  for (var r = 0u; r < STEPS; r += UNROLL) {
    for (var u = 0u; u < UNROLL; u++) { // unroll
      let value = load(o, r + u);
      if (KIND == 0u) {
        top += value;
      } else if (KIND == 1u) {
        top = max(top, value);
      } else {
        let difference = value - top;
        let e = exp(-abs(difference));
        total = select(total + e, total * e + 1.0, difference > vec4f());
        top = max(top, value);
      }
    }
  }
  var result = top.x;
  if (KIND == 0u) {
    if (LANES == 4u) { result = (top.x + top.y) + (top.z + top.w); }
  } else {
    if (LANES == 4u) { result = max(max(top.x, top.y), max(top.z, top.w)); }
    if (KIND == 2u) {
      let scaled = total * exp(top - result);
      result += log(select(scaled.x, (scaled.x + scaled.y) + (scaled.z + scaled.w), LANES == 4u));
    }
  }
  store(o, result);
}

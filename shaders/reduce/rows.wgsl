// Reduction of elements that lie side by side: y[o] = fold over r of x[o, r]; of COUNT tensors of one shape at once.
//
// One thread an output, in order, so the result is the same every time. LANES elements a step (one vec4 load).
// Reads OUTPUTS · STEPS · LANES floats of each once, writes OUTPUTS.
// Constants: KIND (0 sum, 1 max, 2 logsumexp), COUNT, OUTPUTS, STEPS, LANES (1 or 4; 1 uses x alone), UNROLL (steps taken
// together, so that loads need not wait for each other; it divides STEPS).
// Hooks: load, store.
const KIND: u32 = 0;
const COUNT: u32 = 1;
const OUTPUTS: u32 = 64;
const STEPS: u32 = 16;
const LANES: u32 = 4;
const UNROLL: u32 = 4;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn load(o: u32, r: u32) -> array<vec4f, COUNT> {
  return array<vec4f, COUNT>(x[o * STEPS + r]);
}

fn store(o: u32, values: array<f32, COUNT>) {
  y[o] = values[0];
}

// For logsumexp the state is the greatest value so far and Σ exp(value - greatest), four lanes at a time; for max, the
// greatest value and the greatest magnitude, whose bits tell whether there was a NaN, which WGSL's max may drop.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = (group.y * groups.x + group.x) * 64u + local;
  if (o >= OUTPUTS) { return; }
  // include reduction_start
  for (var r = 0u; r < STEPS; r += UNROLL) {
    for (var u = 0u; u < UNROLL; u++) { // unroll
      let values = load(o, r + u);
      for (var c = 0u; c < COUNT; c++) { // unroll
        let value = values[c];
        // include reduction_step
      }
    }
  }
  var results: array<f32, COUNT>;
  for (var c = 0u; c < COUNT; c++) { // unroll
    let last = top[c];
    var result = last.x;
    if (KIND == 0u) {
      if (LANES == 4u) { result = (last.x + last.y) + (last.z + last.w); }
    } else {
      if (LANES == 4u) { result = max(max(last.x, last.y), max(last.z, last.w)); }
      if (KIND == 1u) {
        let magnitudes = bitcast<vec4u>(total[c]);
        var magnitude = magnitudes.x;
        if (LANES == 4u) { magnitude = max(max(magnitudes.x, magnitudes.y), max(magnitudes.z, magnitudes.w)); }
        result = select(result, bitcast<f32>(magnitude), magnitude > 0x7f800000u);
      }
      if (KIND == 2u) {
        let scaled = total[c] * exp(select(last - result, vec4f(), last == vec4f(result)));
        result += log(select(scaled.x, (scaled.x + scaled.y) + (scaled.z + scaled.w), LANES == 4u));
      }
    }
    results[c] = result;
  }
  store(o, results);
}

// Reduction where neighbouring outputs lie side by side: y[o] = fold over r of x[r, o]; of COUNT tensors of one shape
// at once.
//
// One thread four outputs (one vec4 load a step), in order, so the result is the same every time.
// Reads STEPS · THREADS · 4 floats of each once, writes THREADS · 4.
// Constants: KIND (0 sum, 1 max, 2 logsumexp), COUNT, THREADS, STEPS, UNROLL (steps taken together, so that loads need not
// wait for each other; it divides STEPS). Hooks: load, store.
// Where outputs do not come in fours, the hooks use x alone and THREADS counts outputs.
const KIND: u32 = 0;
const COUNT: u32 = 1;
const THREADS: u32 = 64;
const STEPS: u32 = 16;
const UNROLL: u32 = 4;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

fn load(o: u32, r: u32) -> array<vec4f, COUNT> {
  return array<vec4f, COUNT>(x[r * THREADS + o]);
}

fn store(o: u32, values: array<vec4f, COUNT>) {
  y[o] = values[0];
}

// For logsumexp `total` is Σ exp(value - greatest); for max, the greatest magnitude, whose bits tell whether there was a
// NaN, which WGSL's max may drop.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = (group.y * groups.x + group.x) * 64u + local;
  if (o >= THREADS) { return; }
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
  if (KIND == 1u) {
    for (var c = 0u; c < COUNT; c++) { // unroll
      top[c] = select(top[c], total[c], bitcast<vec4u>(total[c]) > vec4u(0x7f800000u));
    }
  }
  if (KIND == 2u) {
    for (var c = 0u; c < COUNT; c++) { // unroll
      top[c] += log(total[c]);
    }
  }
  store(o, top);
}

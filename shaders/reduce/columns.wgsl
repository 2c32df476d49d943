// Reduction where neighbouring outputs lie side by side: y[o] = fold over r of x[r, o].
//
// One thread four outputs (one vec4 load a step), in order, so the result is the same every time.
// Reads STEPS · THREADS · 4 floats once, writes THREADS · 4.
// Constants: KIND (0 sum, 1 max, 2 logsumexp), THREADS, STEPS, UNROLL (steps taken together, so that loads need not
// wait for each other; it divides STEPS). Hooks: load, store.
// Where outputs do not come in fours, the hooks use x alone and THREADS counts outputs.
const KIND: u32 = 0;
const THREADS: u32 = 64;
const STEPS: u32 = 16;
const UNROLL: u32 = 4;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

fn load(o: u32, r: u32) -> vec4f {
  return x[r * THREADS + o];
}

fn store(o: u32, value: vec4f) {
  y[o] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = (group.y * groups.x + group.x) * 64u + local;
  if (o >= THREADS) { return; }
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
  if (KIND == 2u) { top += log(total); }
  store(o, top);
}

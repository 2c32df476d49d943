// Softmax of rows, its logarithm, and their gradients: y[o, r] of row o of x, or of y and its cotangent g.
//
//   KIND 0   exp(x − L), L being the row's logsumexp
//   KIND 1   x − L
//   KIND 2   y · (g − Σ y·g), of y as KIND 0 gives it
//   KIND 3   g − exp(y) · Σ g, of y as KIND 1 gives it
//
// A thread has a row, which it reads twice: for the sum, in order, and for the result; the second time it is in the cache.
// Reads ROWS · STEPS · LANES floats of each of COUNT tensors once from memory, writes as many.
// Constants: KIND, COUNT (tensors read: 1, or 2 for the gradients), ROWS, STEPS (a row's vec4s, or numbers where LANES is 1, which
// uses x alone), LANES, UNROLL (steps taken together, so that loads need not wait for each other; it divides STEPS).
// Hooks: load, store.
const KIND: u32 = 0;
const COUNT: u32 = 1;
const ROWS: u32 = 64;
const STEPS: u32 = 16;
const LANES: u32 = 4;
const UNROLL: u32 = 4;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

fn load(o: u32, r: u32) -> array<vec4f, COUNT> {
  return array<vec4f, COUNT>(x[o * STEPS + r]);
}

fn store(o: u32, r: u32, value: vec4f) {
  y[o * STEPS + r] = value;
}

// include softmax_result

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = (group.y * groups.x + group.x) * 64u + local;
  if (o >= ROWS) { return; }
  var top = array<vec4f, 1>(vec4f(LOWEST));
  var total = array<vec4f, 1>(vec4f());
  for (var r = 0u; r < STEPS; r += UNROLL) {
    for (var u = 0u; u < UNROLL; u++) { // unroll
      let values = load(o, r + u);
      // include softmax_step
    }
  }
  // include softmax_lanes
  var level = sum;
  if (KIND == 0u) { level = most + log(sum); }
  if (KIND == 1u) { level = most + log(sum); }
  for (var r = 0u; r < STEPS; r += UNROLL) {
    for (var u = 0u; u < UNROLL; u++) { // unroll
      store(o, r + u, result(load(o, r + u), level));
    }
  }
}

// Softmax of rows, its logarithm, and their gradients, as in rows.wgsl, a workgroup a row.
//
// Threads of a workgroup take neighbouring vec4s of the row, KEPT of them each, which stay in registers where that is the whole
// row (ONCE), so that it is read once; what they found is folded by halves through workgroup memory, in the same order every time.
// Reads ROWS · STEPS · LANES floats of each of COUNT tensors once from memory, writes as many. Workgroup memory: 8 bytes a thread.
// Constants: as in rows.wgsl; THREADS (a power of 2), KEPT (steps of a thread that are taken together), ONCE (whether THREADS ·
// KEPT is at least STEPS).
// Hooks: load, store.
const KIND: u32 = 0;
const COUNT: u32 = 1;
const ROWS: u32 = 64;
const STEPS: u32 = 256;
const LANES: u32 = 4;
const THREADS: u32 = 64;
const KEPT: u32 = 4;
const ONCE: bool = true;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

// The greatest of a part of the row, and Σ exp(x − greatest), or the part's sum.
var<workgroup> states: array<vec2f, THREADS>;

fn load(o: u32, r: u32) -> array<vec4f, COUNT> {
  return array<vec4f, COUNT>(x[o * STEPS + r]);
}

fn store(o: u32, r: u32, value: vec4f) {
  y[o * STEPS + r] = value;
}

// include softmax_result

fn fold(a: vec2f, b: vec2f) -> vec2f {
  if (KIND == 2u) {
    return a + b;
  } else if (KIND == 3u) {
    return a + b;
  } else {
    // include logsumexp_fold
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = group.y * groups.x + group.x;
  if (o >= ROWS) { return; } // the same for the whole workgroup, so that no barrier waits
  var top = array<vec4f, 1>(vec4f(LOWEST));
  var total = array<vec4f, 1>(vec4f());
  var kept: array<array<vec4f, COUNT>, KEPT>;
  for (var first = 0u; first < STEPS; first += KEPT * THREADS) {
    for (var u = 0u; u < KEPT; u++) { // unroll
      let r = first + u * THREADS + local;
      if (STEPS % (KEPT * THREADS) == 0u || r < STEPS) {
        let values = load(o, r);
        kept[u] = values;
        // include softmax_step
      }
    }
  }
  // include softmax_lanes
  states[local] = vec2f(most, sum);
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      states[local] = fold(states[local], states[local + half]);
    }
  }
  workgroupBarrier();
  var level = states[0].y;
  if (KIND == 0u) { level = states[0].x + log(level); }
  if (KIND == 1u) { level = states[0].x + log(level); }
  for (var first = 0u; first < STEPS; first += KEPT * THREADS) {
    for (var u = 0u; u < KEPT; u++) { // unroll
      let r = first + u * THREADS + local;
      if (STEPS % (KEPT * THREADS) == 0u || r < STEPS) {
        if (ONCE) {
          store(o, r, result(kept[u], level));
        } else {
          store(o, r, result(load(o, r), level));
        }
      }
    }
  }
}

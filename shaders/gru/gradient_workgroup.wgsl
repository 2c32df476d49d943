// The gradients of a gated recurrent unit by workgroups; see gradient.wgsl for what it computes, and of what.
//
// A workgroup has SLICE examples, with da of the step and what goes on to the step before in workgroup memory. A thread has four
// numbers of the states at a time. Two barriers a step. 6 · BATCH · LENGTH · (4·WIDTH)² operations, each sum in one order.
// include gru_cotangents

var<workgroup> slopes: array<vec4f, 3 * SLICE * WIDTH>;
var<workgroup> carried: array<vec4f, SLICE * WIDTH>;

// include gru_gate

fn slopes_of(i: u32, row: u32, t: u32, k: u32) -> vec4f {
  return slopes[3u * i * WIDTH + k];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * groups.x + group.x) * SLICE;
  var rows: array<u32, SLICE>;
  for (var i = 0u; i < SLICE; i++) { // unroll
    rows[i] = min(first + i, BATCH - 1u);
  }
  for (var at = local; at < SLICE * WIDTH; at += 64u) {
    let example = min(first + at / WIDTH, BATCH - 1u);
    let last = example * (LENGTH + 1u) + LENGTH;
    let u = at % WIDTH;
    carried[at] = g[last * WIDTH + u];
    if (first + at / WIDTH < BATCH) {
      da[3u * last * WIDTH + u] = vec4f();
      da[(3u * last + 1u) * WIDTH + u] = vec4f();
      da[(3u * last + 2u) * WIDTH + u] = vec4f();
    }
  }
  // LENGTH, but no number that is known: some drivers would write the loop out, barriers and all.
  let length = LENGTH + groups.z - 1u;
  workgroupBarrier();
  for (var step = 1u; step <= length; step++) {
    let t = length - step;
    for (var at = local; at < SLICE * WIDTH; at += 64u) {
      let i = at / WIDTH;
      let u = at % WIDTH;
      let example = min(first + i, BATCH - 1u);
      let isThere = first + i < BATCH;
      let slope = carried[at];
      // include gru_slopes
      slopes[3u * i * WIDTH + u] = of_r;
      slopes[(3u * i + 1u) * WIDTH + u] = of_z;
      slopes[(3u * i + 2u) * WIDTH + u] = of_n * r;
      carried[at] = slope * z + g[state * WIDTH + u];
    }
    workgroupBarrier();
    for (var u = local; u < WIDTH; u += 64u) {
      var sums: array<vec4f, SLICE>;
      for (var i = 0u; i < SLICE; i++) { // unroll
        sums[i] = vec4f();
      }
      // include gru_back
      for (var i = 0u; i < SLICE; i++) { // unroll
        carried[i * WIDTH + u] += sums[i];
      }
    }
    workgroupBarrier();
  }
  for (var at = local; at < SLICE * WIDTH; at += 64u) {
    let i = at / WIDTH;
    if (first + i < BATCH) { dh0[(first + i) * WIDTH + at % WIDTH] = carried[at]; }
  }
}

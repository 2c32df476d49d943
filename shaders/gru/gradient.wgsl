// The gradients of a gated recurrent unit for what it computes with, back through time in one dispatch; see forward.wgsl. What it needs
// of each step, a = h·wᵀ + bias, was computed again by one matmul of all states.
//
// x [BATCH, LENGTH, 3, 4·WIDTH]; y [BATCH, LENGTH + 1, 4·WIDTH], the states, the first in front; a [BATCH, LENGTH + 1, 3, 4·WIDTH], of the
// states; g as y, their cotangents; w [3, 4·WIDTH, 4·WIDTH]; dx and da as x and a, da of the last state being 0; dh0 [BATCH, 4·WIDTH].
// From da and y follow the gradients of w and bias: a matmul and a sum.
// A thread has SLICE examples. What goes on to the step before lies in dh0, and da of the step where it belongs: no other thread reads
// them, so there is no barrier. Four numbers of the states at a time. 6 · BATCH · LENGTH · (4·WIDTH)² operations, each sum in one order.
// include gru_cotangents

// include gru_gate

fn slopes_of(i: u32, row: u32, t: u32, k: u32) -> vec4f {
  return da[(row * (LENGTH + 1u) + t) * 3u * WIDTH + k];
}

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = ((group.y * groups.x + group.x) * 4u + local) * SLICE;
  var rows: array<u32, SLICE>;
  for (var i = 0u; i < SLICE; i++) { // unroll
    rows[i] = min(first + i, BATCH - 1u);
  }
  for (var i = 0u; i < SLICE; i++) {
    if (first + i < BATCH) {
      let last = (first + i) * (LENGTH + 1u) + LENGTH;
      for (var u = 0u; u < WIDTH; u++) {
        dh0[(first + i) * WIDTH + u] = g[last * WIDTH + u];
        da[3u * last * WIDTH + u] = vec4f();
        da[(3u * last + 1u) * WIDTH + u] = vec4f();
        da[(3u * last + 2u) * WIDTH + u] = vec4f();
      }
    }
  }
  for (var step = 1u; step <= LENGTH; step++) {
    let t = LENGTH - step;
    for (var i = 0u; i < SLICE; i++) {
      let example = min(first + i, BATCH - 1u);
      let isThere = first + i < BATCH;
      for (var u = 0u; u < WIDTH; u++) {
        let slope = dh0[example * WIDTH + u];
        // include gru_slopes
        if (isThere) { dh0[example * WIDTH + u] = slope * z + g[state * WIDTH + u]; }
      }
    }
    for (var u = 0u; u < WIDTH; u++) {
      var sums: array<vec4f, SLICE>;
      for (var i = 0u; i < SLICE; i++) { // unroll
        sums[i] = vec4f();
      }
      // include gru_back
      for (var i = 0u; i < SLICE; i++) { // unroll
        if (first + i < BATCH) { dh0[rows[i] * WIDTH + u] += sums[i]; }
      }
    }
  }
}

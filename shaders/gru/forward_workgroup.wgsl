// A gated recurrent unit over a sequence by workgroups; see forward.wgsl for what it computes, and of what.
//
// A workgroup walks over time with SLICE examples, whose states lie in workgroup memory twice: the one before, and the next. A thread
// has four numbers of the states at a time; what it loads of w serves all examples. A barrier a step.
// Reads w BATCH / SLICE · LENGTH times through the cache, x once; writes y. 6 · BATCH · LENGTH · (4·WIDTH)² operations.
// include gru_operands

var<workgroup> states: array<vec4f, 2 * SLICE * WIDTH>;

// include gru_gate

fn previous(i: u32, row: u32, t: u32, k: u32) -> vec4f {
  return states[((t & 1u) * SLICE + i) * WIDTH + k];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * groups.x + group.x) * SLICE;
  var rows: array<u32, SLICE>;
  for (var i = 0u; i < SLICE; i++) { // unroll
    rows[i] = min(first + i, BATCH - 1u);
  }
  for (var u = local; u < WIDTH; u += 64u) {
    for (var i = 0u; i < SLICE; i++) { // unroll
      let h = h0[rows[i] * WIDTH + u];
      states[i * WIDTH + u] = h;
      if (first + i < BATCH) { y[rows[i] * (LENGTH + 1u) * WIDTH + u] = h; }
    }
  }
  // LENGTH, but no number that is known: some drivers would write the loop out, barriers and all.
  let length = LENGTH + groups.z - 1u;
  workgroupBarrier();
  for (var t = 0u; t < length; t++) {
    for (var u = local; u < WIDTH; u += 64u) {
      // include gru_step
      for (var i = 0u; i < SLICE; i++) { // unroll
        states[(((t + 1u) & 1u) * SLICE + i) * WIDTH + u] = next[i];
      }
    }
    workgroupBarrier();
  }
}

// A gated recurrent unit over a sequence (Cho and others, Learning Phrase Representations, 2014, with the reset behind the matmul, as
// PyTorch has it), in one dispatch: a = h·wᵀ + bias; r = σ(x_r + a_r); z = σ(x_z + a_z); n = tanh(x_n + r·a_n); h' = (1 − z)·n + z·h.
//
// x [BATCH, LENGTH, 3, 4·WIDTH], what the input gives to r, z and n; w [3, 4·WIDTH, 4·WIDTH]; bias [3, 4·WIDTH];
// h0 [BATCH, 4·WIDTH]; y [BATCH, LENGTH + 1, 4·WIDTH], the states, h0 in front.
// A thread walks over time with SLICE examples, whose states it reads where it wrote them, in y: it waits for no other, so there is no
// barrier, at which drivers on the CPU go from thread to thread. Four numbers of the states at a time; what is loaded of w serves all
// examples. Workgroups are small, so that few examples keep several cores busy. Nobody returns early: what follows would be masked.
// Reads w BATCH / SLICE · LENGTH times through the cache, x once; writes y. 6 · BATCH · LENGTH · (4·WIDTH)² operations.
// include gru_operands

// include gru_gate

fn previous(i: u32, row: u32, t: u32, k: u32) -> vec4f {
  return y[(row * (LENGTH + 1u) + t) * WIDTH + k];
}

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = ((group.y * groups.x + group.x) * 4u + local) * SLICE;
  var rows: array<u32, SLICE>;
  for (var i = 0u; i < SLICE; i++) { // unroll
    rows[i] = min(first + i, BATCH - 1u);
  }
  for (var u = 0u; u < WIDTH; u++) {
    for (var i = 0u; i < SLICE; i++) { // unroll
      if (first + i < BATCH) { y[rows[i] * (LENGTH + 1u) * WIDTH + u] = h0[rows[i] * WIDTH + u]; }
    }
  }
  for (var t = 0u; t < LENGTH; t++) {
    for (var u = 0u; u < WIDTH; u++) {
      // include gru_step
    }
  }
}

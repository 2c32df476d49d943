enable subgroups;
// Whole quads leave early together, which the analysis cannot see.
diagnostic(off, subgroup_uniformity);

// The gradient of attention for its queries, from that of its result: dq = scale · Σ over keys of dS · k, where
// P = exp(scale · q·k − lse), dS = P · (g·v − delta). Everything is computed again from q, k and lse, so that nothing
// quadratic in the length is stored (Dao and others, FlashAttention, 2022, algorithm 4).
//
// Shapes, constants and tiles as in forward.wgsl; g and dq [BATCH, QUERIES, HEADS, 4·SIZE]; delta [BATCH, QUERIES, HEADS] is
// Σ g·y over a head, less what the logsumexp's own cotangent adds. One thread a tile of queries, the keys in order: the same
// bits every time. 6 · BATCH · HEADS · QUERIES · KEYS · 4·SIZE operations, half of them if CAUSAL.
// QUADS: as in forward.wgsl; four keys, and their values, are loaded once and kept.
// include attention_operands
// include attention_thread
// include attention_cotangents
// include quad_rows
const ROWS: u32 = QUERIES;
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  // include attention_tile
  var rows_q: array<u32, TILE>;
  var rows_g: array<u32, TILE>;
  var sums: array<vec4f, TILE * SIZE>;
  var own_q: array<vec4f, OWN>;
  var own_g: array<vec4f, OWN>;
  var level: array<f32, TILE>;
  var mean: array<f32, TILE>;
  for (var i = 0u; i < TILE; i++) { // unroll
    let query = batch * QUERIES + min(first + i, QUERIES - 1u);
    let out = query * HEADS + head;
    rows_q[i] = query * Q_WIDTH + Q_FIRST + head * SIZE;
    rows_g[i] = out * SIZE;
    level[i] = lse[out];
    mean[i] = delta[out];
    if (QUADS) {
      for (var d = 0u; d < SIZE; d++) { // unroll
        own_q[i * SIZE + d] = q[rows_q[i] + d];
        own_g[i * SIZE + d] = g[rows_g[i] + d];
      }
    }
  }
  let end = select(KEYS, min(KEYS, together + select(1u, 4u, QUADS) * TILE), CAUSAL);
  let k0 = batch * KEYS * K_WIDTH + K_FIRST + head * SIZE;
  let v0 = batch * KEYS * V_WIDTH + V_FIRST + head * SIZE;
  for (var key = 0u; key < end; key += 4u) {
    // include attention_keys
    // Not every driver clears what is declared in a loop.
    var scores: array<vec4f, TILE>;
    var slopes: array<vec4f, TILE>;
    for (var i = 0u; i < TILE; i++) { // unroll
      scores[i] = vec4f();
      slopes[i] = vec4f();
    }
    var kept: array<mat4x4f, KEPT>;
    if (QUADS) {
      for (var d = 0u; d < SIZE; d++) { // unroll
        kept[d] = quad_rows(k[kr.x + d]);
        let value_block = quad_rows(v[vr.x + d]);
        for (var i = 0u; i < TILE; i++) { // unroll
          scores[i] += own_q[i * SIZE + d] * kept[d];
          slopes[i] += own_g[i * SIZE + d] * value_block;
        }
      }
    } else {
      for (var d = 0u; d < SIZE; d++) {
        let key_block = mat4x4f(k[kr.x + d], k[kr.y + d], k[kr.z + d], k[kr.w + d]);
        let value_block = mat4x4f(v[vr.x + d], v[vr.y + d], v[vr.z + d], v[vr.w + d]);
        for (var i = 0u; i < TILE; i++) { // unroll
          scores[i] += q[rows_q[i] + d] * key_block;
          slopes[i] += g[rows_g[i] + d] * value_block;
        }
      }
    }
    for (var i = 0u; i < TILE; i++) { // unroll
      // include attention_seen
      slopes[i] = select(vec4f(), exp(SCALE * scores[i] - level[i]) * (slopes[i] - mean[i]), seen);
    }
    for (var d = 0u; d < SIZE; d++) { // unroll
      var key_block: mat4x4f;
      if (QUADS) {
        key_block = kept[d];
      } else {
        key_block = mat4x4f(k[kr.x + d], k[kr.y + d], k[kr.z + d], k[kr.w + d]);
      }
      for (var i = 0u; i < TILE; i++) { // unroll
        sums[i * SIZE + d] += key_block * slopes[i];
      }
    }
  }
  for (var i = 0u; i < TILE; i++) { // unroll
    if (first + i < QUERIES) {
      let row = (batch * QUERIES + first + i) * HEADS + head;
      for (var d = 0u; d < SIZE; d++) { // unroll
        dq[row * SIZE + d] = SCALE * sums[i * SIZE + d];
      }
    }
  }
}

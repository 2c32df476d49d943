enable subgroups;
// Whole quads leave early together, which the analysis cannot see.
diagnostic(off, subgroup_uniformity);

// The gradients of attention for its keys and values, from that of its result: dk = scale · Σ over queries of dS · q and
// dv = Σ P · g, with P and dS as in query_gradient.wgsl, computed again.
//
// Shapes and constants as in forward.wgsl; g [BATCH, QUERIES, HEADS, 4·SIZE]; lse and delta [BATCH, QUERIES, HEADS];
// dkv [2, BATCH, KEYS, HEADS, 4·SIZE]: first dk, then dv. A thread has TILE keys of one head and walks over the queries, four at
// a time, in order: the same bits every time. 8 · BATCH · HEADS · QUERIES · KEYS · 4·SIZE operations, half of them if CAUSAL.
// QUADS: as in forward.wgsl, with queries for keys; what is loaded of four queries is kept.
// include attention_operands
// include attention_thread
// include attention_cotangents
// include quad_rows
const ROWS: u32 = KEYS;
@group(0) @binding(6) var<storage, read_write> dkv: array<vec4f>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  // include attention_tile
  var rows_k: array<u32, TILE>;
  var rows_v: array<u32, TILE>;
  var key_sums: array<vec4f, TILE * SIZE>;
  var value_sums: array<vec4f, TILE * SIZE>;
  var own_k: array<vec4f, OWN>;
  var own_v: array<vec4f, OWN>;
  for (var i = 0u; i < TILE; i++) { // unroll
    let row = batch * KEYS + min(first + i, KEYS - 1u);
    rows_k[i] = row * K_WIDTH + K_FIRST + head * SIZE;
    rows_v[i] = row * V_WIDTH + V_FIRST + head * SIZE;
    if (QUADS) {
      for (var d = 0u; d < SIZE; d++) { // unroll
        own_k[i * SIZE + d] = k[rows_k[i] + d];
        own_v[i * SIZE + d] = v[rows_v[i] + d];
      }
    }
  }
  let q0 = batch * QUERIES * Q_WIDTH + Q_FIRST + head * SIZE;
  for (var query = select(0u, together / 4u * 4u, CAUSAL); query < QUERIES; query += 4u) {
    let queries = vec4u(query) + select(vec4u(0u, 1u, 2u, 3u), vec4u(local % 4u) ^ vec4u(0u, 1u, 2u, 3u), QUADS);
    let rows = min(queries, vec4u(QUERIES - 1u));
    let qr = rows * Q_WIDTH + vec4u(q0);
    let out = (rows + vec4u(batch * QUERIES)) * HEADS + vec4u(head);
    let gr = out * SIZE;
    var level: vec4f;
    var mean: vec4f;
    if (QUADS) {
      level = quad_numbers(lse[out.x]);
      mean = quad_numbers(delta[out.x]);
    } else {
      level = vec4f(lse[out.x], lse[out.y], lse[out.z], lse[out.w]);
      mean = vec4f(delta[out.x], delta[out.y], delta[out.z], delta[out.w]);
    }
    // Not every driver clears what is declared in a loop.
    var scores: array<vec4f, TILE>;
    var slopes: array<vec4f, TILE>;
    for (var i = 0u; i < TILE; i++) { // unroll
      scores[i] = vec4f();
      slopes[i] = vec4f();
    }
    var kept_q: array<mat4x4f, KEPT>;
    var kept_g: array<mat4x4f, KEPT>;
    if (QUADS) {
      for (var d = 0u; d < SIZE; d++) { // unroll
        kept_q[d] = quad_rows(q[qr.x + d]);
        kept_g[d] = quad_rows(g[gr.x + d]);
        for (var i = 0u; i < TILE; i++) { // unroll
          scores[i] += own_k[i * SIZE + d] * kept_q[d];
          slopes[i] += own_v[i * SIZE + d] * kept_g[d];
        }
      }
    } else {
      for (var d = 0u; d < SIZE; d++) {
        let query_block = mat4x4f(q[qr.x + d], q[qr.y + d], q[qr.z + d], q[qr.w + d]);
        let cotangents = mat4x4f(g[gr.x + d], g[gr.y + d], g[gr.z + d], g[gr.w + d]);
        for (var i = 0u; i < TILE; i++) { // unroll
          scores[i] += k[rows_k[i] + d] * query_block;
          slopes[i] += v[rows_v[i] + d] * cotangents;
        }
      }
    }
    for (var i = 0u; i < TILE; i++) { // unroll
      var seen = queries < vec4u(QUERIES);
      if (CAUSAL) { seen = seen & (queries >= vec4u(first + i)); }
      if (MASKED) {
        let m = batch * MASK_BATCH + head * MASK_HEAD + min(first + i, KEYS - 1u) * MASK_KEY;
        let at = rows * MASK_QUERY + vec4u(m);
        seen = seen & (vec4f(mask[at.x], mask[at.y], mask[at.z], mask[at.w]) > vec4f());
      }
      scores[i] = select(vec4f(), exp(SCALE * scores[i] - level), seen);
      slopes[i] = select(vec4f(), scores[i] * (slopes[i] - mean), seen);
    }
    for (var d = 0u; d < SIZE; d++) { // unroll
      var query_block: mat4x4f;
      var cotangents: mat4x4f;
      if (QUADS) {
        query_block = kept_q[d];
        cotangents = kept_g[d];
      } else {
        query_block = mat4x4f(q[qr.x + d], q[qr.y + d], q[qr.z + d], q[qr.w + d]);
        cotangents = mat4x4f(g[gr.x + d], g[gr.y + d], g[gr.z + d], g[gr.w + d]);
      }
      for (var i = 0u; i < TILE; i++) { // unroll
        key_sums[i * SIZE + d] += query_block * slopes[i];
        value_sums[i * SIZE + d] += cotangents * scores[i];
      }
    }
  }
  for (var i = 0u; i < TILE; i++) { // unroll
    if (first + i < KEYS) {
      let row = (batch * KEYS + first + i) * HEADS + head;
      for (var d = 0u; d < SIZE; d++) { // unroll
        dkv[row * SIZE + d] = SCALE * key_sums[i * SIZE + d];
        dkv[(BATCH * KEYS * HEADS + row) * SIZE + d] = value_sums[i * SIZE + d];
      }
    }
  }
}

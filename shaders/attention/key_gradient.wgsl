// The gradients of attention for its keys and values, from that of its result: dk = scale · Σ over queries of dS · q and
// dv = Σ P · g, with P and dS as in query_gradient.wgsl, computed again.
//
// Shapes and constants as in forward.wgsl; g [BATCH, QUERIES, HEADS, 4·SIZE]; lse and delta [BATCH, QUERIES, HEADS];
// dkv [2, BATCH, KEYS, HEADS, 4·SIZE]: first dk, then dv. A thread has TILE keys of one head and walks over the queries, four at
// a time, in order: the same bits every time. 8 · BATCH · HEADS · QUERIES · KEYS · 4·SIZE operations, half of them if CAUSAL.
// include attention_operands
// include attention_cotangents
@group(0) @binding(6) var<storage, read_write> dkv: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let id = (group.y * groups.x + group.x) * 64u + local;
  let tiles = (KEYS + TILE - 1u) / TILE;
  let head = id / tiles % HEADS;
  let batch = id / (tiles * HEADS);
  if (batch >= BATCH) { return; }
  let first = id % tiles * TILE;
  var rows_k: array<u32, TILE>;
  var rows_v: array<u32, TILE>;
  var key_sums: array<vec4f, TILE * SIZE>;
  var value_sums: array<vec4f, TILE * SIZE>;
  for (var i = 0u; i < TILE; i++) { // unroll
    let row = batch * KEYS + min(first + i, KEYS - 1u);
    rows_k[i] = row * K_WIDTH + K_FIRST + head * SIZE;
    rows_v[i] = row * V_WIDTH + V_FIRST + head * SIZE;
  }
  let q0 = batch * QUERIES * Q_WIDTH + Q_FIRST + head * SIZE;
  for (var query = select(0u, first / 4u * 4u, CAUSAL); query < QUERIES; query += 4u) {
    let queries = vec4u(query, query + 1u, query + 2u, query + 3u);
    let rows = min(queries, vec4u(QUERIES - 1u));
    let qr = rows * Q_WIDTH + vec4u(q0);
    let out = (rows + vec4u(batch * QUERIES)) * HEADS + vec4u(head);
    let gr = out * SIZE;
    let level = vec4f(lse[out.x], lse[out.y], lse[out.z], lse[out.w]);
    let mean = vec4f(delta[out.x], delta[out.y], delta[out.z], delta[out.w]);
    // Not every driver clears what is declared in a loop.
    var scores: array<vec4f, TILE>;
    var slopes: array<vec4f, TILE>;
    for (var i = 0u; i < TILE; i++) { // unroll
      scores[i] = vec4f();
      slopes[i] = vec4f();
    }
    for (var d = 0u; d < SIZE; d++) {
      let query_block = mat4x4f(q[qr.x + d], q[qr.y + d], q[qr.z + d], q[qr.w + d]);
      let cotangents = mat4x4f(g[gr.x + d], g[gr.y + d], g[gr.z + d], g[gr.w + d]);
      for (var i = 0u; i < TILE; i++) { // unroll
        scores[i] += k[rows_k[i] + d] * query_block;
        slopes[i] += v[rows_v[i] + d] * cotangents;
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
      let query_block = mat4x4f(q[qr.x + d], q[qr.y + d], q[qr.z + d], q[qr.w + d]);
      let cotangents = mat4x4f(g[gr.x + d], g[gr.y + d], g[gr.z + d], g[gr.w + d]);
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

enable subgroups;
// Whole quads leave early together, which the analysis cannot see.
diagnostic(off, subgroup_uniformity);

// Attention, softmax(scale · Q·Kᵀ)·V by heads, and the logsumexp of each row of scores, which is all that its gradient needs.
//
// q [BATCH, QUERIES, 4·Q_WIDTH], of which a head has 4·SIZE numbers from 4·(Q_FIRST + head·SIZE) on; k and v [BATCH, KEYS, …]
// likewise; y [BATCH, QUERIES, HEADS, 4·SIZE]; lse [BATCH, QUERIES, HEADS].
// A thread has TILE queries of one head and walks over the keys, four at a time, with the greatest score so far and the sums
// over it (Milakov and Gimelshein, Online normalizer calculation for softmax, 2018; Dao and others, FlashAttention, 2022): no
// matrix of scores is stored. Neighbouring threads have the same keys, which meet in the cache. 
// Reads k and v QUERIES / TILE times through the cache, q once; writes y and lse. 4 · BATCH · HEADS · QUERIES · KEYS · 4·SIZE
// operations, half of them if CAUSAL.
//
// CAUSAL: a query sees no key behind its own position. MASKED: it sees a key where mask is above 0, at
// batch · MASK_BATCH + head · MASK_HEAD + query · MASK_QUERY + key · MASK_KEY. A query that sees none gives 0, and LOWEST as lse.
// QUADS: each lane of a quad loads one of four keys and gets the others by swaps, and has its queries in registers; for drivers
// to which a load costs as much as twenty multiply-adds, with subgroups of four.
// include attention_operands
// include attention_thread
// include quad_rows
const ROWS: u32 = QUERIES;
const LOWEST: f32 = -3.4028234e38;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<storage, read> mask: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  // include attention_tile
  var rows_q: array<u32, TILE>;
  var sums: array<vec4f, TILE * SIZE>;
  var own: array<vec4f, OWN>;
  var top: array<f32, TILE>;
  var total: array<f32, TILE>;
  for (var i = 0u; i < TILE; i++) { // unroll
    rows_q[i] = (batch * QUERIES + min(first + i, QUERIES - 1u)) * Q_WIDTH + Q_FIRST + head * SIZE;
    top[i] = LOWEST;
    if (QUADS) {
      for (var d = 0u; d < SIZE; d++) { // unroll
        own[i * SIZE + d] = q[rows_q[i] + d];
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
    for (var i = 0u; i < TILE; i++) { // unroll
      scores[i] = vec4f();
    }
    if (QUADS) {
      for (var d = 0u; d < SIZE; d++) { // unroll
        let right = quad_rows(k[kr.x + d]);
        for (var i = 0u; i < TILE; i++) { // unroll
          scores[i] += own[i * SIZE + d] * right;
        }
      }
    } else {
      for (var d = 0u; d < SIZE; d++) {
        let right = mat4x4f(k[kr.x + d], k[kr.y + d], k[kr.z + d], k[kr.w + d]);
        for (var i = 0u; i < TILE; i++) { // unroll
          scores[i] += q[rows_q[i] + d] * right;
        }
      }
    }
    var shrink: array<f32, TILE>;
    for (var i = 0u; i < TILE; i++) { // unroll
      // include attention_seen
      let score = select(vec4f(LOWEST), SCALE * scores[i], seen);
      let greatest = max(top[i], max(max(score.x, score.y), max(score.z, score.w)));
      let p = select(vec4f(), exp(score - greatest), seen);
      shrink[i] = exp(top[i] - greatest);
      total[i] = total[i] * shrink[i] + ((p.x + p.y) + (p.z + p.w));
      top[i] = greatest;
      scores[i] = p;
    }
    for (var d = 0u; d < SIZE; d++) { // unroll
      var right: mat4x4f;
      if (QUADS) {
        right = quad_rows(v[vr.x + d]);
      } else {
        right = mat4x4f(v[vr.x + d], v[vr.y + d], v[vr.z + d], v[vr.w + d]);
      }
      for (var i = 0u; i < TILE; i++) { // unroll
        sums[i * SIZE + d] = sums[i * SIZE + d] * shrink[i] + right * scores[i];
      }
    }
  }
  for (var i = 0u; i < TILE; i++) { // unroll
    if (first + i < QUERIES) {
      let row = (batch * QUERIES + first + i) * HEADS + head;
      let scale = select(0.0, 1.0 / total[i], total[i] > 0.0);
      for (var d = 0u; d < SIZE; d++) { // unroll
        y[row * SIZE + d] = sums[i * SIZE + d] * scale;
      }
      lse[row] = select(LOWEST, top[i] + log(total[i]), total[i] > 0.0);
    }
  }
}

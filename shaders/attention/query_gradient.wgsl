// The gradient of attention for its queries, from that of its result: dq = scale · Σ over keys of dS · k, where
// P = exp(scale · q·k − lse), dS = P · (g·v − delta). Everything is computed again from q, k and lse, so that nothing
// quadratic in the length is stored (Dao and others, FlashAttention, 2022, algorithm 4).
//
// Shapes, constants and tiles as in forward.wgsl; g and dq [BATCH, QUERIES, HEADS, 4·SIZE]; delta [BATCH, QUERIES, HEADS] is
// Σ g·y over a head, less what the logsumexp's own cotangent adds. One thread a tile of queries, the keys in order: the same
// bits every time. 6 · BATCH · HEADS · QUERIES · KEYS · 4·SIZE operations, half of them if CAUSAL.
const BATCH: u32 = 2;
const HEADS: u32 = 2;
const SIZE: u32 = 2;
const QUERIES: u32 = 8;
const KEYS: u32 = 8;
const Q_WIDTH: u32 = 4;
const K_WIDTH: u32 = 4;
const V_WIDTH: u32 = 4;
const Q_FIRST: u32 = 0;
const K_FIRST: u32 = 0;
const V_FIRST: u32 = 0;
const SCALE: f32 = 0.35;
const CAUSAL: bool = false;
const MASKED: bool = false;
const MASK_BATCH: u32 = 0;
const MASK_HEAD: u32 = 0;
const MASK_QUERY: u32 = 0;
const MASK_KEY: u32 = 0;
const TILE: u32 = 4;

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> g: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;
@group(0) @binding(7) var<storage, read> mask: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let id = (group.y * groups.x + group.x) * 64u + local;
  let tiles = (QUERIES + TILE - 1u) / TILE;
  let head = id / tiles % HEADS;
  let batch = id / (tiles * HEADS);
  if (batch >= BATCH) { return; }
  let first = id % tiles * TILE;
  var rows_q: array<u32, TILE>;
  var rows_g: array<u32, TILE>;
  var sums: array<vec4f, TILE * SIZE>;
  var level: array<f32, TILE>;
  var mean: array<f32, TILE>;
  for (var i = 0u; i < TILE; i++) { // unroll
    let query = batch * QUERIES + min(first + i, QUERIES - 1u);
    let out = query * HEADS + head;
    rows_q[i] = query * Q_WIDTH + Q_FIRST + head * SIZE;
    rows_g[i] = out * SIZE;
    level[i] = lse[out];
    mean[i] = delta[out];
  }
  let end = select(KEYS, min(KEYS, first + TILE), CAUSAL);
  let k0 = batch * KEYS * K_WIDTH + K_FIRST + head * SIZE;
  let v0 = batch * KEYS * V_WIDTH + V_FIRST + head * SIZE;
  for (var key = 0u; key < end; key += 4u) {
    let keys = vec4u(key, key + 1u, key + 2u, key + 3u);
    let rows = min(keys, vec4u(KEYS - 1u));
    let kr = rows * K_WIDTH + vec4u(k0);
    let vr = rows * V_WIDTH + vec4u(v0);
    // Not every driver clears what is declared in a loop.
    var scores: array<vec4f, TILE>;
    var slopes: array<vec4f, TILE>;
    for (var i = 0u; i < TILE; i++) { // unroll
      scores[i] = vec4f();
      slopes[i] = vec4f();
    }
    for (var d = 0u; d < SIZE; d++) {
      let key_block = mat4x4f(k[kr.x + d], k[kr.y + d], k[kr.z + d], k[kr.w + d]);
      let value_block = mat4x4f(v[vr.x + d], v[vr.y + d], v[vr.z + d], v[vr.w + d]);
      for (var i = 0u; i < TILE; i++) { // unroll
        scores[i] += q[rows_q[i] + d] * key_block;
        slopes[i] += g[rows_g[i] + d] * value_block;
      }
    }
    for (var i = 0u; i < TILE; i++) { // unroll
      var seen = keys < vec4u(select(KEYS, min(KEYS, first + i + 1u), CAUSAL));
      if (MASKED) {
        let m = batch * MASK_BATCH + head * MASK_HEAD + min(first + i, QUERIES - 1u) * MASK_QUERY;
        let at = rows * MASK_KEY + vec4u(m);
        seen = seen & (vec4f(mask[at.x], mask[at.y], mask[at.z], mask[at.w]) > vec4f());
      }
      slopes[i] = select(vec4f(), exp(SCALE * scores[i] - level[i]) * (slopes[i] - mean[i]), seen);
    }
    for (var d = 0u; d < SIZE; d++) { // unroll
      let key_block = mat4x4f(k[kr.x + d], k[kr.y + d], k[kr.z + d], k[kr.w + d]);
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

// The gradient of attention for its queries, as in query_gradient.wgsl, with a workgroup for a block of queries of one head.
//
// Shapes and constants as in query_gradient.wgsl; blocks and tiles as in attention_block.wgsl. The workgroup walks over blocks of keys:
// scores and their cotangents by tiles in registers, and from these the sums of keys, in order: the same bits every time.
// Reads k and v QUERIES / (32 · OWN4) times and q and g KEYS / (8 · OTHERS) times, vec4s side by side; writes dq once.
// 6 · BATCH · HEADS · QUERIES · KEYS · 4·SIZE operations, half of them if CAUSAL.
// include attention_operands
// include attention_cotangents
const PARTS: u32 = 2;
const FIRST: u32 = 1;
const ROWS: u32 = QUERIES;
// include attention_block
@group(0) @binding(6) var<storage, read_write> dq: array<vec4f>;

fn own(part: u32, row: u32, d: u32) -> vec4f {
  if (part == 0u) { return query_number(row, d); }
  return g[((batch * QUERIES + min(row, QUERIES - 1u)) * HEADS + head) * SIZE + d];
}

fn other(part: u32, row: u32, d: u32) -> vec4f {
  if (part == 0u) { return key_number(row, d); }
  return value_number(row, d);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  // include attention_block_start
  let first = (blocks - 1u - block) * 32u * OWN4;
  var sums: array<vec4f, 4 * OWN4 * COLUMNS>;
  var level: array<vec4f, OWN4>;
  var mean: array<vec4f, OWN4>;
  for (var h = 0u; h < OWN4; h++) { // unroll
    let queries = min(vec4u(first + 32u * h + down) + vec4u(0u, 8u, 16u, 24u), vec4u(QUERIES - 1u));
    let rows = (queries + vec4u(batch * QUERIES)) * HEADS + vec4u(head);
    level[h] = vec4f(lse[rows.x], lse[rows.y], lse[rows.z], lse[rows.w]);
    mean[h] = vec4f(delta[rows.x], delta[rows.y], delta[rows.z], delta[rows.w]);
  }
  let end = select(KEYS, min(KEYS, first + 32u * OWN4), CAUSAL);
  for (var step = 0u; step < end; step += 8u * OTHERS) {
    // include attention_block_scores
    for (var j = 0u; j < OTHERS; j++) { // unroll
      for (var h = 0u; h < OWN4; h++) { // unroll
        let seen = sees(vec4u(first + 32u * h + down) + vec4u(0u, 8u, 16u, 24u), vec4u(step + 8u * j + across));
        let weight = exp(SCALE * scores[j * OWN4 + h] - level[h]);
        scores[(OTHERS + j) * OWN4 + h] = select(vec4f(), weight * (scores[(OTHERS + j) * OWN4 + h] - mean[h]), seen);
      }
    }
    // include attention_block_sums
  }
  for (var i = 0u; i < 4u * OWN4; i++) { // unroll
    let query = first + 8u * i + down;
    if (query < QUERIES) {
      let row = (batch * QUERIES + query) * HEADS + head;
      for (var c = 0u; c < COLUMNS; c++) { // unroll
        if (8u * COLUMNS == SIZE || 8u * c + across < SIZE) {
          dq[row * SIZE + 8u * c + across] = SCALE * sums[i * COLUMNS + c];
        }
      }
    }
  }
}

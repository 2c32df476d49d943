// The gradients of attention for its keys and values, as in key_gradient.wgsl, with a workgroup for a block of keys of one head.
//
// Shapes and constants as in key_gradient.wgsl; blocks and tiles as in attention_block.wgsl. The workgroup walks over blocks of queries,
// from the first that sees any of its keys on: scores and their cotangents by tiles in registers, and from these the sums of cotangents
// and of queries, in order: the same bits every time.
// Reads q and g KEYS / (32 · OWN4) times and k and v QUERIES / (8 · OTHERS) times, vec4s side by side; writes dkv once.
// 8 · BATCH · HEADS · QUERIES · KEYS · 4·SIZE operations, half of them if CAUSAL.
// include attention_operands
// include attention_cotangents
const PARTS: u32 = 2;
const FIRST: u32 = 0;
const ROWS: u32 = KEYS;
// include attention_block
@group(0) @binding(6) var<storage, read_write> dkv: array<vec4f>;

fn own(part: u32, row: u32, d: u32) -> vec4f {
  if (part == 0u) { return key_number(row, d); }
  return value_number(row, d);
}

fn other(part: u32, row: u32, d: u32) -> vec4f {
  if (part == 0u) { return query_number(row, d); }
  return g[((batch * QUERIES + min(row, QUERIES - 1u)) * HEADS + head) * SIZE + d];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  // include attention_block_start
  let first = block * 32u * OWN4;
  // Of values, and behind them of keys.
  var sums: array<vec4f, 8 * OWN4 * COLUMNS>;
  for (var step = select(0u, first, CAUSAL); step < QUERIES; step += 8u * OTHERS) {
    // include attention_block_scores
    for (var j = 0u; j < OTHERS; j++) { // unroll
      let query = step + 8u * j + across;
      let row = (batch * QUERIES + min(query, QUERIES - 1u)) * HEADS + head;
      for (var h = 0u; h < OWN4; h++) { // unroll
        let seen = sees(vec4u(query), vec4u(first + 32u * h + down) + vec4u(0u, 8u, 16u, 24u));
        let weight = select(vec4f(), exp(SCALE * scores[j * OWN4 + h] - lse[row]), seen);
        scores[j * OWN4 + h] = weight;
        scores[(OTHERS + j) * OWN4 + h] = select(vec4f(), weight * (scores[(OTHERS + j) * OWN4 + h] - delta[row]), seen);
      }
    }
    // include attention_block_sums
  }
  for (var i = 0u; i < 4u * OWN4; i++) { // unroll
    let key = first + 8u * i + down;
    if (key < KEYS) {
      let row = (batch * KEYS + key) * HEADS + head;
      for (var c = 0u; c < COLUMNS; c++) { // unroll
        if (8u * COLUMNS == SIZE || 8u * c + across < SIZE) {
          dkv[row * SIZE + 8u * c + across] = SCALE * sums[(4u * OWN4 + i) * COLUMNS + c];
          dkv[(BATCH * KEYS * HEADS + row) * SIZE + 8u * c + across] = sums[i * COLUMNS + c];
        }
      }
    }
  }
}

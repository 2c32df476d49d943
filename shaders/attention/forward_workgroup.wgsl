// Attention and the logsumexp of each row of scores, as in forward.wgsl, with a workgroup for a block of queries of one head.
//
// Shapes and constants as in forward.wgsl; blocks and tiles as in attention_block.wgsl. The workgroup walks over blocks of keys (Dao,
// FlashAttention-2, 2023, algorithm 1): scores by tiles in registers; the greatest of each row so far, of all threads that have some of
// it; and then the values, weighed by exp(score − greatest). What a thread has of a row's sum of weights it keeps until the end. Keys that
// causality hides from all queries of the block are left out, and the blocks that see most begin first. Everything is added up in one
// order: the same bits every time.
// Reads k and v QUERIES / (32 · OWN4) times and q KEYS / (8 · OTHERS) times, vec4s side by side; writes y and lse once.
// 4 · BATCH · HEADS · QUERIES · KEYS · 4·SIZE operations, half of them if CAUSAL.
// include attention_operands
const PARTS: u32 = 1;
const FIRST: u32 = 0;
const ROWS: u32 = QUERIES;
const LOWEST: f32 = -3.4028234e38;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<storage, read> mask: array<f32>;
// include attention_block
// Where the groups for maxima and sums begin.
const FOLDS: u32 = GROUPS - OWN4;

fn own(part: u32, row: u32, d: u32) -> vec4f {
  return query_number(row, d);
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
  var top: array<vec4f, OWN4>;
  var total: array<vec4f, OWN4>;
  for (var h = 0u; h < OWN4; h++) { // unroll
    // So far above what keys have that are not seen that these weigh nothing.
    top[h] = vec4f(0.5 * LOWEST);
  }
  let end = select(KEYS, min(KEYS, first + 32u * OWN4), CAUSAL);
  for (var step = 0u; step < end; step += 8u * OTHERS) {
    // include attention_block_scores
    for (var h = 0u; h < OWN4; h++) { // unroll
      var greatest = vec4f(LOWEST);
      for (var j = 0u; j < OTHERS; j++) { // unroll
        let seen = sees(vec4u(first + 32u * h + down) + vec4u(0u, 8u, 16u, 24u), vec4u(step + 8u * j + across));
        scores[j * OWN4 + h] = select(vec4f(LOWEST), SCALE * scores[j * OWN4 + h], seen);
        greatest = max(greatest, scores[j * OWN4 + h]);
      }
      tile[FOLDS + h][9u * across + down] = greatest;
    }
    workgroupBarrier();
    for (var h = 0u; h < OWN4; h++) { // unroll
      var greatest = top[h];
      for (var n = 0u; n < 8u; n++) { // unroll
        greatest = max(greatest, tile[FOLDS + h][9u * n + down]);
      }
      let shrink = exp(top[h] - greatest);
      top[h] = greatest;
      total[h] *= shrink;
      for (var j = 0u; j < OTHERS; j++) { // unroll
        scores[j * OWN4 + h] = exp(scores[j * OWN4 + h] - greatest);
        total[h] += scores[j * OWN4 + h];
      }
      for (var c = 0u; c < COLUMNS; c++) { // unroll
        sums[(4u * h) * COLUMNS + c] *= shrink.x;
        sums[(4u * h + 1u) * COLUMNS + c] *= shrink.y;
        sums[(4u * h + 2u) * COLUMNS + c] *= shrink.z;
        sums[(4u * h + 3u) * COLUMNS + c] *= shrink.w;
      }
    }
    // include attention_block_sums
  }
  for (var h = 0u; h < OWN4; h++) { // unroll
    tile[FOLDS + h][9u * across + down] = total[h];
  }
  workgroupBarrier();
  for (var h = 0u; h < OWN4; h++) { // unroll
    var whole = vec4f();
    for (var n = 0u; n < 8u; n++) { // unroll
      whole += tile[FOLDS + h][9u * n + down];
    }
    for (var i = 0u; i < 4u; i++) { // unroll
      let query = first + 32u * h + 8u * i + down;
      if (query < QUERIES) {
        let row = (batch * QUERIES + query) * HEADS + head;
        let scale = select(0.0, 1.0 / whole[i], whole[i] > 0.0);
        for (var c = 0u; c < COLUMNS; c++) { // unroll
          if (8u * COLUMNS == SIZE || 8u * c + across < SIZE) {
            y[row * SIZE + 8u * c + across] = sums[(4u * h + i) * COLUMNS + c] * scale;
          }
        }
        if (across == 0u) { lse[row] = select(LOWEST, top[h][i] + log(whole[i]), whole[i] > 0.0); }
      }
    }
  }
}

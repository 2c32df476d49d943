enable subgroups;
// Whole subgroups leave early together, which the analysis cannot see.
diagnostic(off, subgroup_uniformity);

// Product C[M, N] = A[M, K] · B[K, N], each thread a register tile of TILE_M × 4·TILE_N4 results; the four lanes of a quad
// lie side by side along N, so they need the same rows of A: each loads a quarter, and sees those of the others in turn
// by swaps. So that a swap does, and no broadcast is needed, a lane meets the rows in an order of its own: what it adds up
// at p is of the row that the lane p away (lane ^ p) has loaded.
//
// A thread walks K in steps of four: it loads TILE_M / 4 + 4 · TILE_N4 vec4s, swaps 3 · TILE_M / 4 and does
// 16 · TILE_M · TILE_N4 multiply-adds. Of a driver that fetches lane by lane, a load costs as much as twenty multiply-adds,
// and a broadcast ten: hence large tiles, and swaps. Reads A N / (16 · TILE_N4) times and B M / TILE_M times through the
// cache; writes C once. 2·M·N·K operations.
//
// Constants: TILE_M (a multiple of 4, and of 16 for TRANSPOSE_A), TILE_N4, GROUP_X (a multiple of the subgroup's size, which is
// a multiple of 4), GROUP_Y, BARE_STORE (nothing is fused behind, and tiles fill C).
// Four products are added up before a sum gets them: one access to it where a driver keeps sums in memory.
// include matmul_operands
const TILE_M: u32 = 16;
const TILE_N4: u32 = 1;
const GROUP_X: u32 = 4;
const GROUP_Y: u32 = 8;
const BARE_STORE: bool = false;

// The row within the tile of a lane's i-th line of sums.
fn row_of(i: u32, lane: u32) -> u32 {
  if (TRANSPOSE_A) {
    return i / 16u * 16u + ((lane ^ (i / 4u)) & 3u) * 4u + i % 4u;
  } else {
    return i / 4u * 4u + ((lane ^ i) & 3u);
  }
}

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  // include matmul_tile
  let id = tile_at * vec3u(GROUP_X, GROUP_Y, 1u) + local;
  batch = id.z;
  let col4 = id.x * TILE_N4;
  let row = id.y * TILE_M;
  if (row >= M) { return; }
  let mine = lane % 4u;
  // Of two sizes, since optimizers take arrays of over a hundred elements for memory.
  var sums: array<array<vec4f, TILE_M>, TILE_N4>;
  for (var k4 = 0u; k4 < (K + 3u) / 4u; k4++) {
    var right: array<mat4x4f, TILE_N4>; // four columns of each of four k
    for (var j = 0u; j < TILE_N4; j++) { // unroll
      if (TRANSPOSE_B) {
        let col = 4u * (col4 + j);
        right[j] = transpose(mat4x4f(load_b(min(col, N - 1u), k4), load_b(min(col + 1u, N - 1u), k4), load_b(min(col + 2u, N - 1u), k4), load_b(min(col + 3u, N - 1u), k4)));
      } else {
        let col = min(col4 + j, (N - 1u) / 4u);
        right[j] = mat4x4f(load_b(4u * k4, col), load_b(4u * k4 + 1u, col), load_b(4u * k4 + 2u, col), load_b(4u * k4 + 3u, col));
      }
    }
    if (TRANSPOSE_A) {
      for (var i = 0u; i < TILE_M / 16u; i++) { // unroll
        // Four rows of each of four k; for each c, what the row c of these has for the four k.
        let at = min(row / 4u + 4u * i + mine, (M - 1u) / 4u);
        let own = transpose(mat4x4f(load_a(4u * k4, at), load_a(4u * k4 + 1u, at), load_a(4u * k4 + 2u, at), load_a(4u * k4 + 3u, at)));
        for (var c = 0u; c < 4u; c++) { // unroll
          let left0 = own[c];
          let left1 = quadSwapX(own[c]);
          let left2 = quadSwapY(own[c]);
          let left3 = quadSwapDiagonal(own[c]);
          for (var j = 0u; j < TILE_N4; j++) { // unroll
            sums[j][16u * i + c] += right[j] * left0;
            sums[j][16u * i + 4u + c] += right[j] * left1;
            sums[j][16u * i + 8u + c] += right[j] * left2;
            sums[j][16u * i + 12u + c] += right[j] * left3;
          }
        }
      }
    } else {
      for (var i = 0u; i < TILE_M / 4u; i++) { // unroll
        let left0 = load_a(min(row + 4u * i + mine, M - 1u), k4);
        let left1 = quadSwapX(left0);
        let left2 = quadSwapY(left0);
        let left3 = quadSwapDiagonal(left0);
        for (var j = 0u; j < TILE_N4; j++) { // unroll
          sums[j][4u * i] += right[j] * left0;
          sums[j][4u * i + 1u] += right[j] * left1;
          sums[j][4u * i + 2u] += right[j] * left2;
          sums[j][4u * i + 3u] += right[j] * left3;
        }
      }
    }
  }
  if (BARE_STORE) {
    if (col4 * 4u < N) {
      for (var i = 0u; i < TILE_M; i++) { // unroll
        for (var j = 0u; j < TILE_N4; j++) { // unroll
          store(row + row_of(i, lane), col4 + j, sums[j][i]);
        }
      }
    }
  } else {
    // What is fused behind comes once, not once a result: a driver compiles this many times as fast. The copy keeps
    // the sums themselves free of computed indices, and so in registers.
    var results: array<vec4f, TILE_M * TILE_N4>;
    for (var i = 0u; i < TILE_M * TILE_N4; i++) { // unroll
      results[i] = sums[i % TILE_N4][i / TILE_N4];
    }
    for (var i = 0u; i < TILE_M * TILE_N4; i++) {
      let at = vec2u(row + row_of(i / TILE_N4, lane), col4 + i % TILE_N4);
      if (at.x < M && at.y * 4u < N) { store(at.x, at.y, results[i]); }
    }
  }
}

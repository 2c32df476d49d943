enable subgroups;
// Whole subgroups leave early together, which the analysis cannot see.
diagnostic(off, subgroup_uniformity);

// Product C[M, N] = A[M, K] · B[K, N], each thread a register tile of TILE_M × 4·TILE_N4 results; the lanes of a
// subgroup lie side by side along N, so they need the same rows of A: each loads a part and the others get it by broadcast.
//
// A thread walks K in steps of four: it loads TILE_M / SUBGROUP + 4 · TILE_N4 vec4s and does 16 · TILE_M · TILE_N4
// multiply-adds. Reads A N / (4 · TILE_N4 · SUBGROUP) times and B M / TILE_M times through the cache; writes C once. 2·M·N·K operations.
//
// Constants: SUBGROUP (the adapter's one size), TILE_M (a multiple of 4 and of SUBGROUP), TILE_N4, GROUP_X (a multiple of
// SUBGROUP), GROUP_Y, BARE_STORE (nothing is fused behind, and tiles fill C), BY_FOUR (four products are added up before a sum
// gets them: one access to it where a driver keeps sums in memory, but one addition more where it has fused multiply-adds).
// include matmul_operands
const SUBGROUP: u32 = 4;
const TILE_M: u32 = 16;
const TILE_N4: u32 = 1;
const GROUP_X: u32 = 4;
const GROUP_Y: u32 = 8;
const BARE_STORE: bool = false;
const BY_FOUR: bool = false;

@compute @workgroup_size(GROUP_X, GROUP_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  // include matmul_tile
  let id = tile_at * vec3u(GROUP_X, GROUP_Y, 1u) + local;
  batch = id.z;
  let col4 = id.x * TILE_N4;
  let row = id.y * TILE_M;
  if (row >= M) { return; }
  var sums: array<vec4f, TILE_M * TILE_N4>;
  for (var k4 = 0u; k4 < (K + 3u) / 4u; k4++) {
    // What the tile needs of A for four k is TILE_M vec4s: one a row, or, stored [K, M], TILE_M / 4 for each k.
    var mine: array<vec4f, TILE_M / SUBGROUP>;
    for (var j = 0u; j < TILE_M / SUBGROUP; j++) { // unroll
      let t = j * SUBGROUP + lane;
      if (TRANSPOSE_A) {
        mine[j] = load_a(4u * k4 + t / (TILE_M / 4u), row / 4u + t % (TILE_M / 4u));
      } else {
        mine[j] = load_a(min(row + t, M - 1u), k4);
      }
    }
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
      for (var i = 0u; i < TILE_M / 4u; i++) { // unroll
        let left0 = subgroupShuffle(mine[i / SUBGROUP], i % SUBGROUP);
        let left1 = subgroupShuffle(mine[(TILE_M / 4u + i) / SUBGROUP], (TILE_M / 4u + i) % SUBGROUP);
        let left2 = subgroupShuffle(mine[(2u * TILE_M / 4u + i) / SUBGROUP], (2u * TILE_M / 4u + i) % SUBGROUP);
        let left3 = subgroupShuffle(mine[(3u * TILE_M / 4u + i) / SUBGROUP], (3u * TILE_M / 4u + i) % SUBGROUP);
        // All that a sum is given comes together: of so many sums, few are in registers at a time.
        for (var r = 0u; r < 4u; r++) { // unroll
          for (var j = 0u; j < TILE_N4; j++) { // unroll
            if (BY_FOUR) {
              sums[(4u * i + r) * TILE_N4 + j] += right[j] * vec4f(left0[r], left1[r], left2[r], left3[r]);
            } else {
              sums[(4u * i + r) * TILE_N4 + j] += left0[r] * right[j][0];
              sums[(4u * i + r) * TILE_N4 + j] += left1[r] * right[j][1];
              sums[(4u * i + r) * TILE_N4 + j] += left2[r] * right[j][2];
              sums[(4u * i + r) * TILE_N4 + j] += left3[r] * right[j][3];
            }
          }
        }
      }
    } else {
      for (var i = 0u; i < TILE_M; i++) { // unroll
        let left = subgroupShuffle(mine[i / SUBGROUP], i % SUBGROUP);
        for (var j = 0u; j < TILE_N4; j++) { // unroll
          if (BY_FOUR) {
            sums[i * TILE_N4 + j] += right[j] * left;
          } else {
            sums[i * TILE_N4 + j] += left.x * right[j][0];
            sums[i * TILE_N4 + j] += left.y * right[j][1];
            sums[i * TILE_N4 + j] += left.z * right[j][2];
            sums[i * TILE_N4 + j] += left.w * right[j][3];
          }
        }
      }
    }
  }
  if (BARE_STORE) {
    if (col4 * 4u < N) {
      for (var i = 0u; i < TILE_M; i++) { // unroll
        for (var j = 0u; j < TILE_N4; j++) { // unroll
          store(row + i, col4 + j, sums[i * TILE_N4 + j]);
        }
      }
    }
  } else {
    // What is fused behind comes once, not once a result: a driver compiles this many times as fast. The copy keeps
    // the sums themselves free of computed indices, and so in registers.
    var results: array<vec4f, TILE_M * TILE_N4>;
    for (var i = 0u; i < TILE_M * TILE_N4; i++) { // unroll
      results[i] = sums[i];
    }
    for (var i = 0u; i < TILE_M * TILE_N4; i++) {
      let at = vec2u(row + i / TILE_N4, col4 + i % TILE_N4);
      if (at.x < M && at.y * 4u < N) { store(at.x, at.y, results[i]); }
    }
  }
}

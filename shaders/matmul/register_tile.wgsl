// Product C[M, N] = A[M, K] · B[K, N], each thread a register tile of TILE_M × 4·TILE_N4 results.
//
// A thread walks K in steps of four: it loads TILE_M + 4·TILE_N4 vec4s and does 16 · TILE_M · TILE_N4 multiply-adds.
// No workgroup memory: neighbours' loads meet in the cache. This is what a CPU adapter likes; see workgroup_tile.
// Reads A N/(4·TILE_N4) times and B M/TILE_M times through the cache; writes C once. 2·M·N·K operations.
//
// Constants: TILE_M (a multiple of 4), TILE_N4, GROUP_X, GROUP_Y, GROUP_Z (threads of a workgroup along N, M and the batch),
// BY_FOUR (four products are added up before a sum gets them, as in register_tile_subgroup.wgsl).
// include matmul_operands
const TILE_M: u32 = 8;
const TILE_N4: u32 = 2;
const GROUP_X: u32 = 8;
const GROUP_Y: u32 = 8;
const BY_FOUR: bool = false;
const GROUP_Z: u32 = 1;

@compute @workgroup_size(GROUP_X, GROUP_Y, GROUP_Z)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_id) local: vec3u) {
  // include matmul_tile
  let id = tile_at * vec3u(GROUP_X, GROUP_Y, GROUP_Z) + local;
  batch = id.z;
  let col4 = id.x * TILE_N4;
  let row = id.y * TILE_M;
  if (row >= M || col4 * 4u >= N || batch >= BATCHES) { return; }
  var sums: array<vec4f, TILE_M * TILE_N4>;
  for (var k4 = 0u; k4 < (K + 3u) / 4u; k4++) {
    var left: array<vec4f, TILE_M>; // four k of each row
    if (TRANSPOSE_A) {
      for (var i = 0u; i < TILE_M / 4u; i++) { // unroll
        let block = transpose(mat4x4f(load_a(4u * k4, row / 4u + i), load_a(4u * k4 + 1u, row / 4u + i), load_a(4u * k4 + 2u, row / 4u + i), load_a(4u * k4 + 3u, row / 4u + i)));
        left[4u * i] = block[0];
        left[4u * i + 1u] = block[1];
        left[4u * i + 2u] = block[2];
        left[4u * i + 3u] = block[3];
      }
    } else {
      for (var i = 0u; i < TILE_M; i++) { // unroll
        left[i] = load_a(min(row + i, M - 1u), k4);
      }
    }
    for (var j = 0u; j < TILE_N4; j++) { // unroll
      var right: mat4x4f; // four columns of each of four k
      if (TRANSPOSE_B) {
        let col = 4u * (col4 + j);
        right = transpose(mat4x4f(load_b(min(col, N - 1u), k4), load_b(min(col + 1u, N - 1u), k4), load_b(min(col + 2u, N - 1u), k4), load_b(min(col + 3u, N - 1u), k4)));
      } else {
        right = mat4x4f(load_b(4u * k4, col4 + j), load_b(4u * k4 + 1u, col4 + j), load_b(4u * k4 + 2u, col4 + j), load_b(4u * k4 + 3u, col4 + j));
      }
      for (var i = 0u; i < TILE_M; i++) { // unroll
        if (BY_FOUR) {
          sums[i * TILE_N4 + j] += right * left[i];
        } else {
          sums[i * TILE_N4 + j] += left[i].x * right[0];
          sums[i * TILE_N4 + j] += left[i].y * right[1];
          sums[i * TILE_N4 + j] += left[i].z * right[2];
          sums[i * TILE_N4 + j] += left[i].w * right[3];
        }
      }
    }
  }
  for (var i = 0u; i < TILE_M; i++) { // unroll
    for (var j = 0u; j < TILE_N4; j++) { // unroll
      if (row + i < M && (col4 + j) * 4u < N) { store(row + i, col4 + j, sums[i * TILE_N4 + j]); }
    }
  }
}

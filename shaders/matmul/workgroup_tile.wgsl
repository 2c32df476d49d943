// Product C[M, N] = A[M, K] · B[K, N], each workgroup a tile of TILE_M × TILE_N results, through workgroup memory.
//
// TRANSPOSE_A: A is stored [K, M]. TRANSPOSE_B: B is stored [N, K].
// The workgroup walks K in steps of DEPTH. Its threads load the step's parts of A and B as 4×4 blocks (four vec4 loads
// each, turned in registers where they are stored the other way round), so that workgroup memory holds both with k
// outermost; then each thread does 16 · REG_M4 · REG_N4 multiply-adds a k from REG_M4 + REG_N4 vec4s of it.
// Reads A N / TILE_N times and B M / TILE_M times, writes C once. 2·M·N·K operations.
// Workgroup memory: 4 · DEPTH · (TILE_M + TILE_N) bytes, half of that where the operands are stored as f16. Threads: TILE_M · TILE_N / (16 · REG_M4 · REG_N4).
//
// Constants: M, N, K, TRANSPOSE_A, TRANSPOSE_B, TILE_M, TILE_N, DEPTH (all multiples of 4), REG_M4, REG_N4, THREADS.
// SPREAD: of GROUPS_X × GROUPS_Y workgroups for each of BATCHES matmuls, more than a dimension takes: they are counted through.
// Aliases: TileA, TileB (vec4f or vec4<f16>, which needs `enable f16`).
// Hooks: as in register_tile.wgsl.
const M: u32 = 64;
const N: u32 = 64;
const K: u32 = 64;
const TRANSPOSE_A: bool = false;
const TRANSPOSE_B: bool = false;
const TILE_M: u32 = 64;
const TILE_N: u32 = 64;
const DEPTH: u32 = 16;
const REG_M4: u32 = 2;
const REG_N4: u32 = 2;
const THREADS: u32 = 64;
const SPREAD: bool = false;
const GROUPS_X: u32 = 1;
const GROUPS_Y: u32 = 1;
const BATCHES: u32 = 1;

alias TileA = vec4f;
alias TileB = vec4f;

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;

// [k][m / 4] and [k][n / 4].
var<workgroup> tile_a: array<TileA, DEPTH * TILE_M / 4>;
var<workgroup> tile_b: array<TileB, DEPTH * TILE_N / 4>;

// Which of several products this is: hooks may look at it.
var<private> batch: u32;

fn load_a(row: u32, col4: u32) -> vec4f {
  return a[row * (select(K, M, TRANSPOSE_A) / 4u) + col4];
}

fn load_b(row: u32, col4: u32) -> vec4f {
  return b[row * (select(N, K, TRANSPOSE_B) / 4u) + col4];
}

fn store(row: u32, col4: u32, value: vec4f) {
  c[row * (N / 4u) + col4] = value;
}

// Four k of four columns of op(A)ᵀ; beyond the edges the last ones again, beyond K zeros.
fn block_a(m4: u32, k4: u32) -> mat4x4f {
  let k = min(k4, (K - 1u) / 4u);
  var block: mat4x4f;
  if (TRANSPOSE_A) {
    let col = min(m4, (M - 1u) / 4u);
    block = mat4x4f(load_a(4u * k, col), load_a(4u * k + 1u, col), load_a(4u * k + 2u, col), load_a(4u * k + 3u, col));
  } else {
    let row = 4u * m4;
    block = transpose(mat4x4f(load_a(min(row, M - 1u), k), load_a(min(row + 1u, M - 1u), k), load_a(min(row + 2u, M - 1u), k), load_a(min(row + 3u, M - 1u), k)));
  }
  return block * select(0.0, 1.0, k == k4);
}

fn block_b(n4: u32, k4: u32) -> mat4x4f {
  let k = min(k4, (K - 1u) / 4u);
  if (TRANSPOSE_B) {
    let row = 4u * n4;
    return transpose(mat4x4f(load_b(min(row, N - 1u), k), load_b(min(row + 1u, N - 1u), k), load_b(min(row + 2u, N - 1u), k), load_b(min(row + 3u, N - 1u), k)));
  } else {
    let col = min(n4, (N - 1u) / 4u);
    return mat4x4f(load_b(4u * k, col), load_b(4u * k + 1u, col), load_b(4u * k + 2u, col), load_b(4u * k + 3u, col));
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  var tile = group;
  if (SPREAD) {
    let i = (group.z * groups.y + group.y) * groups.x + group.x;
    tile = vec3u(i % GROUPS_X, i / GROUPS_X % GROUPS_Y, i / (GROUPS_X * GROUPS_Y));
    if (tile.z >= BATCHES) { return; }
  }
  batch = tile.z;
  let first_m4 = tile.y * (TILE_M / 4u);
  let first_n4 = tile.x * (TILE_N / 4u);
  // Threads side by side take vec4s side by side, so that workgroup memory and stores are read and written in stretches.
  let threads_n = TILE_N / (4u * REG_N4);
  let my_m4 = (local / threads_n) * REG_M4;
  let my_n4 = local % threads_n;
  var sums: array<vec4f, 4 * REG_M4 * REG_N4>;
  for (var start = 0u; start < K; start += DEPTH) {
    for (var t = local; t < DEPTH * TILE_M / 16u; t += THREADS) {
      let m4 = t % (TILE_M / 4u);
      let k4 = t / (TILE_M / 4u);
      let block = block_a(first_m4 + m4, start / 4u + k4);
      for (var k = 0u; k < 4u; k++) { // unroll
        tile_a[(4u * k4 + k) * (TILE_M / 4u) + m4] = TileA(block[k]);
      }
    }
    for (var t = local; t < DEPTH * TILE_N / 16u; t += THREADS) {
      let n4 = t % (TILE_N / 4u);
      let k4 = t / (TILE_N / 4u);
      let block = block_b(first_n4 + n4, start / 4u + k4);
      for (var k = 0u; k < 4u; k++) { // unroll
        tile_b[(4u * k4 + k) * (TILE_N / 4u) + n4] = TileB(block[k]);
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      var right: array<vec4f, REG_N4>;
      for (var j = 0u; j < REG_N4; j++) { // unroll
        right[j] = vec4f(tile_b[k * (TILE_N / 4u) + my_n4 + j * threads_n]);
      }
      for (var i = 0u; i < REG_M4; i++) { // unroll
        let left = vec4f(tile_a[k * (TILE_M / 4u) + my_m4 + i]);
        for (var j = 0u; j < REG_N4; j++) { // unroll
          sums[(4u * i) * REG_N4 + j] += left.x * right[j];
          sums[(4u * i + 1u) * REG_N4 + j] += left.y * right[j];
          sums[(4u * i + 2u) * REG_N4 + j] += left.z * right[j];
          sums[(4u * i + 3u) * REG_N4 + j] += left.w * right[j];
        }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u * REG_M4; i++) { // unroll
    for (var j = 0u; j < REG_N4; j++) { // unroll
      let row = 4u * (first_m4 + my_m4) + i;
      let col4 = first_n4 + my_n4 + j * threads_n;
      if (row < M && col4 * 4u < N) { store(row, col4, sums[i * REG_N4 + j]); }
    }
  }
}

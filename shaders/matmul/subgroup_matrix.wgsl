enable chromium_experimental_subgroup_matrix;
// Which blocks are a subgroup's own is the same for all of its threads, which the analysis, by workgroups, cannot see.
diagnostic(off, chromium.subgroup_matrix_uniformity);

// Product C[M, N] = A[M, K] · B[K, N], each workgroup a tile of BLOCKS_M·SIZE_M × BLOCKS_N·SIZE_N results, by the
// hardware's own products of small matrices, with sums in f32.
//
// TRANSPOSE_A: A is stored [K, M]. TRANSPOSE_B: B is stored [N, K].
// The workgroup walks K in steps of DEPTH. As in workgroup_tile.wgsl, threads load 4×4 blocks, so that workgroup memory
// holds both operands with k outermost; then each subgroup multiplies matrices of SIZE_M × SIZE_K by SIZE_K × SIZE_N, for
// every row of blocks that is its own. How large subgroups are need not be known: the rows are dealt out among as many as
// there are. In the end the sums go through workgroup memory to the threads that store them.
// Reads A N / (BLOCKS_N·SIZE_N) times and B M / (BLOCKS_M·SIZE_M) times, writes C once. 2·M·N·K operations.
//
// Constants: M, N, K, TRANSPOSE_A, TRANSPOSE_B, SIZE_M, SIZE_N, SIZE_K (a configuration of the adapter, multiples of 4),
// BLOCKS_M, BLOCKS_N, DEPTH (a multiple of SIZE_K), THREADS (a multiple of the largest subgroup).
// SPREAD: of GROUPS_X × GROUPS_Y workgroups for each of BATCHES matmuls, more than a dimension takes: they are counted through.
// Aliases: Component (f32, or f16, which needs `enable f16`).
// Hooks: as in register_tile.wgsl.
const M: u32 = 64;
const N: u32 = 64;
const K: u32 = 64;
const TRANSPOSE_A: bool = false;
const TRANSPOSE_B: bool = false;
const SIZE_M: u32 = 8;
const SIZE_N: u32 = 8;
const SIZE_K: u32 = 8;
const BLOCKS_M: u32 = 4;
const BLOCKS_N: u32 = 4;
const DEPTH: u32 = 16;
const THREADS: u32 = 128;
const SPREAD: bool = false;
const GROUPS_X: u32 = 1;
const GROUPS_Y: u32 = 1;
const BATCHES: u32 = 1;
const TILE_M: u32 = BLOCKS_M * SIZE_M;
const TILE_N: u32 = BLOCKS_N * SIZE_N;

alias Component = f32;
alias Left = subgroup_matrix_left<Component, SIZE_K, SIZE_M>;
alias Right = subgroup_matrix_right<Component, SIZE_N, SIZE_K>;
alias Result = subgroup_matrix_result<f32, SIZE_N, SIZE_M>;

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;

// [k][m], [k][n] and [m][n].
var<workgroup> tile_a: array<Component, DEPTH * TILE_M>;
var<workgroup> tile_b: array<Component, DEPTH * TILE_N>;
var<workgroup> tile_c: array<f32, TILE_M * TILE_N>;

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
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32) {
  var tile = group;
  if (SPREAD) {
    let i = (group.z * groups.y + group.y) * groups.x + group.x;
    tile = vec3u(i % GROUPS_X, i / GROUPS_X % GROUPS_Y, i / (GROUPS_X * GROUPS_Y));
    if (tile.z >= BATCHES) { return; }
  }
  batch = tile.z;
  let first_m4 = tile.y * (TILE_M / 4u);
  let first_n4 = tile.x * (TILE_N / 4u);
  var sums: array<Result, BLOCKS_M * BLOCKS_N>;
  for (var start = 0u; start < K; start += DEPTH) {
    for (var t = local; t < DEPTH * TILE_M / 16u; t += THREADS) {
      let m4 = t % (TILE_M / 4u);
      let k4 = t / (TILE_M / 4u);
      let block = block_a(first_m4 + m4, start / 4u + k4);
      for (var k = 0u; k < 4u; k++) { // unroll
        for (var lane = 0u; lane < 4u; lane++) { // unroll
          tile_a[(4u * k4 + k) * TILE_M + 4u * m4 + lane] = Component(block[k][lane]);
        }
      }
    }
    for (var t = local; t < DEPTH * TILE_N / 16u; t += THREADS) {
      let n4 = t % (TILE_N / 4u);
      let k4 = t / (TILE_N / 4u);
      let block = block_b(first_n4 + n4, start / 4u + k4);
      for (var k = 0u; k < 4u; k++) { // unroll
        for (var lane = 0u; lane < 4u; lane++) { // unroll
          tile_b[(4u * k4 + k) * TILE_N + 4u * n4 + lane] = Component(block[k][lane]);
        }
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k += SIZE_K) {
      for (var i = 0u; i < BLOCKS_M; i++) { // unroll
        if (i % subgroups == subgroup) {
          let left = subgroupMatrixLoad<Left, col_major>(&tile_a, k * TILE_M + i * SIZE_M, TILE_M);
          for (var j = 0u; j < BLOCKS_N; j++) { // unroll
            let right = subgroupMatrixLoad<Right, row_major>(&tile_b, k * TILE_N + j * SIZE_N, TILE_N);
            sums[i * BLOCKS_N + j] = subgroupMatrixMultiplyAccumulate(left, right, sums[i * BLOCKS_N + j]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < BLOCKS_M; i++) { // unroll
    if (i % subgroups == subgroup) {
      for (var j = 0u; j < BLOCKS_N; j++) { // unroll
        subgroupMatrixStore<row_major>(&tile_c, i * SIZE_M * TILE_N + j * SIZE_N, sums[i * BLOCKS_N + j], TILE_N);
      }
    }
  }
  workgroupBarrier();
  for (var t = local; t < TILE_M * TILE_N / 4u; t += THREADS) {
    let row = 4u * first_m4 + t / (TILE_N / 4u);
    let col4 = first_n4 + t % (TILE_N / 4u);
    if (row < M && col4 * 4u < N) { store(row, col4, vec4f(tile_c[4u * t], tile_c[4u * t + 1u], tile_c[4u * t + 2u], tile_c[4u * t + 3u])); }
  }
}

enable chromium_experimental_subgroup_matrix;
// Which blocks are a subgroup's own is the same for all of its threads, which the analysis, by workgroups, cannot see.
diagnostic(off, chromium.subgroup_matrix_uniformity);

// Product C[M, N] = A[M, K] · B[K, N], each workgroup a tile of TILE_M × TILE_N results, by the hardware's own products of small
// matrices.
//
// The workgroup walks K in steps of DEPTH. As in workgroup_tile.wgsl, threads load 4×4 blocks, so that workgroup memory
// holds both operands with k outermost, rows PAD apart from each other so that banks are met evenly. GRID_M × GRID_N subgroups
// have ACC_M × ACC_N sums each, small matrices in registers: of ACC_M + ACC_N matrices that one loads it multiplies
// ACC_M · ACC_N pairs. Subgroups beyond that grid, where subgroups are smaller than THREADS / (GRID_M · GRID_N), only load and
// store. In the end the sums go through workgroup memory to the threads that store them, one of each subgroup at a time.
// Reads A N / TILE_N times and B M / TILE_M times, writes C once. 2·M·N·K operations.
// Workgroup memory: DEPTH · (TILE_M + TILE_N + 2 · PAD) components, and a small matrix of sums a subgroup.
//
// Constants: SIZE_M, SIZE_N, SIZE_K (a configuration of the adapter, multiples of 4), GRID_M, GRID_N, ACC_M, ACC_N, DEPTH (a
// multiple of SIZE_K), PAD, THREADS (GRID_M · GRID_N of the largest subgroups).
// Aliases: Component (f32, or f16, which needs `enable f16`), Sum (what the small matrices add up in: f32, or f16).
// include matmul_operands
const SIZE_M: u32 = 8;
const SIZE_N: u32 = 8;
const SIZE_K: u32 = 8;
const GRID_M: u32 = 2;
const GRID_N: u32 = 2;
const ACC_M: u32 = 4;
const ACC_N: u32 = 4;
const DEPTH: u32 = 32;
const PAD: u32 = 4;
const THREADS: u32 = 128;
const TILE_M: u32 = GRID_M * ACC_M * SIZE_M;
const TILE_N: u32 = GRID_N * ACC_N * SIZE_N;
const STRIDE_A: u32 = TILE_M + PAD;
const STRIDE_B: u32 = TILE_N + PAD;
const MATRIX: u32 = SIZE_M * SIZE_N;

alias Component = f32;
alias Sum = f32;
alias Left = subgroup_matrix_left<Component, SIZE_K, SIZE_M>;
alias Right = subgroup_matrix_right<Component, SIZE_N, SIZE_K>;
alias Result = subgroup_matrix_result<Sum, SIZE_N, SIZE_M>;

// [k][m], [k][n], and of each subgroup a matrix, [m][n].
var<workgroup> tile_a: array<Component, DEPTH * STRIDE_A>;
var<workgroup> tile_b: array<Component, DEPTH * STRIDE_B>;
var<workgroup> stage: array<Sum, GRID_M * GRID_N * MATRIX>;

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
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {
  // include matmul_tile
  batch = tile_at.z;
  let first_m4 = tile_at.y * (TILE_M / 4u);
  let first_n4 = tile_at.x * (TILE_N / 4u);
  let my_m = subgroup / GRID_N * (ACC_M * SIZE_M);
  let my_n = subgroup % GRID_N * (ACC_N * SIZE_N);
  var sums: array<Result, ACC_M * ACC_N>;
  for (var start = 0u; start < K; start += DEPTH) {
    for (var t = local; t < DEPTH * TILE_M / 16u; t += THREADS) {
      let m4 = t % (TILE_M / 4u);
      let k4 = t / (TILE_M / 4u);
      let block = block_a(first_m4 + m4, start / 4u + k4);
      for (var k = 0u; k < 4u; k++) { // unroll
        for (var lane = 0u; lane < 4u; lane++) { // unroll
          tile_a[(4u * k4 + k) * STRIDE_A + 4u * m4 + lane] = Component(block[k][lane]);
        }
      }
    }
    for (var t = local; t < DEPTH * TILE_N / 16u; t += THREADS) {
      let n4 = t % (TILE_N / 4u);
      let k4 = t / (TILE_N / 4u);
      let block = block_b(first_n4 + n4, start / 4u + k4);
      for (var k = 0u; k < 4u; k++) { // unroll
        for (var lane = 0u; lane < 4u; lane++) { // unroll
          tile_b[(4u * k4 + k) * STRIDE_B + 4u * n4 + lane] = Component(block[k][lane]);
        }
      }
    }
    workgroupBarrier();
    if (subgroup < GRID_M * GRID_N) {
      for (var k = 0u; k < DEPTH; k += SIZE_K) {
        var right: array<Right, ACC_N>;
        for (var j = 0u; j < ACC_N; j++) { // unroll
          right[j] = subgroupMatrixLoad<Right, row_major>(&tile_b, k * STRIDE_B + my_n + j * SIZE_N, STRIDE_B);
        }
        for (var i = 0u; i < ACC_M; i++) { // unroll
          let left = subgroupMatrixLoad<Left, col_major>(&tile_a, k * STRIDE_A + my_m + i * SIZE_M, STRIDE_A);
          for (var j = 0u; j < ACC_N; j++) { // unroll
            sums[i * ACC_N + j] = subgroupMatrixMultiplyAccumulate(left, right[j], sums[i * ACC_N + j]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < ACC_M; i++) { // unroll
    for (var j = 0u; j < ACC_N; j++) { // unroll
      if (subgroup < GRID_M * GRID_N) {
        subgroupMatrixStore<row_major>(&stage, subgroup * MATRIX, sums[i * ACC_N + j], SIZE_N);
      }
      workgroupBarrier();
      for (var t = local; t < GRID_M * GRID_N * MATRIX / 4u; t += THREADS) {
        let owner = t / (MATRIX / 4u);
        let row = 4u * first_m4 + (owner / GRID_N * ACC_M + i) * SIZE_M + t % (MATRIX / 4u) / (SIZE_N / 4u);
        let col4 = first_n4 + (owner % GRID_N * ACC_N + j) * (SIZE_N / 4u) + t % (SIZE_N / 4u);
        if (row < M && col4 * 4u < N) {
          store(row, col4, vec4f(f32(stage[4u * t]), f32(stage[4u * t + 1u]), f32(stage[4u * t + 2u]), f32(stage[4u * t + 3u])));
        }
      }
      workgroupBarrier();
    }
  }
}

// Product C[M, N] = A[M, K] · B[K, N], each workgroup a tile of TILE_M × TILE_N results, through workgroup memory.
//
// The workgroup walks K in steps of DEPTH. Its threads share out the step's parts of A and B as 4×4 blocks: four vec4 loads
// each, turned in registers where k lies along a row, so that workgroup memory holds both operands with k outermost.
// Threads side by side load what lies side by side: vec4s along k where a row holds k, and else along m or n. A block's
// place is swizzled by its k, so that eight threads side by side store to all banks, and read from all of them.
// Then each thread does 16 · REG_M4 · REG_N4 multiply-adds a k from REG_M4 + REG_N4 vec4s.
//
// PREFETCH: while a step is multiplied, the loads of the next are under way into registers. With BUFFERS = 2 they are stored
// beside what is being read, and one barrier a step is enough; else one more keeps them from it.
// SLICES > 1: as many groups of threads compute the same tile, each from its share of every step's k, and what they found is
// added up through workgroup memory, in order, by all threads: for results too few to keep a GPU busy otherwise.
// Reads A N / TILE_N times and B M / TILE_M times, writes C once. 2·M·N·K operations.
// Workgroup memory: 4 · BUFFERS · DEPTH · (TILE_M + TILE_N) bytes, half of that where both operands are stored as f16.
// Threads: SLICES · TILE_M · TILE_N / (16 · REG_M4 · REG_N4).
//
// Constants: TILE_M, TILE_N (multiples of 16), DEPTH (of 16 and of 4 · SLICES), REG_M4, REG_N4, THREADS, PREFETCH, BUFFERS (1 or
// 2), SLICES, ROUNDS (4×4 blocks of a step for each thread), ROWS (of a thread's rows, how many are added up at a time: they
// divide 4 · REG_M4, and ROWS · REG_N4 · THREADS vec4s fit into the workgroup memory).
// Aliases: Tile (vec4f or vec4<f16>, which needs `enable f16`; of slices always vec4f).
// include matmul_operands
const TILE_M: u32 = 64;
const TILE_N: u32 = 64;
const DEPTH: u32 = 16;
const REG_M4: u32 = 2;
const REG_N4: u32 = 2;
const THREADS: u32 = 64;
const PREFETCH: bool = true;
const BUFFERS: u32 = 2;
const SLICES: u32 = 1;
const ROWS: u32 = 1;
const ROUNDS: u32 = 2;
// 4×4 blocks of a step: of A, and of both.
const BLOCKS_A: u32 = DEPTH * TILE_M / 16;
const BLOCKS: u32 = DEPTH * (TILE_M + TILE_N) / 16;
const WIDTH: u32 = (TILE_M + TILE_N) / 4;

alias Tile = vec4f;

// [buffer and k / 4][k % 4][m / 4 and, behind it, n / 4]. Of constant indices drivers need no check that they are in bounds,
// and so one address is formed for four k.
var<workgroup> tile: array<array<array<Tile, WIDTH>, 4>, BUFFERS * DEPTH / 4>;

// Four k of four columns of op(A)ᵀ; beyond the edge the last ones again.
fn block_a(m4: u32, k4: u32) -> mat4x4f {
  if (TRANSPOSE_A) {
    let col = select(min(m4, (M - 1u) / 4u), m4, M % TILE_M == 0u);
    return mat4x4f(load_a(4u * k4, col), load_a(4u * k4 + 1u, col), load_a(4u * k4 + 2u, col), load_a(4u * k4 + 3u, col));
  } else {
    var rows = 4u * m4 + vec4u(0u, 1u, 2u, 3u);
    if (M % TILE_M != 0u) { rows = min(rows, vec4u(M - 1u)); }
    return transpose(mat4x4f(load_a(rows.x, k4), load_a(rows.y, k4), load_a(rows.z, k4), load_a(rows.w, k4)));
  }
}

fn block_b(n4: u32, k4: u32) -> mat4x4f {
  if (TRANSPOSE_B) {
    var rows = 4u * n4 + vec4u(0u, 1u, 2u, 3u);
    if (N % TILE_N != 0u) { rows = min(rows, vec4u(N - 1u)); }
    return transpose(mat4x4f(load_b(rows.x, k4), load_b(rows.y, k4), load_b(rows.z, k4), load_b(rows.w, k4)));
  } else {
    let col = select(min(n4, (N - 1u) / 4u), n4, N % TILE_N == 0u);
    return mat4x4f(load_b(4u * k4, col), load_b(4u * k4 + 1u, col), load_b(4u * k4 + 2u, col), load_b(4u * k4 + 3u, col));
  }
}

// Where column x4 of four k stands among `width` columns: of eight blocks side by side, along k or not, no two stand a multiple
// of eight vec4s apart.
fn swizzled(x4: u32, k4: u32, width: u32) -> u32 {
  return x4 ^ ((k4 * max(1u, 32u / DEPTH)) & (min(8u, width) - 1u));
}

// The column of vec4s and the k4 of block t: neighbours follow k where a row of the operand holds k.
fn place(t: u32, width: u32, along_k: bool) -> vec2u {
  if (along_k) { return vec2u(t / (DEPTH / 4u), t % (DEPTH / 4u)); }
  return vec2u(t % width, t / width);
}

// What a thread loads of a step: zeros beyond K.
fn fetched(step: u32, local: u32, first_m4: u32, first_n4: u32) -> array<mat4x4f, ROUNDS> {
  var blocks: array<mat4x4f, ROUNDS>;
  for (var u = 0u; u < ROUNDS; u++) { // unroll
    let t = u * THREADS + local;
    if (u * THREADS + THREADS <= BLOCKS_A || (u * THREADS < BLOCKS_A && t < BLOCKS_A)) {
      let spot = place(t, TILE_M / 4u, !TRANSPOSE_A);
      let k4 = step * (DEPTH / 4u) + spot.y;
      if (K % DEPTH == 0u || k4 < (K + 3u) / 4u) {
        blocks[u] = block_a(first_m4 + spot.x, k4);
      }
    } else {
      let spot = place(t - BLOCKS_A, TILE_N / 4u, TRANSPOSE_B);
      let k4 = step * (DEPTH / 4u) + spot.y;
      if ((K % DEPTH == 0u || k4 < (K + 3u) / 4u) && (u * THREADS + THREADS <= BLOCKS || t < BLOCKS)) {
        blocks[u] = block_b(first_n4 + spot.x, k4);
      }
    }
  }
  return blocks;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  // include matmul_tile
  batch = tile_at.z;
  let first_m4 = tile_at.y * (TILE_M / 4u);
  let first_n4 = tile_at.x * (TILE_N / 4u);
  // Threads side by side take vec4s side by side, so that workgroup memory and stores are read and written in stretches.
  let threads_n = TILE_N / (4u * REG_N4);
  let peers = THREADS / SLICES;
  let slice = select(local / peers, 0u, SLICES == 1u);
  let peer = local % peers;
  let my_m4 = (peer / threads_n) * REG_M4;
  let my_n4 = peer % threads_n;
  var sums: array<vec4f, 4 * REG_M4 * REG_N4>;
  var blocks: array<mat4x4f, ROUNDS>;
  // Step s is loaded while step s - 1 is multiplied.
  for (var step = 0u; step <= (K + DEPTH - 1u) / DEPTH; step++) {
    let is_loading = step < (K + DEPTH - 1u) / DEPTH;
    let filling = (step % BUFFERS) * (DEPTH / 4u);
    if (PREFETCH) {
      if (is_loading) { blocks = fetched(step, local, first_m4, first_n4); }
    }
    if (step > 0u) {
      let reading = ((step - 1u) % BUFFERS) * (DEPTH / 4u);
      for (var k4 = slice * (DEPTH / 4u / SLICES); k4 < (slice + 1u) * (DEPTH / 4u / SLICES); k4++) {
        for (var k = 0u; k < 4u; k++) { // unroll
          var right: array<vec4f, REG_N4>;
          for (var j = 0u; j < REG_N4; j++) { // unroll
            right[j] = vec4f(tile[reading + k4][k][TILE_M / 4u + swizzled(my_n4 + j * threads_n, k4, TILE_N / 4u)]);
          }
          for (var i = 0u; i < REG_M4; i++) { // unroll
            let left = vec4f(tile[reading + k4][k][swizzled(my_m4 + i, k4, TILE_M / 4u)]);
            for (var j = 0u; j < REG_N4; j++) { // unroll
              sums[(4u * i) * REG_N4 + j] += left.x * right[j];
              sums[(4u * i + 1u) * REG_N4 + j] += left.y * right[j];
              sums[(4u * i + 2u) * REG_N4 + j] += left.z * right[j];
              sums[(4u * i + 3u) * REG_N4 + j] += left.w * right[j];
            }
          }
        }
      }
    }
    if (BUFFERS == 1u) { workgroupBarrier(); }
    if (is_loading) {
      if (PREFETCH) {} else { blocks = fetched(step, local, first_m4, first_n4); }
      for (var u = 0u; u < ROUNDS; u++) { // unroll
        let t = u * THREADS + local;
        if (u * THREADS + THREADS <= BLOCKS_A || (u * THREADS < BLOCKS_A && t < BLOCKS_A)) {
          let spot = place(t, TILE_M / 4u, !TRANSPOSE_A);
          let to = swizzled(spot.x, spot.y, TILE_M / 4u);
          for (var k = 0u; k < 4u; k++) { // unroll
            tile[filling + spot.y][k][to] = Tile(blocks[u][k]);
          }
        } else if (u * THREADS + THREADS <= BLOCKS || t < BLOCKS) {
          let spot = place(t - BLOCKS_A, TILE_N / 4u, TRANSPOSE_B);
          let to = TILE_M / 4u + swizzled(spot.x, spot.y, TILE_N / 4u);
          for (var k = 0u; k < 4u; k++) { // unroll
            tile[filling + spot.y][k][to] = Tile(blocks[u][k]);
          }
        }
      }
    }
    workgroupBarrier();
  }
  if (SLICES == 1) {
    let row = 4u * (first_m4 + my_m4);
    let col4 = first_n4 + my_n4;
    for (var i = 0u; i < 4u * REG_M4; i++) { // unroll
      for (var j = 0u; j < REG_N4; j++) { // unroll
        if ((M % TILE_M == 0u || row + i < M) && (N % TILE_N == 0u || (col4 + j * threads_n) * 4u < N)) {
          store(row + i, col4 + j * threads_n, sums[i * REG_N4 + j]);
        }
      }
    }
  } else {
    // [slice][row][j][peer] of so many rows at a time.
    for (var first = 0u; first < 4u * REG_M4; first += ROWS) { // unroll
      for (var i = 0u; i < ROWS; i++) { // unroll
        for (var j = 0u; j < REG_N4; j++) { // unroll
          let to = ((slice * ROWS + i) * REG_N4 + j) * peers + peer;
          tile[to / (4u * WIDTH)][to / WIDTH % 4u][to % WIDTH] = Tile(sums[(first + i) * REG_N4 + j]);
        }
      }
      workgroupBarrier();
      for (var t = local; t < ROWS * REG_N4 * peers; t += THREADS) {
        var total = vec4f();
        for (var s = 0u; s < SLICES; s++) { // unroll
          let at = s * (ROWS * REG_N4 * peers) + t;
          total += vec4f(tile[at / (4u * WIDTH)][at / WIDTH % 4u][at % WIDTH]);
        }
        let one = t % peers;
        let row = 4u * (first_m4 + (one / threads_n) * REG_M4) + first + t / (peers * REG_N4);
        let col4 = first_n4 + one % threads_n + (t / peers % REG_N4) * threads_n;
        if (row < M && col4 * 4u < N) { store(row, col4, total); }
      }
      workgroupBarrier();
    }
  }
}

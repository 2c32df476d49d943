// What matmuls by tiles load and store, C[M, N] = A[M, K] · B[K, N], each of BATCHES. TRANSPOSE_A: A is stored [K, M].
// TRANSPOSE_B: B is stored [N, K]. (NN, NT and TN are the forms that occur.)
// Hooks: load_a and load_b take a row and a column/4 of the matrix as stored, and give 0 beyond K; store takes a row,
// a column/4 and four results. Rows and columns beyond the edge are loaded (clamped) but never stored.
const M: u32 = 64;
const N: u32 = 64;
const K: u32 = 64;
const TRANSPOSE_A: bool = false;
const TRANSPOSE_B: bool = false;
// include matmul_batches

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;

fn load_a(row: u32, col4: u32) -> vec4f {
  return a[row * (select(K, M, TRANSPOSE_A) / 4u) + col4];
}

fn load_b(row: u32, col4: u32) -> vec4f {
  return b[row * (select(N, K, TRANSPOSE_B) / 4u) + col4];
}

fn store(row: u32, col4: u32, value: vec4f) {
  c[row * (N / 4u) + col4] = value;
}

// Product of a matrix and a few vectors, whose results are few: y[v, j] = Σ_k matrix[j, k] · vectors[v, k].
//
// BY_K: the matrix is stored [K, LONG], else [LONG, K]. VECTORS_BY_K: the vectors are stored [K, FEW], else [FEW, K].
// (A row times a matrix, and a matrix times a column, are the same to this kernel.)
// A thread takes four j for every vector, and of K every PARTS-th step of four: four vec4s of the matrix and one a
// vector, for 16 · FEW multiply-adds in as many chains as there are vec4s. What PARTS threads found is added up in
// workgroup memory, by halves, in the same order every time. Threads side by side read what lies side by side: along K
// if the matrix is stored [LONG, K], else along j.
// Reads the matrix once, and the vectors LONG / 4 times through the cache; writes the results once. 2·LONG·FEW·K operations.
//
// Constants: LONG, FEW, K, BY_K, VECTORS_BY_K, PARTS and COLUMNS (powers of 2; threads of a workgroup along K and along j).
// Hooks: load_matrix and load_vectors take a row and a column/4 as stored, and give 0 beyond K; store takes a vector, a
// j/4 and four results. Rows of the matrix beyond LONG are never loaded.
const LONG: u32 = 64;
const FEW: u32 = 1;
const K: u32 = 64;
const BY_K: bool = false;
const VECTORS_BY_K: bool = false;
const PARTS: u32 = 16;
const COLUMNS: u32 = 4;
// include matmul_batches

@group(0) @binding(0) var<storage, read> matrix: array<vec4f>;
@group(0) @binding(1) var<storage, read> vectors: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

// [column][part].
var<workgroup> found: array<vec4f, COLUMNS * PARTS>;

fn load_matrix(row: u32, col4: u32) -> vec4f {
  return matrix[row * (select(K, LONG, BY_K) / 4u) + col4];
}

fn load_vectors(row: u32, col4: u32) -> vec4f {
  return vectors[row * (select(K, FEW, VECTORS_BY_K) / 4u) + col4];
}

fn store(v: u32, j4: u32, value: vec4f) {
  y[v * (LONG / 4u) + j4] = value;
}

@compute @workgroup_size(PARTS * COLUMNS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  // include matmul_tile
  batch = tile_at.z;
  let part = select(local % PARTS, local / COLUMNS, BY_K);
  let column = select(local / PARTS, local % COLUMNS, BY_K);
  let j4 = tile_at.x * COLUMNS + column;
  let clamped = min(j4, (LONG - 1u) / 4u); // threads to spare stay, for the barriers
  // By K, four sums of each vector's four results, for k and three behind it; else a vec4 of sums each.
  var sums: array<vec4f, 4 * FEW>;
  for (var k4 = part; k4 < (K + 3u) / 4u; k4 += PARTS) {
    var block: mat4x4f;
    if (BY_K) {
      block = mat4x4f(load_matrix(4u * k4, clamped), load_matrix(4u * k4 + 1u, clamped), load_matrix(4u * k4 + 2u, clamped), load_matrix(4u * k4 + 3u, clamped));
    } else {
      let j = 4u * clamped;
      block = mat4x4f(load_matrix(j, k4), load_matrix(min(j + 1u, LONG - 1u), k4), load_matrix(min(j + 2u, LONG - 1u), k4), load_matrix(min(j + 3u, LONG - 1u), k4));
    }
    var turned: mat4x4f;
    if (VECTORS_BY_K) {
      turned = transpose(mat4x4f(load_vectors(4u * k4, 0u), load_vectors(4u * k4 + 1u, 0u), load_vectors(4u * k4 + 2u, 0u), load_vectors(4u * k4 + 3u, 0u)));
    }
    for (var v = 0u; v < FEW; v++) { // unroll
      var vector: vec4f;
      if (VECTORS_BY_K) {
        vector = turned[v];
      } else {
        vector = load_vectors(v, k4);
      }
      if (BY_K) {
        sums[4u * v] += vector.x * block[0];
        sums[4u * v + 1u] += vector.y * block[1];
        sums[4u * v + 2u] += vector.z * block[2];
        sums[4u * v + 3u] += vector.w * block[3];
      } else {
        sums[4u * v] += vector * block[0];
        sums[4u * v + 1u] += vector * block[1];
        sums[4u * v + 2u] += vector * block[2];
        sums[4u * v + 3u] += vector * block[3];
      }
    }
  }
  for (var v = 0u; v < FEW; v++) { // unroll
    var results = mat4x4f(sums[4u * v], sums[4u * v + 1u], sums[4u * v + 2u], sums[4u * v + 3u]);
    if (!BY_K) { results = transpose(results); }
    var total = (results[0] + results[1]) + (results[2] + results[3]);
    if (PARTS > 1u) {
      found[column * PARTS + part] = total;
      for (var half = PARTS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (part < half) { found[column * PARTS + part] += found[column * PARTS + part + half]; }
      }
      total = found[column * PARTS + part];
      workgroupBarrier();
    }
    if (part == 0u && 4u * j4 < LONG) { store(v, j4, total); }
  }
}

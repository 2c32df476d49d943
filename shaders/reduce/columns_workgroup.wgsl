// Reduction where neighbouring outputs lie side by side, a workgroup for some of them: y[o] = fold over r of x[r, o]; of COUNT
// tensors of one shape at once.
//
// COLUMNS threads side by side take as many vec4s of outputs, and SLICES of such rows of threads every SLICES-th step, four at a
// time; what they found is folded by halves through workgroup memory: the same order every time.
// Reads STEPS · VECTORS · 4 floats of each once, writes VECTORS · 4. Workgroup memory: 16 bytes a thread and tensor, twice that
// but for sums.
// Constants: KIND (0 sum, 1 max, 2 logsumexp), COUNT, VECTORS, STEPS, COLUMNS, SLICES (powers of 2), TOTALS (COLUMNS · SLICES,
// or 1 for sums). Hooks: load, store.
// Where outputs do not come in fours, the hooks use x alone and VECTORS counts outputs.
const KIND: u32 = 0;
const COUNT: u32 = 1;
const VECTORS: u32 = 64;
const STEPS: u32 = 16;
const COLUMNS: u32 = 16;
const SLICES: u32 = 16;
const TOTALS: u32 = 1;
const LOWEST: f32 = -3.4028234e38;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

// The sum or the greatest value, and, for logsumexp, Σ exp(value - greatest); for max, the greatest magnitude, whose bits tell
// whether there was a NaN, which WGSL's max may drop.
var<workgroup> tops: array<array<vec4f, COUNT>, COLUMNS * SLICES>;
var<workgroup> totals: array<array<vec4f, COUNT>, TOTALS>;

fn load(o: u32, r: u32) -> array<vec4f, COUNT> {
  return array<vec4f, COUNT>(x[r * VECTORS + o]);
}

fn store(o: u32, values: array<vec4f, COUNT>) {
  y[o] = values[0];
}

@compute @workgroup_size(COLUMNS * SLICES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = (group.y * groups.x + group.x) * COLUMNS + local % COLUMNS;
  let slice = local / COLUMNS;
  // include reduction_start
  if (o < VECTORS) { // threads to spare stay, for the barriers
    for (var r = slice; r < STEPS; r += 4u * SLICES) {
      for (var u = 0u; u < 4u; u++) { // unroll
        if (r + u * SLICES < STEPS) {
          let values = load(o, r + u * SLICES);
          for (var c = 0u; c < COUNT; c++) { // unroll
            let value = values[c];
            // include reduction_step
          }
        }
      }
    }
  }
  tops[local] = top;
  if (KIND == 0u) {} else { totals[local] = total; }
  for (var half = SLICES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (slice < half) {
      let other = local + half * COLUMNS;
      for (var c = 0u; c < COUNT; c++) { // unroll
        if (KIND == 0u) {
          tops[local][c] += tops[other][c];
        } else if (KIND == 1u) {
          tops[local][c] = max(tops[local][c], tops[other][c]);
          totals[local][c] = bitcast<vec4f>(max(bitcast<vec4u>(totals[local][c]), bitcast<vec4u>(totals[other][c])));
        } else {
          let both = max(tops[local][c], tops[other][c]);
          let own = select(tops[local][c] - both, vec4f(), tops[local][c] == both);
          let others = select(tops[other][c] - both, vec4f(), tops[other][c] == both);
          totals[local][c] = totals[local][c] * exp(own) + totals[other][c] * exp(others);
          tops[local][c] = both;
        }
      }
    }
  }
  if (slice == 0u && o < VECTORS) {
    var results: array<vec4f, COUNT>;
    for (var c = 0u; c < COUNT; c++) { // unroll
      results[c] = tops[local][c];
      if (KIND == 1u) { results[c] = select(results[c], totals[local][c], bitcast<vec4u>(totals[local][c]) > vec4u(0x7f800000u)); }
      if (KIND == 2u) { results[c] += log(totals[local][c]); }
    }
    store(o, results);
  }
}

// Multiply-adds in registers and nothing else: what the arithmetic of this adapter can do at best.
//
// Each thread runs CHAINS chains of vec4s (independent, so that latency does not show) for STEPS steps:
// 8 · CHAINS · STEPS operations a thread. Reads 16 bytes and writes 16 a thread. Constants: STEPS, CHAINS.
const STEPS: u32 = 64;
const CHAINS: u32 = 4;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = x[id.x];
  var sums: array<vec4f, CHAINS>;
  for (var i = 0u; i < CHAINS; i++) { // unroll
    sums[i] = factor + f32(i);
  }
  for (var step = 0u; step < STEPS; step++) {
    for (var i = 0u; i < CHAINS; i++) { // unroll
      sums[i] = sums[i] * factor + factor;
    }
  }
  var total = vec4f();
  for (var i = 0u; i < CHAINS; i++) { // unroll
    total += sums[i];
  }
  y[id.x] = total;
}

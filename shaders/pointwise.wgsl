// A fused chain of elementwise ops: one thread computes LANES neighbouring elements of every output.
//
// Reads each input once, writes each output once. Constants: THREADS. Hook: body. The default copies x to y.
const THREADS: u32 = 64;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

fn body(i: u32) {
  y[i] = x[i];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i < THREADS) { body(i); }
}

// Copies COUNT vec4s: what the memory of this adapter can do at best. Reads and writes 16 · COUNT bytes each.
//
// Each thread copies PER_THREAD vec4s, PER_THREAD · 64 apart within its workgroup's stretch, so that neighbours touch
// neighbouring vec4s. Constants: COUNT, PER_THREAD.
const COUNT: u32 = 1024;
const PER_THREAD: u32 = 8;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let start = (group.y * groups.x + group.x) * 64u * PER_THREAD + local;
  for (var i = 0u; i < PER_THREAD; i++) { // unroll
    if (start + i * 64u < COUNT) { y[start + i * 64u] = x[start + i * 64u]; }
  }
}

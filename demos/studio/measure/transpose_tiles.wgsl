// The same by way of workgroup memory, so that neighbours read and write what lies side by side.
override SIZE: u32 = 512;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> tile: array<array<f32, 17>, 16>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u) {
  tile[id.y][id.x] = x[(group.y * 16 + id.y) * SIZE + group.x * 16 + id.x];
  workgroupBarrier();
  y[(group.x * 16 + id.y) * SIZE + group.y * 16 + id.x] = tile[id.x][id.y];
}

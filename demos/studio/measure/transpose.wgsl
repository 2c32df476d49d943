// Transposes a matrix of 512 × 512. Reads along rows, and writes down columns.
override SIZE: u32 = 512;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  y[id.x * SIZE + id.y] = x[id.y * SIZE + id.x];
}

// The gradient of layer norm or RMS norm for its rows: dx = factor · (h − mean of h − n · mean of h·n), where h = g · weight and
// n = (x − mean) · factor is the normalised row; without the first mean if not CENTRED.
//
// Shapes, constants and threads as in rows.wgsl; g and dx [ROWS, 4·WIDTH]. Reads x and g once from memory, writes dx.
// include norm_rows
@group(0) @binding(2) var<storage, read> stats: array<vec2f>;
@group(0) @binding(3) var<storage, read> g: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * 64u + local;
  if (row >= ROWS) { return; }
  let count = f32(4u * WIDTH);
  let stat = stats[row];
  var sum = vec4f();
  var along = vec4f();
  for (var i = 0u; i < WIDTH; i++) {
    let h = g[row * WIDTH + i] * weight[i];
    sum += h;
    along += h * (x[row * WIDTH + i] - stat.x);
  }
  var mean = 0.0;
  if (CENTRED) { mean = total(sum) / count; }
  let slope = total(along) * stat.y / count;
  for (var i = 0u; i < WIDTH; i++) {
    let at = row * WIDTH + i;
    dx[at] = stat.y * (g[at] * weight[i] - mean - (x[at] - stat.x) * stat.y * slope);
  }
}

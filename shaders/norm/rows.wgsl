// Layer norm or RMS norm of rows: y = (x − mean) / √(variance + EPSILON) · weight + bias, or, if not CENTRED, x / √(mean of x² +
// EPSILON) · weight. x and y [ROWS, 4·WIDTH], weight and bias [4·WIDTH]; stats [ROWS, 2]: the mean, or 0, and the factor.
//
// A thread a row, which it reads twice: for the sums, of distances from the row's first number, so that no digits are lost where
// the mean is far from 0, and for the result. Reads x once from memory, writes y and stats; about 8 operations an element.
const EPSILON: f32 = 0.00001;
// include norm_rows
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * 64u + local;
  if (row >= ROWS) { return; }
  let count = f32(4u * WIDTH);
  var origin = 0.0;
  if (CENTRED) { origin = x[row * WIDTH].x; }
  var sum = vec4f();
  var squares = vec4f();
  for (var i = 0u; i < WIDTH; i++) {
    let distance = x[row * WIDTH + i] - origin;
    sum += distance;
    squares += distance * distance;
  }
  var mean = 0.0;
  var variance = total(squares) / count;
  if (CENTRED) {
    let shift = total(sum) / count;
    mean = origin + shift;
    variance = max(variance - shift * shift, 0.0);
  }
  let scale = inverseSqrt(variance + EPSILON);
  for (var i = 0u; i < WIDTH; i++) {
    var value = (x[row * WIDTH + i] - mean) * scale * weight[i];
    if (CENTRED) { value += bias[i]; }
    y[row * WIDTH + i] = value;
  }
  stats[row] = vec2f(mean, scale);
}

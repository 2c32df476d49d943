// The running sum along each row, from its beginning or from its end: x and y [ROWS, LENGTH]; a thread a row.
const ROWS: u32 = 1;
const LENGTH: u32 = 4;
const REVERSE: bool = false;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ROWS) { return; }
  var total = 0.0;
  for (var i = 0u; i < LENGTH; i++) {
    let at = id.x * LENGTH + select(i, LENGTH - 1 - i, REVERSE);
    total += x[at];
    y[at] = total;
  }
}

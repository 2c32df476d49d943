// Sums of the rows that share an index: y[r] = Σ values[order[p]] over the places p with sorted[p] = r; 0 where there is none.
//
// values [COUNT, WIDTH]; order and sorted [COUNT], from order.wgsl; y [ROWS, WIDTH]. A thread an element: it finds the first place
// of its row by halving, and adds up from there, in order. Reads each of the values once, and writes y.
const COUNT: u32 = 4;
const ROWS: u32 = 2;
const WIDTH: u32 = 4;

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let id = (group.y * groups.x + group.x) * 64u + local;
  if (id >= ROWS * WIDTH) { return; }
  let row = id / WIDTH;
  var low = 0u;
  var high = COUNT;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (sorted[middle] < row) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  var total = 0.0;
  for (var p = low; p < COUNT; p++) {
    if (sorted[p] != row) { break; }
    total += values[order[p] * WIDTH + id % WIDTH];
  }
  y[id] = total;
}

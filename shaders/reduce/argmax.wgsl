// Where the greatest element of each row stands: y[o] = the first r with the greatest x[o, r]; a NaN counts as greatest.
//
// One thread a row, in order. Reads OUTPUTS · STEPS floats once, writes OUTPUTS numbers.
// Constants: OUTPUTS, STEPS (1 or more). Hooks: load (its x counts), store.
const OUTPUTS: u32 = 64;
const STEPS: u32 = 16;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

fn load(o: u32, r: u32) -> vec4f {
  return vec4f(x[o * STEPS + r]);
}

fn store(o: u32, value: u32) {
  y[o] = value;
}

// By bits, since WGSL may assume that there is no NaN.
fn isNaN(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let o = (group.y * groups.x + group.x) * 64u + local;
  if (o >= OUTPUTS) { return; }
  var top = load(o, 0u).x;
  var at = 0u;
  for (var r = 1u; r < STEPS && !isNaN(top); r++) {
    let value = load(o, r).x;
    if (value > top || isNaN(value)) {
      top = value;
      at = r;
    }
  }
  store(o, at);
}

// What the norm of rows and its gradient have in common: rows x of WIDTH vec4s, their weight, the sum of a vec4's numbers.
const ROWS: u32 = 1;
const WIDTH: u32 = 1;
const CENTRED: bool = true;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;

fn total(v: vec4f) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

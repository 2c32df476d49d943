// Four rows of which each lane of a quad has loaded one: its own first, and that of the lane p away (lane ^ p) as the p-th.
fn quad_rows(own: vec4f) -> mat4x4f {
  return mat4x4f(own, quadSwapX(own), quadSwapY(own), quadSwapDiagonal(own));
}

fn quad_numbers(own: f32) -> vec4f {
  return vec4f(own, quadSwapX(own), quadSwapY(own), quadSwapDiagonal(own));
}

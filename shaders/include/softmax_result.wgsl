// What an element becomes, given its row's logsumexp, or the sum that its gradient wants.
fn result(values: array<vec4f, COUNT>, level: f32) -> vec4f {
  if (KIND == 0u) {
    return exp(values[0] - level);
  } else if (KIND == 1u) {
    return values[0] - level;
  } else if (KIND == 2u) {
    return values[0] * (values[COUNT - 1u] - level);
  } else {
    return values[COUNT - 1u] - exp(values[0]) * level;
  }
}

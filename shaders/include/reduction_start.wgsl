// The state of COUNT reductions of nothing; the greatest of nothing is −∞, which no constant of WGSL may be.
var top: array<vec4f, COUNT>;
var total: array<vec4f, COUNT>;
for (var c = 0u; c < COUNT; c++) { // unroll
  top[c] = vec4f(select(LOWEST, 0.0, KIND == 0u));
}
if (KIND == 1u) {
  var least = 0xff800000u;
  for (var c = 0u; c < COUNT; c++) { // unroll
    top[c] = vec4f(bitcast<f32>(least));
  }
}

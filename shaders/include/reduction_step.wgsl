// Takes a vec4f `value` into the state of reduction c, of the KIND of columns.wgsl: the sum or the greatest value, `top[c]`,
// and `total[c]`: for logsumexp, Σ exp(value − greatest); for max, the greatest magnitude, whose bits tell whether there was a
// NaN, which WGSL's max may drop.
if (KIND == 0u) {
  top[c] += value;
} else if (KIND == 1u) {
  top[c] = max(top[c], value);
  total[c] = bitcast<vec4f>(max(bitcast<vec4u>(total[c]), bitcast<vec4u>(value) & vec4u(0x7fffffffu)));
} else {
  // include logsumexp_step
}

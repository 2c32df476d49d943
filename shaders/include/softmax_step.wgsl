// Takes four elements of a row into its sum, or into the greatest of them and Σ exp(x − greatest).
if (KIND == 2u) {
  total[0] += values[0] * values[COUNT - 1u];
} else if (KIND == 3u) {
  total[0] += values[COUNT - 1u];
} else {
  let c = 0u;
  let value = values[0];
  // include logsumexp_step
}

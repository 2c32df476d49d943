// `sums` of four numbers, u, of the states before step t get what goes there through w: da·w.
for (var k = 0u; k < 3u * WIDTH; k++) {
  let at = 4u * k * WIDTH + u;
  let block = mat4x4f(w[at], w[at + WIDTH], w[at + 2u * WIDTH], w[at + 3u * WIDTH]);
  for (var i = 0u; i < SLICE; i++) { // unroll
    sums[i] += block * slopes_of(i, rows[i], t, k);
  }
}

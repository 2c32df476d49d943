// Four numbers, u, of the states of examples `rows` after step t, from those before it, `previous`: into `next`, and y.
var r: array<vec4f, SLICE>;
var z: array<vec4f, SLICE>;
var n: array<vec4f, SLICE>;
for (var i = 0u; i < SLICE; i++) { // unroll
  let at = (rows[i] * LENGTH + t) * 3u * WIDTH + u;
  r[i] = x[at] + bias[u];
  z[i] = x[at + WIDTH] + bias[WIDTH + u];
  n[i] = bias[2u * WIDTH + u];
}
for (var k = 0u; k < WIDTH; k++) {
  let a = 4u * u * WIDTH + k;
  let b = a + 4u * WIDTH * WIDTH;
  let c = b + 4u * WIDTH * WIDTH;
  let of_r = mat4x4f(w[a], w[a + WIDTH], w[a + 2u * WIDTH], w[a + 3u * WIDTH]);
  let of_z = mat4x4f(w[b], w[b + WIDTH], w[b + 2u * WIDTH], w[b + 3u * WIDTH]);
  let of_n = mat4x4f(w[c], w[c + WIDTH], w[c + 2u * WIDTH], w[c + 3u * WIDTH]);
  for (var i = 0u; i < SLICE; i++) { // unroll
    let h = previous(i, rows[i], t, k);
    r[i] += h * of_r;
    z[i] += h * of_z;
    n[i] += h * of_n;
  }
}
var next: array<vec4f, SLICE>;
for (var i = 0u; i < SLICE; i++) { // unroll
  let fresh = candidate(x[((rows[i] * LENGTH + t) * 3u + 2u) * WIDTH + u] + gate(r[i]) * n[i]);
  next[i] = fresh + gate(z[i]) * (previous(i, rows[i], t, u) - fresh);
  if (first + i < BATCH) { y[(rows[i] * (LENGTH + 1u) + t + 1u) * WIDTH + u] = next[i]; }
}

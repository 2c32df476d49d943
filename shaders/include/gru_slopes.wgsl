// What step t of example `example`, one of the batch or not, makes of the cotangent `slope` of four numbers, u, of its state: into dx
// and da.
let place = (example * LENGTH + t) * 3u * WIDTH + u;
let state = example * (LENGTH + 1u) + t;
let at_a = state * 3u * WIDTH + u;
let a_n = a[at_a + 2u * WIDTH];
let r = gate(x[place] + a[at_a]);
let z = gate(x[place + WIDTH] + a[at_a + WIDTH]);
let n = candidate(x[place + 2u * WIDTH] + r * a_n);
let of_z = slope * (y[state * WIDTH + u] - n) * z * (1.0 - z);
let of_n = slope * (1.0 - z) * (1.0 - n * n);
let of_r = of_n * a_n * r * (1.0 - r);
if (isThere) {
  dx[place] = of_r;
  dx[place + WIDTH] = of_z;
  dx[place + 2u * WIDTH] = of_n;
  da[at_a] = of_r;
  da[at_a + WIDTH] = of_z;
  da[at_a + 2u * WIDTH] = of_n * r;
}

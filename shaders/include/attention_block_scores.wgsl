// The products of own rows from `first` on with others from `step` on, of four own rows a vec4: [part][j][i / 4].
var scores: array<vec4f, PARTS * OTHERS * OWN4>;
for (var part = 0u; part < PARTS; part++) { // unroll
  for (var i = 0u; i < OTHERS * OWN4; i++) { // unroll
    scores[part * OTHERS * OWN4 + i] = vec4f();
  }
  for (var piece = 0u; piece < PIECES; piece++) {
    let d = piece * WIDTH + across;
    var fresh: array<vec4f, 4 * OWN4 + OTHERS>;
    for (var i = 0u; i < 4 * OWN4 + OTHERS; i++) { // unroll
      fresh[i] = vec4f();
    }
    if ((WIDTH == 8u || across < WIDTH) && (PIECES * WIDTH == SIZE || d < SIZE)) {
      for (var i = 0u; i < 4 * OWN4; i++) { // unroll
        fresh[i] = own(part, first + 8u * i + down, d);
      }
      for (var j = 0u; j < OTHERS; j++) { // unroll
        fresh[4u * OWN4 + j] = other(part, step + 8u * j + down, d);
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < 4 * OWN4 + OTHERS; i++) { // unroll
      tile[i][9u * down + across] = fresh[i];
    }
    workgroupBarrier();
    for (var n = 0u; n < WIDTH; n++) {
      var right: array<vec4f, OTHERS>;
      for (var j = 0u; j < OTHERS; j++) { // unroll
        right[j] = tile[4u * OWN4 + j][9u * across + n];
      }
      for (var h = 0u; h < OWN4; h++) { // unroll
        let left = transpose(mat4x4f(tile[4u * h][9u * down + n], tile[4u * h + 1u][9u * down + n], tile[4u * h + 2u][9u * down + n], tile[4u * h + 3u][9u * down + n]));
        for (var j = 0u; j < OTHERS; j++) { // unroll
          scores[(part * OTHERS + j) * OWN4 + h] += left[0] * right[j].x;
          scores[(part * OTHERS + j) * OWN4 + h] += left[1] * right[j].y;
          scores[(part * OTHERS + j) * OWN4 + h] += left[2] * right[j].z;
          scores[(part * OTHERS + j) * OWN4 + h] += left[3] * right[j].w;
        }
      }
    }
  }
}

// Adds the other rows from `step` on, by their weights, to the sums of own rows: [part - FIRST][i][c].
for (var part = FIRST; part < PARTS; part++) { // unroll
  for (var stage = 0u; stage < OTHERS; stage += STAGED) { // unroll
    var fresh: array<vec4f, STAGED * COLUMNS>;
    for (var r = 0u; r < STAGED; r++) { // unroll
      for (var c = 0u; c < COLUMNS; c++) { // unroll
        if (8u * COLUMNS == SIZE || 8u * c + across < SIZE) {
          fresh[r * COLUMNS + c] = other(1u - part, step + 8u * (stage + r) + down, 8u * c + across);
        }
      }
    }
    workgroupBarrier();
    for (var r = 0u; r < STAGED; r++) { // unroll
      for (var c = 0u; c < COLUMNS; c++) { // unroll
        tile[r * COLUMNS + c][9u * down + across] = fresh[r * COLUMNS + c];
      }
      for (var h = 0u; h < OWN4; h++) { // unroll
        tile[STAGED * COLUMNS + r * OWN4 + h][9u * across + down] = scores[(part * OTHERS + stage + r) * OWN4 + h];
      }
    }
    workgroupBarrier();
    for (var n = 0u; n < 8u; n++) {
      for (var r = 0u; r < STAGED; r++) { // unroll
        var right: array<vec4f, COLUMNS>;
        for (var c = 0u; c < COLUMNS; c++) { // unroll
          right[c] = tile[r * COLUMNS + c][9u * n + across];
        }
        for (var h = 0u; h < OWN4; h++) { // unroll
          let left = tile[STAGED * COLUMNS + r * OWN4 + h][9u * n + down];
          for (var c = 0u; c < COLUMNS; c++) { // unroll
            sums[((part - FIRST) * 4u * OWN4 + 4u * h) * COLUMNS + c] += left.x * right[c];
            sums[((part - FIRST) * 4u * OWN4 + 4u * h + 1u) * COLUMNS + c] += left.y * right[c];
            sums[((part - FIRST) * 4u * OWN4 + 4u * h + 2u) * COLUMNS + c] += left.z * right[c];
            sums[((part - FIRST) * 4u * OWN4 + 4u * h + 3u) * COLUMNS + c] += left.w * right[c];
          }
        }
      }
    }
  }
}

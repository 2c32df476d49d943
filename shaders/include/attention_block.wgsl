// A workgroup has 32 · OWN4 rows of one head, and walks over the rows of the other kind, 8 · OTHERS at a time. Its threads are 8 across
// and 8 down. A thread has the scores of own rows 8·i + down with other rows 8·j + across, and of results, which have own rows, the
// vec4s 8·c + across.
//
// What is multiplied goes through workgroup memory, in groups of eight rows of eight vec4s with a ninth behind each row, so that eight
// threads that read or store a row or a column of a group meet no bank twice. Which group is read is constant, and the place in it one
// index: so one address is formed and checked for all groups.
// · Scores: WIDTH vec4s of each row at a time, PIECES times; own rows are in front, others behind.
// · Results: COLUMNS groups for each eight other rows, and behind these their weights, turned, so that a thread reads those of four own
//   rows at once; 8 · STAGED other rows at a time.
// Of PARTS products of own and other rows (in the backward pass, of scores and of their cotangents), those from FIRST on become
// weights: part p is of own(p) and other(p), and weighs other(1 - p).
const OWN4: u32 = 1;
const OTHERS: u32 = 4;
const WIDTH: u32 = 2;
const PIECES: u32 = 1;
const COLUMNS: u32 = 1;
const STAGED: u32 = 4;
// 4 · OWN4 + OTHERS, or what STAGED want, and behind them those of maxima and sums.
const GROUPS: u32 = 9;

var<workgroup> tile: array<array<vec4f, 72>, GROUPS>;

var<private> batch: u32;
var<private> head: u32;

fn query_number(row: u32, d: u32) -> vec4f {
  return q[(batch * QUERIES + min(row, QUERIES - 1u)) * Q_WIDTH + Q_FIRST + head * SIZE + d];
}

fn key_number(row: u32, d: u32) -> vec4f {
  return k[(batch * KEYS + min(row, KEYS - 1u)) * K_WIDTH + K_FIRST + head * SIZE + d];
}

fn value_number(row: u32, d: u32) -> vec4f {
  return v[(batch * KEYS + min(row, KEYS - 1u)) * V_WIDTH + V_FIRST + head * SIZE + d];
}

// Which of four queries sees which of four keys.
fn sees(queries: vec4u, keys: vec4u) -> vec4<bool> {
  var seen = (queries < vec4u(QUERIES)) & (keys < vec4u(KEYS));
  if (CAUSAL) { seen = seen & (keys <= queries); }
  if (MASKED) {
    let m = min(queries, vec4u(QUERIES - 1u)) * MASK_QUERY + min(keys, vec4u(KEYS - 1u)) * MASK_KEY;
    let at = m + vec4u(batch * MASK_BATCH + head * MASK_HEAD);
    seen = seen & (vec4f(mask[at.x], mask[at.y], mask[at.z], mask[at.w]) > vec4f());
  }
  return seen;
}

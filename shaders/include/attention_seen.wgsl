// Which of four `keys`, at `rows` of k and v, query first + i sees.
var seen = keys < vec4u(select(KEYS, min(KEYS, first + i + 1u), CAUSAL));
if (MASKED) {
  let m = batch * MASK_BATCH + head * MASK_HEAD + min(first + i, QUERIES - 1u) * MASK_QUERY;
  let at = rows * MASK_KEY + vec4u(m);
  seen = seen & (vec4f(mask[at.x], mask[at.y], mask[at.z], mask[at.w]) > vec4f());
}

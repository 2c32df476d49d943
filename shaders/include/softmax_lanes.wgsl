// What a thread has of a row, four lanes at a time, as one: the greatest element, and the sum.
var most = 0.0;
var sum = total[0].x;
if (KIND == 2u) {
  if (LANES == 4u) { sum = (total[0].x + total[0].y) + (total[0].z + total[0].w); }
} else if (KIND == 3u) {
  if (LANES == 4u) { sum = (total[0].x + total[0].y) + (total[0].z + total[0].w); }
} else {
  let last = top[0];
  most = last.x;
  if (LANES == 4u) {
    most = max(max(last.x, last.y), max(last.z, last.w));
    let scaled = total[0] * exp(select(last - most, vec4f(), last == vec4f(most)));
    sum = (scaled.x + scaled.y) + (scaled.z + scaled.w);
  }
}

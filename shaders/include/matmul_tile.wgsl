var tile_at = group;
if (SPREAD) {
  let i = (group.z * groups.y + group.y) * groups.x + group.x;
  tile_at = vec3u(i % GROUPS_X, i / GROUPS_X % GROUPS_Y, i / (GROUPS_X * GROUPS_Y));
  if (tile_at.z >= BATCHES) { return; }
}

// Where indices stand once they are sorted: order[p] is the position in `indices` of what comes at place p, and sorted[p] the index
// itself; equal ones keep their order.
//
// indices, order and sorted [COUNT]. A thread an index: it counts those that come before, so that no two have one place and the
// order is always the same, without atomics. Reads COUNT² numbers through the cache, four at a time where they come in fours.
const COUNT: u32 = 4;

@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> sorted: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= COUNT) { return; }
  let own = indices[i];
  var place = 0u;
  for (var j = 0u; j < i; j++) { place += select(0u, 1u, indices[j] <= own); }
  for (var j = i + 1u; j < COUNT; j++) { place += select(0u, 1u, indices[j] < own); }
  order[place] = i;
  sorted[place] = own;
}

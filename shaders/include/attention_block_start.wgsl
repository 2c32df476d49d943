// Which block of own rows this workgroup has: of which head and batch.
let across = local % 8u;
let down = local / 8u;
let blocks = (ROWS + 32u * OWN4 - 1u) / (32u * OWN4);
let id = group.y * groups.x + group.x;
let block = id % blocks;
let which = id / blocks;
if (which >= BATCH * HEADS) { return; }
batch = which / HEADS;
head = which % HEADS;

// Which TILE rows of ROWS this thread has: of which head and batch, and from which on; and from which on those of its quad.
// Lanes of a quad are of one head, and all of them stay, since each loads for the others.
let tiles = select((ROWS + TILE - 1u) / TILE, (ROWS + 4u * TILE - 1u) / (4u * TILE) * 4u, QUADS);
let id = (group.y * groups.x + group.x) * THREADS + local;
let head = id / tiles % HEADS;
let batch = id / (tiles * HEADS);
if (batch >= BATCH) { return; }
let first = id % tiles * TILE;
let together = select(first, id % tiles / 4u * 4u * TILE, QUADS);

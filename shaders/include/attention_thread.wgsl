// The kernels of which a thread has a tile of TILE rows to itself.
const THREADS: u32 = 16;
const TILE: u32 = 4;
const QUADS: bool = false;
// What QUADS keep in registers: TILE · SIZE and SIZE; else 1, since variables are cleared, and compilers labour at that.
const OWN: u32 = 8;
const KEPT: u32 = 2;

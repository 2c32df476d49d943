// SPREAD: of GROUPS_X × GROUPS_Y workgroups for each of BATCHES matmuls, more than a dimension takes: they are counted through.
const SPREAD: bool = false;
const GROUPS_X: u32 = 1;
const GROUPS_Y: u32 = 1;
const BATCHES: u32 = 1;
// Which of several matmuls this is: hooks may look at it.
var<private> batch: u32;

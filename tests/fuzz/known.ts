// Defects that are known and not mended yet: what would run into them is left out of the tests until then. It should be empty.
export const KNOWN = {
  /** Matmuls of more than 65,535 workgroups in one dimension, and of small matrices by the largest tile. */
  matmul: false,
  /** A module that is used twice has its parameters packed twice. */
  sharedModules: false,
};

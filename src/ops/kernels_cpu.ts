// The kernels of ops on adapters that run on the CPU, in the order of the rules' preference: loaded for these.
import { matmulOp } from './matmul.ts';
import { registerTiles, vectorKernels } from './matmul_variants.ts';
import { subgroupTiles } from './subgroup_tile.ts';
import type { Variant } from './tensor.ts';

export const kernels = new Map<unknown, readonly Variant[]>([
  [matmulOp, [...vectorKernels, ...subgroupTiles, ...registerTiles]],
] as never);

// The kernels of ops on GPUs, in the order of the rules' preference: loaded for these.
import { matmulOp } from './matmul.ts';
import { registerTiles, vectorKernels } from './matmul_variants.ts';
import { logsumexpOp, maxOp, sumOp } from './reduce.ts';
import { workgroupReductions } from './reduce_workgroup.ts';
import type { Variant } from './tensor.ts';
import { workgroupTiles } from './workgroup_tile.ts';

export const kernels = new Map<unknown, readonly Variant[]>([
  [matmulOp, [...vectorKernels, ...workgroupTiles, ...registerTiles]],
  [sumOp, [...workgroupReductions('sum'), ...sumOp.variants!]],
  [maxOp, [...workgroupReductions('max'), ...maxOp.variants!]],
  [logsumexpOp, [...workgroupReductions('logsumexp'), ...logsumexpOp.variants!]],
] as never);

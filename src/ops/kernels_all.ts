// All kernels of ops, whatever adapters they are for: what tests, the tuner and plans without a device choose from.
import { kernels as kernelsOfGpus } from './kernels_gpu.ts';
import { matmulOp } from './matmul.ts';
import { registerTiles, vectorKernels } from './matmul_variants.ts';
import { subgroupTiles } from './subgroup_tile.ts';
import type { Op, Variant } from './tensor.ts';
import { workgroupTiles } from './workgroup_tile.ts';

/** In the order of the rules' preference. */
export const kernels = new Map<unknown, readonly Variant[]>([
  ...kernelsOfGpus,
  [matmulOp, [...vectorKernels, ...subgroupTiles, ...workgroupTiles, ...registerTiles]],
] as never);

/** The variants of an op. */
export function variantsOf<A>(op: Op<A>): readonly Variant<A>[] {
  return (kernels.get(op) as readonly Variant<A>[] | undefined) ?? op.variants ?? [];
}

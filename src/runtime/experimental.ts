// Kernels that need what a browser offers only as an experiment: loaded for devices that were asked for it.
import { SUBGROUP_MATRIX } from '../gpu/adapter.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { matmulOp } from '../ops/matmul.ts';
import type { AdapterTraits, Op, Variant } from '../ops/tensor.ts';

const loaded = new WeakMap<Gpu, NonNullable<AdapterTraits['experimental']>>();

/** The further variants of a device, by op, once they are loaded. */
export function experimentalOf(gpu: Gpu): AdapterTraits['experimental'] {
  return loaded.get(gpu);
}

export async function loadExperimental(gpu: Gpu): Promise<void> {
  if (!gpu.has(SUBGROUP_MATRIX) || loaded.has(gpu)) return;
  const { subgroupMatrixVariants } = await import('../ops/subgroup_matrix.ts');
  const { matrices, largestSubgroup } = gpu.adapter;
  const variants = subgroupMatrixVariants(matrices, largestSubgroup) as readonly Variant[];
  loaded.set(gpu, new Map<unknown, readonly Variant[]>([[matmulOp as Op<never>, variants]]));
}

// What is loaded for a device before anything is planned for it: kernels and passes of its kind of adapter, and the kernels that
// need what a browser offers only as an experiment, where that was asked for.
import { SUBGROUP_MATRIX } from '../gpu/adapter.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Passes } from '../graph/planner.ts';
import { matmulOp } from '../ops/matmul.ts';
import type { AdapterTraits, Variant } from '../ops/tensor.ts';

export interface Kit {
  readonly kernels: AdapterTraits['kernels'] & {};
  readonly passes: Passes | undefined;
}

const kits = new WeakMap<Gpu, Kit>();
const loading = new WeakMap<Gpu, { all: boolean; kit: Promise<Kit> }>();

/** What was loaded for a device. */
export const kitOf = (gpu: Gpu): Kit | undefined => kits.get(gpu);

/** Loads what a device needs, once. */
export const loadKit = (gpu: Gpu): Promise<Kit> => once(gpu, false);

/** Loads the kernels of all kinds of adapters, to choose any of them; rules take those that they took before. */
export const loadAllKernels = (gpu: Gpu): Promise<Kit> => once(gpu, true);

function once(gpu: Gpu, all: boolean): Promise<Kit> {
  const known = loading.get(gpu);
  if (known && (known.all || !all)) return known.kit;
  const { software } = gpu.adapter;
  const kernels = all
    ? import('../ops/kernels_all.ts')
    : software
      ? import('../ops/kernels_cpu.ts')
      : import('../ops/kernels_gpu.ts');
  const kit = load(gpu, kernels);
  loading.set(gpu, { all, kit });
  // A page may have been without its server for a while.
  kit.catch(() => loading.delete(gpu));
  return kit;
}

async function load(gpu: Gpu, kernels: Promise<Pick<Kit, 'kernels'>>): Promise<Kit> {
  const [own, experimental, gpus] = await Promise.all([
    kernels,
    gpu.has(SUBGROUP_MATRIX) ? import('../ops/subgroup_matrix.ts') : undefined,
    gpu.adapter.software ? undefined : import('../graph/passes_gpu.ts'),
  ]);
  let all = own.kernels;
  if (experimental) {
    const { matrices, largestSubgroup } = gpu.adapter;
    const further = experimental.subgroupMatrixVariants(matrices, largestSubgroup) as readonly Variant[];
    all = new Map([...all, [matmulOp, [...further, ...all.get(matmulOp)!]]]);
  }
  const kit = { kernels: all, passes: gpus?.passes };
  kits.set(gpu, kit);
  return kit;
}

// The product by the hardware's own products of small matrices (Chromium's experimental subgroup matrices): loaded only
// where the device was asked for them. The extension may change, so the kernel is checked before its results count.
import subgroupMatrixText from '../../shaders/matmul/subgroup_matrix.wgsl?raw';
import {
  batchOf,
  constantsOf,
  isAligned,
  type MatmulAttrs,
  matmulHooks,
  PROBE,
  pinned,
  sizesOf,
  spread,
  withOperands,
} from './matmul_kernel.ts';
import { parallelismOf } from './parallelism.ts';
import type { AdapterTraits, DType, Tensor, Variant } from './tensor.ts';

const subgroupMatrixShader = /* @__PURE__ */ withOperands(subgroupMatrixText);

/** As `GPUAdapterInfo.subgroupMatrixConfigs` lists them. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Subgroups of a workgroup, down and across, and the small matrices of each. */
interface Tile {
  readonly name: string;
  readonly grid: readonly [number, number];
  readonly accumulators: readonly [number, number];
}

/** Sums that a thread has in registers: sixteen small matrices a subgroup. The other, for results too few for these. */
const tilesOf = ({ M, N }: SubgroupMatrixConfig): readonly Tile[] => {
  const tile = (grid: Tile['grid'], accumulators: Tile['accumulators']): Tile => {
    const [m, n] = [grid[0] * accumulators[0] * M, grid[1] * accumulators[1] * N];
    return { name: `tile ${m}×${n}`, grid, accumulators };
  };
  return [
    tile([2, 2], [4, 4]),
    tile([2, 1], [Math.max(1, 16 / M), Math.max(1, 32 / N)].map(Math.floor) as [number, number]),
  ];
};

/** Steps of k in workgroup memory, and bytes between its rows beyond their own. */
const DEPTH = 32;
const PAD = 16;

/**
 * Variants for each configuration: of f32 for all products, of f16 for operands stored as f16.
 *
 * @param lanes of the largest subgroup
 * @param halfSums those that add up in f16, too: less exact than what products promise, and so only for who asks for it
 */
export function subgroupMatrixVariants(
  configs: readonly SubgroupMatrixConfig[],
  lanes: number,
  halfSums = false,
): readonly Variant<MatmulAttrs>[] {
  const usable = configs.filter(
    ({ componentType, resultComponentType, M, N, K }) =>
      (resultComponentType === 'f32' || (halfSums && resultComponentType === 'f16')) &&
      (componentType === 'f32' || componentType === 'f16') &&
      [M, N, K].every((size) => size % 4 === 0),
  );
  return usable.flatMap((config) => tilesOf(config).map((tile) => variantOf(config, tile, lanes)));
}

function variantOf(
  { componentType, resultComponentType, M, N, K }: SubgroupMatrixConfig,
  tile: Tile,
  lanes: number,
): Variant<MatmulAttrs> {
  const { grid, accumulators } = tile;
  const [tileM, tileN] = [grid[0] * accumulators[0] * M, grid[1] * accumulators[1] * N];
  const depth = K * Math.max(1, Math.floor(DEPTH / K));
  const [bytes, sumBytes] = [componentType, resultComponentType].map((type) => (type === 'f16' ? 2 : 4)) as [
    number,
    number,
  ];
  const pad = PAD / bytes;
  const lanesOf = ({ pinsSubgroups, subgroupSize }: AdapterTraits) => (pinsSubgroups ? subgroupSize : lanes);
  const threadsFor = (size: number) => size * grid[0] * grid[1];
  const memory = bytes * depth * (tileM + tileN + 2 * pad) + sumBytes * grid[0] * grid[1] * M * N;
  const groups = (node: Tensor<MatmulAttrs>) => {
    const { m, n } = sizesOf(node);
    return [Math.ceil(n / tileN), Math.ceil(m / tileM), batchOf(node)] as const;
  };
  const isLarge = accumulators[0] * accumulators[1] === 16 && grid[1] > 1;
  const sums = resultComponentType === 'f16' ? ', sums of f16' : '';
  return {
    name: `subgroup matrix ${M}×${N}×${K} of ${componentType}${sums}, ${tile.name}`,
    unverified: true,
    probe: PROBE.map(({ inputs, attrs }) => ({
      inputs: inputs.map(({ shape }) => ({ shape, dtype: componentType as DType })),
      attrs,
    })),
    possible: (node) =>
      isAligned(node) &&
      sizesOf(node).k > 0 &&
      (componentType === 'f32' || node.inputs.every((x) => x.dtype === 'f16')),
    needs: (_, traits) => ({ threads: threadsFor(lanesOf(traits)), memory }),
    heuristic(node, traits) {
      const [x, y, z] = groups(node);
      const enough = isLarge ? parallelismOf(traits).cores / 2 : 16;
      return !traits.software && !sums && x * y * z >= enough;
    },
    kernel(node, writer) {
      const { constants, workgroups } = spread(writer, ...groups(node));
      const { traits } = writer;
      return {
        source: pinned(subgroupMatrixShader, traits),
        constants: {
          ...constantsOf(node),
          ...constants,
          SIZE_M: M,
          SIZE_N: N,
          SIZE_K: K,
          GRID_M: grid[0],
          GRID_N: grid[1],
          ACC_M: accumulators[0],
          ACC_N: accumulators[1],
          DEPTH: depth,
          PAD: pad,
          THREADS: threadsFor(lanesOf(traits)),
        },
        aliases: { Component: componentType, Sum: resultComponentType },
        hooks: matmulHooks(node, writer),
        workgroups,
        flops: 2 * node.size * sizesOf(node).k,
      };
    },
  };
}

// The product by the hardware's own products of small matrices (Chromium's experimental subgroup matrices): loaded only
// where the device was asked for them. The extension may change, so the kernel is checked before its results count.
import subgroupMatrixShader from '../../shaders/matmul/subgroup_matrix.wgsl?raw';
import {
  batchOf,
  constantsOf,
  isAligned,
  type MatmulAttrs,
  matmulHooks,
  PROBE,
  sizesOf,
  spread,
} from './matmul_kernel.ts';
import type { DType, Tensor, Variant } from './tensor.ts';

/** As `GPUAdapterInfo.subgroupMatrixConfigs` lists them. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Rows and columns of a workgroup's tile, wherever the small matrices fit into it. */
const TILE = 32;
const THREADS = 64;

/**
 * A variant for each configuration that adds up in f32: of f32 for all products, of f16 for operands stored as f16.
 *
 * @param lanes of the largest subgroup
 */
export function subgroupMatrixVariants(
  configs: readonly SubgroupMatrixConfig[],
  lanes: number,
): readonly Variant<MatmulAttrs>[] {
  const usable = configs.filter(
    ({ componentType, resultComponentType, M, N, K }) =>
      resultComponentType === 'f32' &&
      (componentType === 'f32' || componentType === 'f16') &&
      [M, N, K].every((size) => size % 4 === 0),
  );
  return usable.map((config) => variantOf(config, lanes));
}

function variantOf({ componentType, M, N, K }: SubgroupMatrixConfig, lanes: number): Variant<MatmulAttrs> {
  const blocks = [M, N].map((size) => Math.max(1, Math.floor(TILE / size))) as [number, number];
  const groups = (node: Tensor<MatmulAttrs>) => {
    const { m, n } = sizesOf(node);
    return [Math.ceil(n / (blocks[1] * N)), Math.ceil(m / (blocks[0] * M)), batchOf(node)] as const;
  };
  return {
    name: `subgroup matrix ${M}×${N}×${K} of ${componentType}`,
    unverified: true,
    probe: PROBE.map(({ inputs, attrs }) => ({
      inputs: inputs.map(({ shape }) => ({ shape, dtype: componentType as DType })),
      attrs,
    })),
    possible: (node) =>
      isAligned(node) &&
      sizesOf(node).k > 0 &&
      (componentType === 'f32' || node.inputs.every((x) => x.dtype === 'f16')),
    heuristic(node, { software }) {
      const [x, y, z] = groups(node);
      return !software && x * y * z >= 16;
    },
    kernel(node, writer) {
      const { constants, workgroups } = spread(writer, ...groups(node));
      return {
        source: subgroupMatrixShader,
        constants: {
          ...constantsOf(node),
          ...constants,
          SIZE_M: M,
          SIZE_N: N,
          SIZE_K: K,
          BLOCKS_M: blocks[0],
          BLOCKS_N: blocks[1],
          DEPTH: K * Math.max(1, Math.floor(16 / K)),
          THREADS: lanes * Math.max(1, Math.floor(THREADS / lanes)),
        },
        aliases: { Component: componentType },
        hooks: matmulHooks(node, writer),
        workgroups,
        flops: 2 * node.size * sizesOf(node).k,
      };
    },
  };
}

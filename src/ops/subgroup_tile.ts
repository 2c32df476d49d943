// The tiles of a matmul whose rows of A are shared in the subgroup: the fastest on a CPU adapter.
import subgroupShader from '../../shaders/matmul/register_tile_subgroup.wgsl?raw';
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
} from './matmul_kernel.ts';
import { addsByFour } from './matmul_variants.ts';
import type { Variant } from './tensor.ts';

/** The group size, up to 8, that covers so many tiles with the fewest to spare; of several, the largest. */
function fewestLeftOver(tiles: number): number {
  const spare = (size: number) => Math.ceil(tiles / size) * size - tiles;
  return [8, 7, 6, 5, 4].reduce((best, size) => (spare(size) < spare(best) ? size : best), Math.min(8, tiles));
}

/** Multiply-adds from which on the speed of a larger tile counts for more than how much longer it takes to compile. */
const MIDDLING = 2.5e6;
const LONG = 8e6;
const LONGEST = 1e8;

/**
 * @param least multiply-adds that it is worth its compilation for
 * @param fits whether subgroups of so many lanes may gain by it
 */
function subgroupTile(
  tileM: number,
  tileN4: number,
  least: number,
  fits: (lanes: number) => boolean = () => true,
): Variant<MatmulAttrs> {
  return {
    name: `register tile ${tileM}×${4 * tileN4}, subgroup broadcast`,
    unverified: true,
    probe: PROBE,
    possible: (node, { subgroupSize }) =>
      subgroupSize >= 4 && fits(subgroupSize) && tileM % subgroupSize === 0 && isAligned(node),
    heuristic(node, { software }) {
      const { m, k } = sizesOf(node);
      return software && m >= 8 && node.size * k >= least;
    },
    kernel(node, writer) {
      const { m, n, k } = sizesOf(node);
      const { subgroupSize } = writer.traits;
      const groupY = fewestLeftOver(Math.ceil(m / tileM));
      const tile = { SUBGROUP: subgroupSize, TILE_M: tileM, TILE_N4: tileN4, GROUP_X: subgroupSize, GROUP_Y: groupY };
      const hooks = matmulHooks(node, writer);
      const { constants, workgroups } = spread(
        writer,
        Math.ceil(n / 4 / tileN4 / subgroupSize),
        Math.ceil(m / tileM / groupY),
        batchOf(node),
      );
      const isBare = writer.storesBare && m % tileM === 0 && n % (4 * tileN4) === 0;
      return {
        source: pinned(subgroupShader, writer.traits),
        constants: {
          ...constantsOf(node),
          ...constants,
          ...tile,
          BARE_STORE: isBare,
          BY_FOUR: addsByFour(node, writer.traits),
        },
        hooks,
        workgroups,
        flops: 2 * node.size * k,
      };
    },
  };
}

/** In the order of the rule's preference. */
export const subgroupTiles: readonly Variant<MatmulAttrs>[] = [
  // A larger tile loads less for each multiply-add, and takes drivers about twice as long to compile. Of eight lanes, one
  // of 32×4 already fills what registers hold.
  subgroupTile(32, 2, LONGEST, (lanes) => lanes < 8),
  subgroupTile(32, 1, LONG, (lanes) => lanes >= 8),
  subgroupTile(16, 2, LONG, (lanes) => lanes < 8),
  subgroupTile(16, 1, MIDDLING),
  subgroupTile(8, 1, 0),
];

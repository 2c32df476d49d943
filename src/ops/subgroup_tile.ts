// The tiles of a matmul whose rows of A are shared in the subgroup: the fastest on an adapter that runs on the CPU.
import quadText from '../../shaders/matmul/register_tile_quad.wgsl?raw';
import broadcastText from '../../shaders/matmul/register_tile_subgroup.wgsl?raw';
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
import { addsByFour } from './matmul_variants.ts';
import type { AdapterTraits, Kernel, Tensor, Variant } from './tensor.ts';

const quadShader = /* @__PURE__ */ withOperands(quadText);
const broadcastShader = /* @__PURE__ */ withOperands(broadcastText);

/** The group size, up to 8, that covers so many tiles with the fewest to spare; of several, the largest. */
function fewestLeftOver(tiles: number): number {
  const spare = (size: number) => Math.ceil(tiles / size) * size - tiles;
  return [8, 7, 6, 5, 4].reduce((best, size) => (spare(size) < spare(best) ? size : best), Math.min(8, tiles));
}

/** Multiply-adds from which on the speed of a larger tile counts for more than how much longer it takes to compile. */
const MIDDLING = 2.5e6;
const LONG = 8e6;
const LONGEST = 1e8;

/** How many results more than are wanted a larger tile may compute before a smaller one is taken. */
const WASTE = 1.25;

interface Tile {
  readonly tileM: number;
  readonly tileN4: number;
  /** Multiply-adds that it is worth its compilation for. */
  readonly least: number;
}

/** What the two kernels have in common; `possible` and the shader are their own. */
function tileOf(
  how: string,
  { tileM, tileN4, least }: Tile,
  possible: NonNullable<Variant<MatmulAttrs>['possible']>,
  shader: (node: Tensor<MatmulAttrs>, traits: AdapterTraits) => Pick<Kernel, 'source' | 'constants'>,
): Variant<MatmulAttrs> {
  return {
    name: `register tile ${tileM}×${4 * tileN4}, ${how}`,
    unverified: true,
    probe: PROBE,
    possible: (node, traits) => isAligned(node) && possible(node, traits),
    heuristic(node, { software, subgroupSize }) {
      const { m, n, k } = sizesOf(node);
      const fits = (count: number, tile: number) => Math.ceil(count / tile) * tile <= WASTE * count;
      const fitsWell = (tileM === 8 || fits(m, tileM)) && (tileN4 === 1 || fits(n, 4 * tileN4 * subgroupSize));
      return software && m >= 8 && node.size * k >= least && fitsWell;
    },
    kernel(node, writer) {
      const { m, n, k } = sizesOf(node);
      const { subgroupSize } = writer.traits;
      const groupY = fewestLeftOver(Math.ceil(m / tileM));
      const hooks = matmulHooks(node, writer);
      const { constants, workgroups } = spread(
        writer,
        Math.ceil(n / 4 / tileN4 / subgroupSize),
        Math.ceil(m / tileM / groupY),
        batchOf(node),
      );
      const { source, constants: own } = shader(node, writer.traits);
      return {
        source: pinned(source, writer.traits),
        constants: {
          ...constantsOf(node),
          ...constants,
          ...own,
          TILE_M: tileM,
          TILE_N4: tileN4,
          GROUP_X: subgroupSize,
          GROUP_Y: groupY,
          BARE_STORE: writer.storesBare && m % tileM === 0 && n % (4 * tileN4) === 0,
        },
        hooks,
        workgroups,
        flops: 2 * node.size * k,
      };
    },
  };
}

/** Of subgroups of four lanes: what others have loaded comes by swaps. */
function quadTile(tile: Tile): Variant<MatmulAttrs> {
  return tileOf(
    'quad swaps',
    tile,
    ({ attrs }, { subgroupSize }) => subgroupSize === 4 && (tile.tileM % 16 === 0 || !attrs.transposeA),
    () => ({ source: quadShader, constants: {} }),
  );
}

/** Of larger ones, or where a tile is too small for a quad's swaps: it comes by broadcast. */
function broadcastTile(tile: Tile): Variant<MatmulAttrs> {
  return tileOf(
    'subgroup broadcast',
    tile,
    (_, { subgroupSize }) => subgroupSize >= 4 && tile.tileM % subgroupSize === 0,
    (node, traits) => ({
      source: broadcastShader,
      constants: { SUBGROUP: traits.subgroupSize, BY_FOUR: addsByFour(node, traits) },
    }),
  );
}

/** In the order of the rule's preference: a larger tile loads less for each multiply-add, and takes drivers longer to compile. */
export const subgroupTiles: readonly Variant<MatmulAttrs>[] = [
  quadTile({ tileM: 32, tileN4: 4, least: LONGEST }),
  quadTile({ tileM: 32, tileN4: 2, least: LONG }),
  quadTile({ tileM: 16, tileN4: 2, least: LONG }),
  quadTile({ tileM: 16, tileN4: 1, least: MIDDLING }),
  quadTile({ tileM: 8, tileN4: 1, least: 0 }),
  // Of eight lanes, one of 32×4 already fills what registers hold.
  broadcastTile({ tileM: 32, tileN4: 1, least: LONG }),
  broadcastTile({ tileM: 16, tileN4: 1, least: MIDDLING }),
  broadcastTile({ tileM: 8, tileN4: 1, least: 0 }),
];

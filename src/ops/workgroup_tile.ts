// The tiles of a matmul that go through workgroup memory, which is what a GPU wants, and the rule that takes one of them by
// what it wastes and by how many of the adapter's cores it keeps busy.
import workgroupText from '../../shaders/matmul/workgroup_tile.wgsl?raw';
import {
  batchOf,
  constantsOf,
  isAligned,
  type MatmulAttrs,
  matmulHooks,
  sizesOf,
  spread,
  withOperands,
} from './matmul_kernel.ts';
import { parallelismOf } from './parallelism.ts';
import type { AdapterTraits, Tensor, Variant } from './tensor.ts';

const workgroupShader = /* @__PURE__ */ withOperands(workgroupText);

interface Tile {
  readonly m: number;
  readonly n: number;
  /** Results of a thread: so many times four rows and columns. */
  readonly register: 1 | 2;
  /** Steps of k in workgroup memory. */
  readonly depth: number;
  /** Groups of threads that share out the k of a step. */
  readonly slices: number;
}

/** Largest first. */
const TILES: readonly Tile[] = [
  { m: 128, n: 128, register: 2, depth: 16, slices: 1 },
  { m: 64, n: 64, register: 2, depth: 16, slices: 1 },
  { m: 64, n: 64, register: 2, depth: 32, slices: 4 },
  { m: 64, n: 32, register: 2, depth: 32, slices: 8 },
  { m: 32, n: 64, register: 2, depth: 32, slices: 8 },
  { m: 32, n: 32, register: 1, depth: 16, slices: 1 },
  { m: 32, n: 32, register: 1, depth: 64, slices: 4 },
  { m: 128, n: 16, register: 1, depth: 16, slices: 1 },
  { m: 16, n: 128, register: 1, depth: 16, slices: 1 },
  { m: 32, n: 16, register: 1, depth: 64, slices: 8 },
  { m: 16, n: 32, register: 1, depth: 64, slices: 8 },
];

/** Workgroup memory that a tile in slices may take for longer steps. */
const MOST_MEMORY = 32768;
/** What a step waits for memory, in steps of k. */
const WAIT = 112;
/** The k beyond which longer steps gain nothing: an H200 takes 5 to 18 % less time for 200 to 800, and a quarter more for 2,048. */
const LONG = 1024;

/**
 * Steps of k in workgroup memory, of a tile in slices, of which there are too few to hide what one waits for: the fewer times a tile
 * waits, the better, so they are as many as there is room for, and leave little to spare in the last.
 */
function deepest({ m, n, depth, slices }: Tile, k: number, memory: number): number {
  let [best, least] = [depth, Infinity];
  if (k > LONG) return best;
  for (let deep = depth; bytesOf({ m, n, depth: deep }) <= memory; deep += Math.max(32, 4 * slices)) {
    const time = Math.ceil(k / deep) * (deep + WAIT);
    if (time < least) [best, least] = [deep, time];
  }
  return best;
}

const threadsOf = ({ m, n, register, slices }: Tile) => (slices * m * n) / (16 * register * register);
/** Of one buffer. */
const bytesOf = ({ m, n, depth }: Pick<Tile, 'm' | 'n' | 'depth'>) => 4 * depth * (m + n);

/** Threads of a core that hide what a tile of 4×4 results a thread waits for; of 8×8, half as many do. */
const ENOUGH = 512;
/** What reading workgroup memory, and memory, costs a multiply-add, in multiply-adds. */
const BY_REGISTERS = 1.6;
const BY_TILE = 22;
/** What adding up the slices of a result costs, in multiply-adds. */
const FOLD = 8;
/** Results that tiles may compute for each that is wanted: more are taken only if all waste more. */
const MOST_WASTE = 2.4;

const groupsOf = (node: Tensor<MatmulAttrs>, { m, n }: Pick<Tile, 'm' | 'n'>) => {
  const size = sizesOf(node);
  return [Math.ceil(size.n / n), Math.ceil(size.m / m), batchOf(node)] as const;
};

function wasteOf(node: Tensor<MatmulAttrs>, tile: Pick<Tile, 'm' | 'n'>): number {
  const { m, n } = sizesOf(node);
  const [x, y] = groupsOf(node, tile);
  return (x * y * tile.m * tile.n) / (m * n);
}

/** How long a tile takes, in multiply-adds of a core that has as many threads as it wants. */
function timeOf(node: Tensor<MatmulAttrs>, tile: Tile, traits: AdapterTraits): number {
  const { cores } = parallelismOf(traits);
  const { m, n, register, slices } = tile;
  // How many cores there are is a guess, so what the last turn leaves idle is none's to count.
  const turns = Math.max(1, groupsOf(node, tile).reduce((a, b) => a * b) / cores);
  const share = Math.min(1, (turns * threadsOf(tile) * register) / ENOUGH);
  const access = 1 + BY_REGISTERS / (2 * register) + BY_TILE * (1 / m + 1 / n);
  return (turns * m * n * (sizesOf(node).k * access + (slices > 1 ? slices * FOLD : 0))) / share;
}

/** Of what a thread loads and computes by itself, without workgroup memory: a tile of so many rows, and as many columns. */
const ALONE = 4;

/** The tile that is taken of those that are possible; none if all waste more than threads by themselves would. */
function best(node: Tensor<MatmulAttrs>, traits: AdapterTraits): Tile | undefined {
  const possible = TILES.filter((tile) => isPossible(node, tile) && wasteOf(node, tile) <= MOST_WASTE);
  const { m, n } = sizesOf(node);
  if (m <= ALONE && n <= ALONE) return undefined;
  let least = Infinity;
  return possible.reduce<Tile | undefined>((taken, tile) => {
    const time = timeOf(node, tile, traits);
    if (time >= least) return taken;
    least = time;
    return tile;
  }, undefined);
}

/** Where rows are no whole vec4s, every load is four with bounds of their own: only small tiles have few enough of them. */
function isPossible(node: Tensor<MatmulAttrs>, { register }: Tile): boolean {
  return sizesOf(node).k > 0 && (register === 1 || isAligned(node));
}

function variantOf(tile: Tile): Variant<MatmulAttrs> {
  const { m, n, register, slices } = tile;
  const threads = threadsOf(tile);
  const least = bytesOf(tile);
  const inSlices = slices > 1 ? `, ${slices} slices of K` : '';
  return {
    name: `workgroup tile ${m}×${n}, ${4 * register}×${4 * register} a thread${inSlices}`,
    possible: (node) => isPossible(node, tile),
    needs: () => ({ threads, memory: least }),
    heuristic: (node, traits) => !traits.software && best(node, traits) === tile,
    kernel(node, writer) {
      const { constants, workgroups } = spread(writer, ...groupsOf(node, tile));
      // What is stored as f16 loses nothing in a tile of f16; slices add up in it.
      const isHalf = slices === 1 && node.inputs.every(({ dtype }) => dtype === 'f16');
      // Where registers leave room for few workgroups, each has to hide by itself what it waits for. Elsewhere more memory, and
      // the registers of the largest tile, would cost what hides it: other workgroups.
      const { vendor, limits } = writer.traits;
      const deep = vendor === 'nvidia';
      const room = Math.min(MOST_MEMORY, limits.maxComputeWorkgroupStorageSize);
      const depth = deep && slices > 1 ? deepest(tile, sizesOf(node).k, room) : tile.depth;
      const memory = bytesOf({ ...tile, depth });
      const buffers = deep && depth === tile.depth && 2 * memory <= limits.maxComputeWorkgroupStorageSize ? 2 : 1;
      const vec4s = (buffers * memory) / 16;
      const rows = [4 * register, 2 * register, register, 1].find((count) => count * register * threads <= vec4s)!;
      return {
        source: workgroupShader,
        constants: {
          ...constantsOf(node),
          ...constants,
          TILE_M: m,
          TILE_N: n,
          DEPTH: depth,
          REG_M4: register,
          REG_N4: register,
          THREADS: threads,
          PREFETCH: deep || m * n < 128 * 128,
          BUFFERS: buffers,
          SLICES: slices,
          ROWS: rows,
          ROUNDS: Math.ceil((depth * (m + n)) / 16 / threads),
        },
        ...(isHalf && { aliases: { Tile: 'vec4<f16>' } }),
        hooks: matmulHooks(node, writer),
        workgroups,
        flops: 2 * node.size * sizesOf(node).k,
      };
    },
  };
}

export const workgroupTiles: readonly Variant<MatmulAttrs>[] = TILES.map(variantOf);

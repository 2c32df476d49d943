// The kernels of matmul: which tiles there are, where each is possible, and what the heuristic takes.
import registerTileShader from '../../shaders/matmul/register_tile.wgsl?raw';
import subgroupShader from '../../shaders/matmul/register_tile_subgroup.wgsl?raw';
import vectorShader from '../../shaders/matmul/vector.wgsl?raw';
import workgroupShader from '../../shaders/matmul/workgroup_tile.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { Affine } from './affine.ts';
import { type AdapterTraits, type KernelWriter, show, type Tensor, type Variant } from './tensor.ts';

export interface MatmulAttrs {
  /** A is stored [K, M]. */
  readonly transposeA: boolean;
  /** B is stored [N, K]. */
  readonly transposeB: boolean;
}

export interface Sizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** @throws ShapeError if the inner sizes differ */
export function sizes(a: readonly number[], b: readonly number[], { transposeA, transposeB }: MatmulAttrs): Sizes {
  const [m, k] = (transposeA ? [a.at(-1), a.at(-2)] : [a.at(-2), a.at(-1)]) as [number, number];
  const [inner, n] = (transposeB ? [b.at(-1), b.at(-2)] : [b.at(-2), b.at(-1)]) as [number, number];
  if (k !== inner) {
    const form = `${transposeA ? 'transposed ' : ''}${show(a)} · ${transposeB ? 'transposed ' : ''}${show(b)}`;
    throw new ShapeError(`inner sizes differ in ${form}: ${k} and ${inner}`);
  }
  return { m, n, k };
}

/**
 * Whether rows of both operands and of the result are whole vec4s. Where they are not, every load is four with bounds
 * of their own, and a large unrolled tile of such takes drivers seconds to compile.
 */
export function isAligned({ inputs, shape }: Tensor<MatmulAttrs>): boolean {
  return [...inputs.map((x) => x.shape.at(-1)!), shape.at(-1)!].every((width) => width % 4 === 0);
}

/** Register tile of tileM × 4·tileN4, without workgroup memory. */
function registerTile(
  tileM: number,
  tileN4: number,
  heuristic?: Variant<MatmulAttrs>['heuristic'],
): Variant<MatmulAttrs> {
  return {
    name: `register tile ${tileM}×${4 * tileN4}`,
    ...(tileM * tileN4 > 4 && { possible: isAligned }),
    ...(heuristic && { heuristic }),
    kernel(node, writer) {
      const { m, n, k } = sizesOf(node);
      const tiles = [Math.ceil(n / 4 / tileN4), Math.ceil(m / tileM), batchOf(node)] as const;
      const [x, y, z] = writer.traits.software ? ([8, 8, 1] as const) : threadsFor(...tiles);
      const { constants, workgroups } = spread(
        writer,
        Math.ceil(tiles[0] / x),
        Math.ceil(tiles[1] / y),
        Math.ceil(tiles[2] / z),
      );
      return {
        source: registerTileShader,
        constants: {
          ...constantsOf(node),
          ...constants,
          BATCHES: batchOf(node),
          TILE_M: tileM,
          TILE_N4: tileN4,
          GROUP_X: x,
          GROUP_Y: y,
          GROUP_Z: z,
          BY_FOUR: addsByFour(node, writer.traits),
        },
        hooks: matmulHooks(node, writer),
        workgroups,
        flops: 2 * node.size * k,
      };
    },
  };
}

/** The threads of a workgroup, 64 at most, along columns, rows and the batch: those with the fewest to spare. */
function threadsFor(columns: number, rows: number, batch: number): [number, number, number] {
  const upTo = (count: number, most: number) => Math.min(most, 2 ** Math.ceil(Math.log2(Math.max(1, count))));
  const spare = (size: readonly number[]) =>
    [columns, rows, batch].reduce((all, count, axis) => all * Math.ceil(count / size[axis]!) * size[axis]!, 1);
  let best: [number, number, number] | undefined;
  for (let x = upTo(columns, 8); x >= 1; x /= 2) {
    for (let y = upTo(rows, 64 / x); y >= 1; y /= 2) {
      const size: [number, number, number] = [x, y, upTo(batch, 64 / (x * y))];
      const fills = size[0] * size[1] * size[2] >= 32 || !best;
      if (!best || (fills && spare(size) < spare(best))) best = size;
    }
  }
  return best!;
}

/** The workgroups of a kernel, counted through where one dimension has more of them than WebGPU takes. */
export function spread(writer: KernelWriter, x: number, y: number, z: number) {
  const isSpread = [x, y, z].some((count) => writer.grid(count)[1] > 1);
  return {
    constants: { SPREAD: isSpread, GROUPS_X: x, GROUPS_Y: y, BATCHES: z },
    workgroups: isSpread ? writer.grid(x * y * z) : ([x, y, z] as const),
  };
}

/** Whether a sum gets four products at a time: SwiftShader keeps sums in memory, and lavapipe where A is transposed. */
function addsByFour({ attrs }: Tensor<MatmulAttrs>, { software, subgroupSize }: AdapterTraits): boolean {
  return software && (subgroupSize < 8 || attrs.transposeA);
}

/** The group size, up to 8, that covers so many tiles with the fewest to spare; of several, the largest. */
function fewestLeftOver(tiles: number): number {
  const spare = (size: number) => Math.ceil(tiles / size) * size - tiles;
  return [8, 7, 6, 5, 4].reduce((best, size) => (spare(size) < spare(best) ? size : best), Math.min(8, tiles));
}

/** Multiply-adds from which on the speed of a larger tile counts for more than how much longer it takes to compile. */
const MIDDLING = 2.5e6;
const LONG = 8e6;
const LONGEST = 1e8;

/** What a tile that is to be validated is tried on: in each form, with a tile that is not filled. */
export const PROBE = [false, true].flatMap((transposeA) =>
  [false, true].map((transposeB) => ({
    inputs: [transposeA ? [20, 36] : [36, 20], transposeB ? [68, 20] : [20, 68]].map((shape) => ({ shape })),
    attrs: { transposeA, transposeB },
  })),
);

/**
 * Register tile whose rows of A are shared in the subgroup: the fastest on a CPU adapter.
 *
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
        source: subgroupShader,
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

/** Results that tiles may compute for each that is wanted: a tile twice as large is not twice as fast. */
const MOST_WASTE = 2;

/** Tile of one workgroup, through workgroup memory: what a GPU wants of a matmul of some size. */
function workgroupTile(tile: number, reg4: number, leastGroups: number): Variant<MatmulAttrs> {
  const threads = (tile / (4 * reg4)) ** 2;
  const depth = 16;
  const groups = (node: Tensor<MatmulAttrs>) => {
    const { m, n } = sizesOf(node);
    return [Math.ceil(n / tile), Math.ceil(m / tile), batchOf(node)] as const;
  };
  return {
    name: `workgroup tile ${tile}×${tile}, ${4 * reg4}×${4 * reg4} a thread`,
    possible: (node) => isAligned(node) && sizesOf(node).k > 0,
    heuristic(node, { software }) {
      const { m, n } = sizesOf(node);
      const [x, y, z] = groups(node);
      return !software && x * y * tile * tile <= MOST_WASTE * m * n && x * y * z >= leastGroups;
    },
    kernel(node, writer) {
      const { constants, workgroups } = spread(writer, ...groups(node));
      const tiles = { TILE_M: tile, TILE_N: tile, DEPTH: depth, REG_M4: reg4, REG_N4: reg4, THREADS: threads };
      return {
        source: workgroupShader,
        constants: { ...constantsOf(node), ...constants, ...tiles },
        // What is stored as f16 loses nothing in a tile of f16.
        aliases: Object.fromEntries(
          node.inputs.flatMap(({ dtype }, i) => (dtype === 'f16' ? [[`Tile${'AB'[i]}`, 'vec4<f16>']] : [])),
        ),
        hooks: matmulHooks(node, writer),
        workgroups,
        flops: 2 * node.size * sizesOf(node).k,
      };
    },
  };
}

/** The most vectors that a matrix is multiplied with at once. */
const FEW = 4;

/**
 * One thread four results of each of a few vectors: for a matmul with as few rows, or columns, of which a square tile
 * would waste most.
 */
function matrixVector(
  threads: 'alone' | 'together',
  heuristic: Variant<MatmulAttrs>['heuristic'],
): Variant<MatmulAttrs> {
  return {
    name: `matrix by vectors, ${threads === 'alone' ? 'one thread' : 'a workgroup'} a result`,
    possible: (node) => Math.min(sizesOf(node).m, sizesOf(node).n) <= FEW,
    ...(heuristic && { heuristic }),
    kernel(node, writer) {
      const { m, n, k } = sizesOf(node);
      const { transposeA, transposeB } = node.attrs;
      const [a, b] = node.inputs as [Tensor, Tensor];
      // Of rows times a matrix, B is the matrix; of a matrix times columns, A.
      const rows = m <= n;
      const [matrix, vectors] = rows ? [b, a] : [a, b];
      const [long, few] = rows ? [n, m] : [m, n];
      const [byK, vectorsByK] = rows ? [!transposeB, transposeA] : [transposeA, !transposeB];
      const parts = threads === 'alone' ? 1 : byK ? 8 : 32;
      const columns = 64 / parts;
      const batch = Affine.variable('batch', batchOf(node));
      const vector = Affine.variable('v', few);
      const fours = Affine.variable('j4', Math.ceil(long / 4)).times(4);
      // Each lane's own bound: those that fall off the end are left out by the guard.
      const lane = (i: number) =>
        Affine.variable('j4', Math.floor((long - 1 - i) / 4) + 1)
          .times(4)
          .plus(i);
      const at = (i: number) =>
        batch.times(m * n).plus(rows ? vector.times(n).plus(lane(i)) : lane(i).times(n).plus(vector));
      // A single vector lies the same, whichever way it is stored.
      const single = few === 1;
      const k4 = Affine.variable('col4', Math.ceil(k / 4)).times(4);
      const loadVectors = single
        ? writer.load(
            vectors,
            (i) => [batch, ...(vectorsByK ? [k4.plus(i), ZERO] : [ZERO, k4.plus(i)])].slice(-vectors.shape.length),
            4,
          )
        : loadOperand(vectors, writer, batch);
      const { constants, workgroups } = spread(writer, Math.ceil(long / 4 / columns), 1, batchOf(node));
      return {
        source: vectorShader,
        constants: {
          ...constants,
          LONG: long,
          FEW: few,
          K: k,
          BY_K: byK,
          VECTORS_BY_K: vectorsByK && !single,
          PARTS: parts,
          COLUMNS: columns,
        },
        hooks: {
          load_matrix: loadOperand(matrix, writer, batch),
          load_vectors: loadVectors,
          store: writer.store(at, VALUES, fours, long),
        },
        workgroups,
        flops: 2 * node.size * k,
      };
    },
  };
}

const ZERO = Affine.constant(0);
const VALUES = [['value.x', 'value.y', 'value.z', 'value.w']];

export function sizesOf({ inputs, attrs }: Tensor<MatmulAttrs>): Sizes {
  return sizes(inputs[0]!.shape, inputs[1]!.shape, attrs);
}

/** How many matrices there are. */
export function batchOf({ shape }: Tensor<MatmulAttrs>): number {
  return shape.length > 2 ? shape[0]! : 1;
}

export function constantsOf(node: Tensor<MatmulAttrs>): Record<string, number | boolean> {
  const { m, n, k } = sizesOf(node);
  const { transposeA, transposeB } = node.attrs;
  return { M: m, N: n, K: k, TRANSPOSE_A: transposeA, TRANSPOSE_B: transposeB };
}

/** In the order of the rule's preference. */
export const matmulVariants: readonly Variant<MatmulAttrs>[] = [
  // Of a few rows, a square tile wastes little more than it saves by its fewer loads; of a few columns, most of it. A short
  // sum is over before it matters.
  matrixVector('alone', (node, { software }) => {
    const { m, n, k } = sizesOf(node);
    return software && (n < m || (m <= 2 && k >= 32));
  }),
  matrixVector('together', (_, { software }) => !software),
  // A larger tile loads less for each multiply-add, and takes drivers about twice as long to compile. Of eight lanes, one
  // of 32×4 already fills what registers hold.
  subgroupTile(32, 2, LONGEST, (lanes) => lanes < 8),
  subgroupTile(32, 1, LONG, (lanes) => lanes >= 8),
  subgroupTile(16, 2, LONG, (lanes) => lanes < 8),
  subgroupTile(16, 1, MIDDLING),
  subgroupTile(8, 1, 0),
  // A large tile reads least; it wants enough workgroups to keep every core of a GPU busy.
  workgroupTile(128, 2, 128),
  workgroupTile(64, 2, 64),
  workgroupTile(32, 1, 16),
  registerTile(8, 2, (node) => sizesOf(node).m >= 8 && sizesOf(node).n >= 8 && node.size >= 64 * 256),
  registerTile(4, 1),
];

/** Loads four neighbours of an operand's row; what lies beyond the tensor reads as 0. */
function loadOperand(x: Tensor, writer: KernelWriter, batch: Affine): string {
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  // Bounds reach past the edge, where a kernel's last tile reads.
  const row = Affine.variable('row', Math.ceil(rows / 4) * 4);
  const column = Affine.variable('col4', Math.ceil(columns / 4)).times(4);
  return writer.load(x, (lane) => [batch, row, column.plus(lane)].slice(-x.shape.length), 4);
}

/** The hooks that every matmul tile has. */
export function matmulHooks(node: Tensor<MatmulAttrs>, writer: KernelWriter): Record<string, string> {
  const [a, b] = node.inputs as [Tensor, Tensor];
  const { m, n } = sizesOf(node);
  const batch = Affine.variable('batch', batchOf(node));
  const row = batch.times(m).plus(Affine.variable('row', m));
  // Each lane's own bound: those that fall off the end of a row are left out by the guard.
  const at = (lane: number) =>
    Affine.variable('col4', Math.floor((n - 1 - lane) / 4) + 1)
      .times(4)
      .plus(lane);
  const column = Affine.variable('col4', Math.ceil(n / 4)).times(4);
  return {
    load_a: loadOperand(a, writer, batch),
    load_b: loadOperand(b, writer, batch),
    store: writer.store((lane) => row.times(n).plus(at(lane)), VALUES, column, n),
  };
}

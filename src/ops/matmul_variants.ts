// The kernels of matmul that every adapter has, and where the heuristic takes them; `kernels_cpu.ts` and `kernels_gpu.ts` add more.
import registerTileText from '../../shaders/matmul/register_tile.wgsl?raw';
import vectorText from '../../shaders/matmul/vector.wgsl?raw';
import { Affine } from './affine.ts';
import {
  batchOf,
  constantsOf,
  isAligned,
  loadOperand,
  type MatmulAttrs,
  matmulHooks,
  sizesOf,
  spread,
  VALUES,
  withOperands,
} from './matmul_kernel.ts';
import type { AdapterTraits, Tensor, Variant } from './tensor.ts';

const registerTileShader = /* @__PURE__ */ withOperands(registerTileText);
const vectorShader = /* @__PURE__ */ withOperands(vectorText);

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

/** Whether a sum gets four products at a time: SwiftShader keeps sums in memory, and lavapipe where A is transposed. */
export function addsByFour({ attrs }: Tensor<MatmulAttrs>, { software, subgroupSize }: AdapterTraits): boolean {
  return software && (subgroupSize < 8 || attrs.transposeA);
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

/** What is taken where there are few rows, or columns. */
export const vectorKernels: readonly Variant<MatmulAttrs>[] = [
  // Of a few rows, a square tile wastes little more than it saves by its fewer loads; of a few columns, most of it. A short
  // sum is over before it matters.
  matrixVector('alone', (node, { software }) => {
    const { m, n, k } = sizesOf(node);
    return software && (n < m || (m <= 2 && k >= 32));
  }),
  matrixVector('together', (_, { software }) => !software),
];

/** What is taken where nothing better is. */
export const registerTiles: readonly Variant<MatmulAttrs>[] = [
  registerTile(8, 2, (node) => sizesOf(node).m >= 8 && sizesOf(node).n >= 8 && node.size >= 64 * 256),
  registerTile(4, 1),
];

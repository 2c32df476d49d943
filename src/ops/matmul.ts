// The matrix product, in the forms A·B, A·Bᵀ and Aᵀ·B (and Aᵀ·Bᵀ), so that no backward pass transposes anything.
import registerTileShader from '../../shaders/matmul/register_tile.wgsl?raw';
import subgroupShader from '../../shaders/matmul/register_tile_subgroup.wgsl?raw';
import workgroupShader from '../../shaders/matmul/workgroup_tile.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { Affine } from './affine.ts';
import { apply, type KernelWriter, type Op, show, type Tensor, type Variant } from './tensor.ts';

export interface MatmulAttrs {
  /** A is stored [K, M]. */
  readonly transposeA: boolean;
  /** B is stored [N, K]. */
  readonly transposeB: boolean;
}

interface Sizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

function sizes(a: readonly number[], b: readonly number[], { transposeA, transposeB }: MatmulAttrs): Sizes {
  const [m, k] = transposeA ? [a[1]!, a[0]!] : [a[0]!, a[1]!];
  const [inner, n] = transposeB ? [b[1]!, b[0]!] : [b[0]!, b[1]!];
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
function isAligned({ inputs, shape }: Tensor<MatmulAttrs>): boolean {
  return [inputs[0]!.shape[1]!, inputs[1]!.shape[1]!, shape[1]!].every((width) => width % 4 === 0);
}

/** Register tile of tileM × 4·tileN4, without workgroup memory. */
function registerTile(
  tileM: number,
  tileN4: number,
  sensible?: Variant<MatmulAttrs>['sensible'],
): Variant<MatmulAttrs> {
  const groupX = 8;
  const groupY = 8;
  return {
    name: `register tile ${tileM}×${4 * tileN4}`,
    ...(tileM * tileN4 > 4 && { possible: isAligned }),
    ...(sensible && { sensible }),
    kernel(node, writer) {
      const { m, n, k } = sizesOf(node);
      return {
        source: registerTileShader,
        constants: { ...constantsOf(node), TILE_M: tileM, TILE_N4: tileN4, GROUP_X: groupX, GROUP_Y: groupY },
        hooks: matmulHooks(node, writer),
        workgroups: [Math.ceil(n / 4 / tileN4 / groupX), Math.ceil(m / tileM / groupY), 1],
        flops: 2 * m * n * k,
      };
    },
  };
}

/** The group size, up to 8, that covers so many tiles with the fewest to spare; of several, the largest. */
function fewestLeftOver(tiles: number): number {
  const spare = (size: number) => Math.ceil(tiles / size) * size - tiles;
  return [8, 7, 6, 5, 4].reduce((best, size) => (spare(size) < spare(best) ? size : best), Math.min(8, tiles));
}

/** Register tile whose rows of A are shared in the subgroup: the fastest on a CPU adapter. */
function subgroupTile(tileM: number, tileN4: number, sensible: Variant<MatmulAttrs>['sensible']): Variant<MatmulAttrs> {
  return {
    name: `register tile ${tileM}×${4 * tileN4}, subgroup broadcast`,
    doubtful: true,
    possible: (node, { subgroupSize }) => subgroupSize >= 4 && tileM % subgroupSize === 0 && isAligned(node),
    ...(sensible && { sensible }),
    kernel(node, writer) {
      const { m, n, k } = sizesOf(node);
      const { subgroupSize } = writer.traits;
      const groupY = fewestLeftOver(Math.ceil(m / tileM));
      const tile = { SUBGROUP: subgroupSize, TILE_M: tileM, TILE_N4: tileN4, GROUP_X: subgroupSize, GROUP_Y: groupY };
      return {
        source: subgroupShader,
        constants: { ...constantsOf(node), ...tile },
        hooks: matmulHooks(node, writer),
        workgroups: [Math.ceil(n / 4 / tileN4 / subgroupSize), Math.ceil(m / tileM / groupY), 1],
        flops: 2 * m * n * k,
      };
    },
  };
}

/** Tile of one workgroup, through workgroup memory: what a GPU wants of a product of some size. */
function workgroupTile(tile: number, reg4: number, leastGroups: number): Variant<MatmulAttrs> {
  const threads = (tile / (4 * reg4)) ** 2;
  const depth = 16;
  const groups = ({ m, n }: Sizes) => [Math.ceil(n / tile), Math.ceil(m / tile), 1] as const;
  return {
    name: `workgroup tile ${tile}×${tile}, ${4 * reg4}×${4 * reg4} a thread`,
    possible: (node) => isAligned(node) && sizesOf(node).k > 0,
    sensible(node, { software }) {
      const [x, y] = groups(sizesOf(node));
      return !software && x * y >= leastGroups;
    },
    kernel(node, writer) {
      const sizes = sizesOf(node);
      const constants = { TILE_M: tile, TILE_N: tile, DEPTH: depth, REG_M4: reg4, REG_N4: reg4, THREADS: threads };
      return {
        source: workgroupShader,
        constants: { ...constantsOf(node), ...constants },
        hooks: matmulHooks(node, writer),
        workgroups: groups(sizes),
        flops: 2 * sizes.m * sizes.n * sizes.k,
      };
    },
  };
}

function sizesOf({ inputs, attrs }: Tensor<MatmulAttrs>): Sizes {
  return sizes(inputs[0]!.shape, inputs[1]!.shape, attrs);
}

function constantsOf(node: Tensor<MatmulAttrs>): Record<string, number | boolean> {
  const { m, n, k } = sizesOf(node);
  const { transposeA, transposeB } = node.attrs;
  return { M: m, N: n, K: k, TRANSPOSE_A: transposeA, TRANSPOSE_B: transposeB };
}

const variants: readonly Variant<MatmulAttrs>[] = [
  // The larger tile loads less for each multiply-add.
  subgroupTile(16, 2, ({ shape: [m, n] }, { software }) => software && m! >= 8 && n! > 4),
  subgroupTile(16, 1, ({ shape: [m] }, { software }) => software && m! >= 8),
  // A large tile reads least; it wants enough workgroups to keep every core of a GPU busy.
  workgroupTile(128, 2, 128),
  workgroupTile(64, 2, 64),
  workgroupTile(32, 1, 16),
  registerTile(8, 2, ({ shape: [m, n], size }) => m! >= 8 && n! >= 8 && size >= 64 * 256),
  registerTile(4, 1),
];

/** The hooks that every variant of the product has. */
function matmulHooks(node: Tensor<MatmulAttrs>, writer: KernelWriter): Record<string, string> {
  const [a, b] = node.inputs;
  const [, n] = node.shape as [number, number];
  const operand = (x: Tensor) => {
    const [rows, columns] = x.shape as [number, number];
    // Bounds reach past the edge, where the kernel's last tile reads; what lies beyond the tensor reads as 0.
    const row = Affine.variable('row', Math.ceil(rows / 4) * 4);
    const column = Affine.variable('col4', Math.ceil(columns / 4)).times(4);
    return writer.load(x, (lane) => [row, column.plus(lane)], 4);
  };
  const row = Affine.variable('row', node.shape[0]!);
  // Each lane's own bound: those that fall off the end of a row are left out by the guard.
  const at = (lane: number) =>
    Affine.variable('col4', Math.floor((n - 1 - lane) / 4) + 1)
      .times(4)
      .plus(lane);
  const column = Affine.variable('col4', Math.ceil(n / 4)).times(4);
  return {
    load_a: operand(a!),
    load_b: operand(b!),
    store: writer.store((lane) => row.times(n).plus(at(lane)), ['value.x', 'value.y', 'value.z', 'value.w'], column, n),
  };
}

export const matmulOp: Op<MatmulAttrs> = {
  name: 'matmul',
  infer([a, b], attrs) {
    if (a!.shape.length !== 2 || b!.shape.length !== 2) {
      throw new ShapeError(`wants two matrices, got ${show(a!.shape)} and ${show(b!.shape)}`);
    }
    if (a!.dtype !== 'f32' || b!.dtype !== 'f32') throw new ShapeError(`wants f32, got ${a!.dtype} and ${b!.dtype}`);
    const { m, n } = sizes(a!.shape, b!.shape, attrs);
    return { shape: [m, n], dtype: 'f32' };
  },
  grad(node, g) {
    const [a, b] = node.inputs as [Tensor, Tensor];
    const { transposeA, transposeB } = node.attrs;
    // C = op(A)·op(B): the gradient of op(A) is g·op(B)ᵀ, and that of A its transpose where A is stored transposed.
    const gradA = transposeA ? product(b, g, transposeB, true) : product(g, b, false, !transposeB);
    const gradB = transposeB ? product(g, a, true, transposeA) : product(a, g, !transposeA, false);
    return [gradA, gradB];
  },
  reference([a, b], attrs, [m, n]) {
    const { k } = sizes(a!.shape, b!.shape, attrs);
    const out = new Float64Array(m! * n!);
    for (let i = 0; i < m!; i++) {
      for (let j = 0; j < n!; j++) {
        let sum = 0;
        for (let l = 0; l < k; l++) {
          sum +=
            a!.data[attrs.transposeA ? l * m! + i : i * k + l]! * b!.data[attrs.transposeB ? j * k + l : l * n! + j]!;
        }
        out[i * n! + j] = sum;
      }
    }
    return out;
  },
  variants,
  samples: [
    sample(8, 8, 8),
    sample(5, 7, 3),
    sample(1, 1, 1),
    sample(33, 20, 17),
    sample(9, 12, 30, true, false),
    sample(9, 10, 31, false, true),
    sample(13, 11, 6, true, true),
    sample(130, 256, 12, false, true),
    sample(132, 252, 9, true, false),
    sample(1, 64, 40),
    sample(24, 36, 20),
    sample(36, 24, 18),
    sample(20, 28, 44, false, true),
    sample(12, 132, 25, true, false),
    sample(20, 12, 8, true, true),
    sample(4, 5, 0),
    sample(0, 5, 4),
  ],
  random(int) {
    const unit = int(0, 1) === 1 ? 4 : 1;
    const size = () => unit * int(1, 40 / unit);
    return sample(size(), size(), size(), int(0, 1) === 1, int(0, 1) === 1);
  },
};

function sample(m: number, n: number, k: number, transposeA = false, transposeB = false) {
  const shapes = [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n]];
  return { inputs: shapes.map((shape) => ({ shape })), attrs: { transposeA, transposeB } };
}

function product(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  return apply(matmulOp, [a, b], { transposeA, transposeB });
}

/** The matrix product of [M, K] and [K, N]; an operand may be stored transposed. */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false } = {}): Tensor {
  return product(a, b, transposeA, transposeB);
}

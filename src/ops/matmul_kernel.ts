// What the kernels of matmul have in common: sizes, the workgroups of a grid, and the hooks that load and store.
import matmul_batches from '../../shaders/include/matmul_batches.wgsl?raw';
import matmul_operands from '../../shaders/include/matmul_operands.wgsl?raw';
import matmul_tile from '../../shaders/include/matmul_tile.wgsl?raw';
import { ShapeError } from '../errors.ts';
import { include } from '../gpu/include.ts';
import { Affine } from './affine.ts';
import { type AdapterTraits, type KernelWriter, show, type Tensor } from './tensor.ts';

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

/** What a tile that is to be validated is tried on: in each form, with a tile that is not filled. */
export const PROBE = [false, true].flatMap((transposeA) =>
  [false, true].map((transposeB) => ({
    inputs: [transposeA ? [20, 36] : [36, 20], transposeB ? [68, 20] : [20, 68]].map((shape) => ({ shape })),
    attrs: { transposeA, transposeB },
  })),
);

/** A shader of shaders/matmul with what these share: operands, hooks, and which tile of which matmul a workgroup has. */
export const withOperands = (shader: string) => include(shader, { matmul_operands, matmul_batches, matmul_tile });

/** A shader whose subgroups are of the size that it is written for, where a device gives the size that it is asked for. */
export function pinned(source: string, { pinsSubgroups, subgroupSize }: AdapterTraits): string {
  if (!pinsSubgroups) return source;
  return `enable subgroup_size_control;\n${source.replace('@compute ', `@compute @subgroup_size(${subgroupSize}) `)}`;
}

/** The workgroups of a kernel, counted through where one dimension has more of them than WebGPU takes. */
export function spread(writer: KernelWriter, x: number, y: number, z: number) {
  const isSpread = [x, y, z].some((count) => writer.grid(count)[1] > 1);
  return {
    constants: { SPREAD: isSpread, GROUPS_X: x, GROUPS_Y: y, BATCHES: z },
    workgroups: isSpread ? writer.grid(x * y * z) : ([x, y, z] as const),
  };
}

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

export const VALUES = [['value.x', 'value.y', 'value.z', 'value.w']];

/** Loads four neighbours of an operand's row; what lies beyond the tensor reads as 0. */
export function loadOperand(x: Tensor, writer: KernelWriter, batch: Affine): string {
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

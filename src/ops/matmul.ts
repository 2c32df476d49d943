// The matmul, in the forms A·B, A·Bᵀ and Aᵀ·B (and Aᵀ·Bᵀ), so that no backward pass transposes anything; the op is of two
// matrices, or of as many pairs as a first axis counts, and `matmul` brings operands of any rank to that.

import { ShapeError } from '../errors.ts';
import type { Affine } from './affine.ts';
import { defineOp } from './define.ts';
import { wgsl } from './expression.ts';
import { type MatmulAttrs, type Sizes, sizes } from './matmul_kernel.ts';
import { registerTiles, vectorKernels } from './matmul_variants.ts';
import {
  apply,
  broadcastShapes,
  currentPath,
  elementType,
  type Shape,
  show,
  sizeOf,
  type Tensor,
  type TensorOf,
  where,
} from './tensor.ts';
import { broadcastTo, reshape } from './view.ts';

export type { MatmulAttrs } from './matmul_kernel.ts';

export const matmulOp = defineOp<MatmulAttrs>({
  name: 'matmul',
  traits: { rereads: true },
  infer([a, b], attrs) {
    const rank = a!.shape.length;
    if ((rank !== 2 && rank !== 3) || b!.shape.length !== rank || (rank === 3 && a!.shape[0] !== b!.shape[0])) {
      throw new ShapeError(
        `wants two matrices, or two stacks of as many matrices, got ${show(a!.shape)} and ${show(b!.shape)}`,
      );
    }
    if (elementType(a!.dtype) !== 'f32' || elementType(b!.dtype) !== 'f32')
      throw new ShapeError(`wants f32, got ${a!.dtype} and ${b!.dtype}`);
    const { m, n } = sizes(a!.shape, b!.shape, attrs);
    return { shape: [...a!.shape.slice(0, -2), m, n], dtype: 'f32' };
  },
  grad(node, g) {
    const [a, b] = node.inputs as [Tensor, Tensor];
    const { transposeA, transposeB } = node.attrs;
    // C = op(A)·op(B): the gradient of op(A) is g·op(B)ᵀ, and that of A its transpose where A is stored transposed.
    const gradA = transposeA ? matmulOf(b, g, transposeB, true) : matmulOf(g, b, false, !transposeB);
    const gradB = transposeB ? matmulOf(g, a, true, transposeA) : matmulOf(a, g, !transposeA, false);
    return [gradA, gradB];
  },
  variants: [...vectorKernels, ...registerTiles],
  plain(emitter, { inputs, attrs: { transposeA, transposeB } }, coords) {
    const [a, b] = inputs as [Tensor, Tensor];
    const [row, column] = coords.slice(-2) as [Affine, Affine];
    const batch = coords.slice(0, -2);
    return emitter.sum(a.shape.at(transposeA ? -2 : -1)!, (k) => {
      const left = emitter.value(a, [...batch, ...(transposeA ? [k, row] : [row, k])]);
      return wgsl`${left} * ${emitter.value(b, [...batch, ...(transposeB ? [column, k] : [k, column])])}`;
    });
  },
  check: CHECKS && {
    reference([a, b], attrs, shape) {
      const { m, n, k } = sizes(a!.shape, b!.shape, attrs);
      return Float64Array.from({ length: sizeOf(shape) }, (_, flat) => {
        const [batch, i, j] = [Math.floor(flat / (m * n)), Math.floor(flat / n) % m, flat % n];
        let sum = 0;
        for (let l = 0; l < k; l++) {
          const left = a!.data[batch * m * k + (attrs.transposeA ? l * m + i : i * k + l)]!;
          sum += left * b!.data[batch * k * n + (attrs.transposeB ? j * k + l : l * n + j)]!;
        }
        return sum;
      });
    },
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
      sample(1, 300, 72),
      sample(2, 61, 35, false, true),
      sample(3, 40, 77, true, false),
      sample(1, 36, 130, true, true),
      sample(300, 1, 72),
      sample(61, 4, 35, true, false),
      sample(40, 3, 44, false, true),
      sample(50, 1, 30, true, true),
      sample(24, 36, 20),
      sample(36, 24, 18),
      sample(20, 28, 44, false, true),
      sample(12, 132, 25, true, false),
      sample(20, 12, 8, true, true),
      sample(4, 5, 0),
      sample(0, 5, 4),
      sample(5, 7, 3, false, false, [3]),
      sample(20, 12, 8, false, true, [2]),
      sample(1, 12, 40, false, true, [3]),
      sample(70, 2, 9, true, false, [2]),
      sample(12, 36, 18, true, false, [5]),
      sample(4, 4, 4, true, true, [4]),
    ],
    random(int) {
      const unit = int(0, 1) === 1 ? 4 : 1;
      const size = () => unit * int(1, 40 / unit);
      const batch = int(0, 2) === 0 ? [int(1, 4)] : [];
      return sample(size(), size(), size(), int(0, 1) === 1, int(0, 1) === 1, batch);
    },
  },
});

function sample(m: number, n: number, k: number, transposeA = false, transposeB = false, batch: number[] = []) {
  const shapes = [
    [...batch, ...(transposeA ? [k, m] : [m, k])],
    [...batch, ...(transposeB ? [n, k] : [k, n])],
  ];
  return { inputs: shapes.map((shape) => ({ shape })), attrs: { transposeA, transposeB } };
}

function matmulOf(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  return apply(matmulOp, [a, b], { transposeA, transposeB });
}

/** The matrices of an operand as one axis of them, or none if `stack` counts one. */
function stacked(x: Tensor, own: Shape, lead: Shape, matrix: Shape, stack: readonly number[], rows: number): Tensor {
  const [height, width] = matrix as [number, number];
  // A matrix that is the same for all need not know of how many axes these are.
  if (sizeOf(own) === 1 && rows === 1) return broadcastTo(reshape(x, matrix), [...stack, ...matrix]);
  return reshape(broadcastTo(reshape(x, [...own, ...matrix]), [...lead, ...matrix]), [...stack, rows * height, width]);
}

/**
 * As PyTorch's matmul: of [..., M, K] and [..., K, N], whose leading axes broadcast, it is
 * [..., M, N]. An operand of one axis, [K], is a row in front and a column behind, and leaves no axis in the result.
 *
 * @param options an operand of two axes or more may be stored with its last two the other way round
 * @throws ShapeError if an operand has no axis, inner sizes differ, or leading axes do not broadcast
 */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false } = {}): TensorOf<'f32'> {
  const [rankA, rankB] = [a.shape.length, b.shape.length];
  if (rankA === rankB && (rankA === 2 || (rankA === 3 && a.shape[0] === b.shape[0]))) {
    return matmulOf(a, b, transposeA, transposeB) as TensorOf<'f32'>;
  }
  const attrs = { transposeA: transposeA && rankA > 1, transposeB: transposeB && rankB > 1 };
  const matrixA = rankA === 1 ? [1, a.size] : a.shape.slice(-2);
  const matrixB = rankB === 1 ? [b.size, 1] : b.shape.slice(-2);
  const [leadA, leadB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  let lead: number[];
  let size: Sizes;
  try {
    if (!rankA || !rankB) throw new ShapeError(`wants one axis or more, got ${show(a.shape)} and ${show(b.shape)}`);
    size = sizes(matrixA, matrixB, attrs);
    lead = broadcastShapes(leadA, leadB);
  } catch (error) {
    throw new ShapeError(`${where(currentPath())}matmul: ${(error as Error).message}`, { cause: error });
  }
  // Trailing axes along which B is the same are more rows of A: of a batch of rows and one weight, one flat matmul is left.
  const behind = leadB.length - lead.length;
  let outer = lead.length;
  while (!attrs.transposeA && outer > 0 && (leadB[outer - 1 + behind] ?? 1) === 1) outer--;
  const all = lead.slice(0, outer);
  const stack = sizeOf(all) === 1 ? [] : [sizeOf(all)];
  const left = stacked(a, leadA, lead, matrixA, stack, sizeOf(lead.slice(outer)));
  const right = stacked(b, leadB.slice(0, Math.max(0, outer + behind)), all, matrixB, stack, 1);
  const result = matmulOf(left, right, attrs.transposeA, attrs.transposeB);
  return reshape(result, [...lead, ...(rankA > 1 ? [size.m] : []), ...(rankB > 1 ? [size.n] : [])]) as TensorOf<'f32'>;
}

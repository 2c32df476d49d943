// Cross entropy of logits that are too large to store: those of some classes at a time, forward and once more backward, so that memory
// grows with rows and with classes, and not with their product.
import { ShapeError } from '../errors.ts';
import { after } from './after.ts';
import { defineOp } from './define.ts';
import { add, equal, exp, mul, sub, where } from './elementwise.ts';
import { gather } from './gather.ts';
import { matmul } from './matmul.ts';
import { logsumexp, sum } from './reduce.ts';
import { constant, iota } from './source.ts';
import { applyAll, type NdArray, type Sample, show, type Tensor, type TensorOf } from './tensor.ts';
import { concat, reshape, slice } from './view.ts';

interface Chunked {
  /** Classes whose logits are there at one time. */
  readonly chunk: number;
}

/** Where the classes of each chunk begin and end. */
function chunksOf(classes: number, chunk: number): (readonly [number, number])[] {
  return Array.from({ length: Math.ceil(classes / chunk) }, (_, i) => [i * chunk, Math.min(classes, (i + 1) * chunk)]);
}

const column = (x: Tensor) => reshape(x, [x.size, 1]);

export const linearCrossEntropyOp = defineOp<Chunked>({
  name: 'linearCrossEntropy',
  infer([x, weight, labels], { chunk }) {
    const [rows, width] = x!.shape;
    const fits =
      [x, weight].every((one) => one!.dtype === 'f32' && one!.shape.length === 2 && one!.shape[1] === width) &&
      labels!.dtype === 'u32' &&
      String(labels!.shape) === String([rows]);
    if (!fits || !(Number.isInteger(chunk) && chunk > 0)) {
      const got = [x, weight, labels].map((one) => `${one!.dtype}${show(one!.shape)}`).join(', ');
      throw new ShapeError(`wants x f32 [N, width], a weight f32 [C, width] and labels u32 [N], got ${got}`);
    }
    return [
      { shape: [rows!], dtype: 'f32' },
      { shape: [rows!], dtype: 'f32' },
    ];
  },
  /** The losses, and the logsumexp of each row's logits, from which the gradient computes them again. */
  decompose([x, weight, labels], { chunk }) {
    const parts: Tensor[] = [];
    for (const [from, to] of chunksOf(weight!.shape[0]!, chunk)) {
      // The next logits only when these are done with.
      const logits = matmul(after(x!, parts.slice(-1)), slice(weight!, 0, from, to), { transposeB: true });
      parts.push(logsumexp(logits, { axis: 1 }));
    }
    const lse = parts.length > 1 ? logsumexp(concat(parts.map(column), 1), { axis: 1 }) : parts[0]!;
    // Of a label that is none of the classes, this is NaN.
    const picked = sum(mul(x!, gather(weight!, labels!)), { axis: 1 });
    return [sub(lse, picked), lse];
  },
  grad({ inputs, all, attrs }, g, gLse) {
    const [x, weight, labels] = inputs as readonly [Tensor, Tensor, Tensor];
    const [lse, toAll, toOne] = [all[1]!, add(g, gLse!), g].map(column) as [Tensor, Tensor, Tensor];
    let dx: Tensor | undefined;
    const slopes: Tensor[] = [];
    for (const [from, to] of chunksOf(weight.shape[0]!, attrs.chunk)) {
      const rows = dx ? after(x, [dx, slopes.at(-1)!]) : x;
      const part = slice(weight, 0, from, to);
      const logits = matmul(rows, part, { transposeB: true });
      const isLabel = equal(add(iota([1, to - from], 1, 'u32'), constant(from, 'u32')), column(labels));
      const slope = sub(mul(exp(sub(logits, lse)), toAll), where(isLabel, toOne, 0));
      const toRows = matmul(slope, part);
      dx = dx ? add(dx, toRows) : toRows;
      slopes.push(matmul(slope, x, { transposeA: true }));
    }
    return [dx, slopes.length > 1 ? concat(slopes, 0) : slopes[0], undefined];
  },
  check: CHECKS && {
    reference,
    samples: [sample(5, 8, 12, 5), sample(3, 3, 7, 7), sample(2, 4, 9, 4)],
    random: (int) => sample(int(1, 9), int(1, 9), int(1, 20), int(2, 9)),
  },
});

function sample(rows: number, width: number, classes: number, chunk: number): Sample<Chunked> {
  const labels = { shape: [rows], dtype: 'u32', min: 0, max: classes - 1 } as const;
  return { inputs: [{ shape: [rows, width] }, { shape: [classes, width] }, labels], attrs: { chunk } };
}

function reference([x, weight, labels]: readonly NdArray[]): readonly Float64Array[] {
  const [rows, width] = x!.shape as [number, number];
  const classes = weight!.shape[0]!;
  const lse = new Float64Array(rows);
  const losses = Float64Array.from({ length: rows }, (_, row) => {
    const logits = Array.from({ length: classes }, (_, c) => {
      let total = 0;
      for (let k = 0; k < width; k++) total += x!.data[row * width + k]! * weight!.data[c * width + k]!;
      return total;
    });
    const top = Math.max(...logits);
    lse[row] = top + Math.log(logits.reduce((before, value) => before + Math.exp(value - top), 0));
    return lse[row]! - (logits[labels!.data[row]!] ?? Number.NaN);
  });
  return [losses, lse];
}

/** Logits that may be there at one time, by default: 16 MiB of them. */
const MOST = 2 ** 22;

/** As many classes at a time as keep their logits within 16 MiB, in whole tiles. */
export const chunkFor = (rows: number) => Math.max(512, Math.floor(MOST / rows / 64) * 64);

/**
 * −log softmax(x·Wᵀ)[label] of each row, in nats, as `crossEntropy` of that matmul, whose result is never stored: x f32 [N, width],
 * weight f32 [C, width], labels u32 [N]. Forward and backward take the matmul twice together in place of once.
 *
 * @param chunk classes whose logits are in memory at one time; by default those of 16 MiB
 * @throws ShapeError if these do not fit one another
 */
export function linearCrossEntropy(
  x: Tensor,
  weight: Tensor,
  labels: Tensor,
  { chunk = chunkFor(x.shape[0] ?? 1) }: Partial<Chunked> = {},
): TensorOf<'f32'> {
  return applyAll(linearCrossEntropyOp, [x, weight, labels], { chunk })[0] as TensorOf<'f32'>;
}

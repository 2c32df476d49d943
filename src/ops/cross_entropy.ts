// The cross entropy of logits and labels: softmax, logarithm and the choice of the label's entry in one formula.

import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { add, mul, sub } from './elementwise.ts';
import { gather, oneHot } from './gather.ts';
import { logsumexp, sum } from './reduce.ts';
import { constant } from './source.ts';
import { apply, elementType, type Sample, show, type Tensor, type TensorOf } from './tensor.ts';
import { broadcastTo } from './view.ts';

export const crossEntropyOp = defineOp<object>({
  name: 'crossEntropy',
  infer([logits, labels]) {
    const [x, y] = [logits!, labels!];
    if (elementType(x.dtype) !== 'f32' || x.shape.length !== 2 || y.shape.length !== 1 || y.shape[0] !== x.shape[0]) {
      throw new ShapeError(
        `wants logits f32 [N, C] and labels [N], got ${x.dtype}${show(x.shape)} and ${show(y.shape)}`,
      );
    }
    if (x.shape[1] === 0) throw new ShapeError(`wants at least one class, got logits ${show(x.shape)}`);
    if (elementType(y.dtype) === 'f32') throw new ShapeError('wants labels of u32 or u8, got f32');
    return { shape: y.shape, dtype: 'f32' };
  },
  // Its gradient, softmax − one-hot, follows from the parts, and reads the logits once.
  decompose([logits, labels]) {
    const classes = logits!.shape[1]!;
    const picked = sum(mul(logits!, oneHot(labels!, classes)), { axis: 1 });
    // 0, and NaN for a label that is none of the classes.
    const valid = gather(broadcastTo(constant(0), [classes]), labels!);
    return add(sub(logsumexp(logits!, { axis: 1 }), picked), valid);
  },
  check: CHECKS && {
    reference([logits, labels], _, [count]) {
      const classes = logits!.shape[1]!;
      return Float64Array.from({ length: count! }, (_item, i) => {
        const row = logits!.data.subarray(i * classes, (i + 1) * classes);
        const max = Math.max(...row);
        const total = row.reduce((before, value) => before + Math.exp(value - max), 0);
        return max + Math.log(total) - (row[labels!.data[i]!] ?? Number.NaN);
      });
    },
    samples: [sample(7, 10), sample(4, 12, 'u8'), sample(1, 2), sample(5, 1)],
    random: (int) => sample(int(1, 20), int(1, 20)),
  },
});

function sample(count: number, classes: number, dtype: 'u32' | 'u8' = 'u32'): Sample<object> {
  const labels = { shape: [count], dtype, min: 0, max: classes - 1 } as const;
  return { inputs: [{ shape: [count, classes], min: -9, max: 9 }, labels], attrs: {} };
}

/**
 * −log softmax(logits)[label] of each row, in nats: logits [N, C], labels u32 or u8 [N]. NaN for a label from C on: the loss
 * is then not finite, and no optimizer takes the step.
 */
export function crossEntropy(logits: Tensor, labels: Tensor): TensorOf<'f32'> {
  return apply(crossEntropyOp, [logits, labels], {}) as TensorOf<'f32'>;
}

// What bytes are to a decoder: −log p of values from 0 to 255, in nats, from what it says of each. Probabilities sum to 1 over the 256
// values, since the tails beyond 0 and 255 belong to these.

import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { add, clamp, equal, exp, expm1, log, mul, neg, softplus, sub, where } from './elementwise.ts';
import { logsumexp, sum } from './reduce.ts';
import { logSoftmax } from './softmax.ts';
import { iota } from './source.ts';
import { apply, elementType, type NdArray, sameShape, show, sizeOf, type Tensor } from './tensor.ts';
import { broadcastTo, reshape } from './view.ts';

/** Logarithms of scales, in units of a byte, are cut to these: below, a value is as good as certain; above, all are alike. */
export const LOG_SCALES = [-5, 7] as const;
const MOST = 255;

function checkPair(inputs: readonly Tensor[]): void {
  for (const { dtype } of inputs) if (elementType(dtype) !== 'f32') throw new ShapeError(`wants f32, got ${dtype}`);
}

/** In float64, by the sum that defines it. */
export function logisticNllReference(mean: number, logScale: number, value: number): number {
  const scale = Math.exp(Math.min(LOG_SCALES[1], Math.max(LOG_SCALES[0], logScale)));
  const up = (value + 0.5 - mean) / scale;
  const low = (value - 0.5 - mean) / scale;
  const softplusOf = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  if (value === 0) return softplusOf(-up);
  if (value === MOST) return softplusOf(low);
  return softplusOf(-up) + softplusOf(low) - Math.log(-Math.expm1(-1 / scale));
}

/**
 * σ(u) − σ(l) is σ(u)·σ(−l)·(1 − e^(l−u)), of which no factor cancels, wherever the value lies.
 */
function nll(mean: Tensor, logScale: Tensor, value: Tensor): Tensor {
  const inverse = exp(neg(clamp(logScale, ...LOG_SCALES)));
  const distance = sub(value, mean);
  const above = softplus(neg(mul(add(distance, 0.5), inverse)));
  const below = softplus(mul(sub(distance, 0.5), inverse));
  const width = neg(log(neg(expm1(neg(inverse)))));
  const inner = add(add(above, below), width);
  return where(equal(value, 0), above, where(equal(value, MOST), below, inner));
}

export const discretizedLogisticNllOp = defineOp<object>({
  name: 'discretizedLogisticNll',
  infer(inputs) {
    checkPair(inputs);
    const [mean, ...others] = inputs;
    if (others.length !== 2 || others.some(({ shape }) => !sameShape(shape, mean!.shape))) {
      throw new ShapeError(
        `wants means, scales and values of one shape, got ${inputs.map((x) => show(x.shape)).join(', ')}`,
      );
    }
    return { shape: mean!.shape, dtype: 'f32' };
  },
  decompose: ([mean, logScale, value]) => nll(mean!, logScale!, value!),
  check: CHECKS && {
    tolerance: 1e-4,
    reference: ([mean, logScale, value]) =>
      mean!.data.map((m, i) => logisticNllReference(m, logScale!.data[i]!, value!.data[i]!)),
    // Values that the check scales are no whole bytes: what is between 0 and 255 is the same formula.
    samples: [[3, 8], [5, 7], []].map((shape) => ({
      inputs: [
        { shape, min: -20, max: 280 },
        { shape, min: -1, max: 4 },
        { shape, min: 1, max: 254 },
      ],
      attrs: {},
    })),
  },
});

export const logisticMixtureNllOp = defineOp<object>({
  name: 'logisticMixtureNll',
  infer(inputs) {
    checkPair(inputs);
    const [logits, means, logScales, value] = inputs;
    const [, ...rest] = logits!.shape;
    if (
      !value ||
      ![means!, logScales!].every(({ shape }) => sameShape(shape, logits!.shape)) ||
      !sameShape(rest, value.shape)
    ) {
      throw new ShapeError(
        `wants logits, means and scales [components, …shape], and values of that shape, got ${inputs.map((x) => show(x.shape)).join(', ')}`,
      );
    }
    return { shape: value.shape, dtype: 'f32' };
  },
  decompose([logits, means, logScales, value]) {
    const each = nll(means!, logScales!, broadcastTo(reshape(value!, [1, ...value!.shape]), logits!.shape));
    return neg(logsumexp(sub(logSoftmax(logits!, 0), each), { axis: 0 }));
  },
  check: CHECKS && {
    tolerance: 1e-4,
    reference([logits, means, logScales, value]) {
      const size = sizeOf(value!.shape);
      const components = logits!.shape[0]!;
      const at = ({ data }: NdArray, i: number) => Array.from({ length: components }, (_, k) => data[k * size + i]!);
      return value!.data.map((byte, i) => {
        const weights = at(logits!, i).map(Math.exp);
        const total = weights.reduce((a, b) => a + b, 0);
        const [m, s] = [at(means!, i), at(logScales!, i)];
        return -Math.log(
          weights.reduce((p, w, k) => p + (w / total) * Math.exp(-logisticNllReference(m[k]!, s[k]!, byte)), 0),
        );
      });
    },
    samples: [
      [2, 3, 8],
      [3, 5],
      [1, 4],
    ].map((shape) => ({
      inputs: [
        { shape, min: -2, max: 2 },
        { shape, min: 0, max: 255 },
        { shape, min: 0, max: 4 },
        { shape: shape.slice(1), min: 1, max: 254 },
      ],
      attrs: {},
    })),
  },
});

export const categoricalNllOp = defineOp<object>({
  name: 'categoricalNll',
  infer([logits, value]) {
    if (elementType(logits!.dtype) !== 'f32' || value?.dtype !== 'u32') {
      throw new ShapeError('wants logits of f32, and values of u32');
    }
    const [, ...rest] = logits!.shape;
    if (logits!.shape.length === 0 || !sameShape(rest, value.shape)) {
      throw new ShapeError(
        `wants logits [classes, …shape], and values of that shape, got ${show(logits!.shape)} and ${show(value.shape)}`,
      );
    }
    return { shape: value.shape, dtype: 'f32' };
  },
  decompose([logits, value]) {
    const isValue = equal(iota(logits!.shape, 0, 'u32'), reshape(value!, [1, ...value!.shape]));
    return sub(logsumexp(logits!, { axis: 0 }), sum(where(isValue, logits!, 0), { axis: 0 }));
  },
  check: CHECKS && {
    reference([logits, value]) {
      const size = sizeOf(value!.shape);
      return value!.data.map((chosen, i) => {
        const all = Array.from({ length: logits!.shape[0]! }, (_, k) => logits!.data[k * size + i]!);
        const most = Math.max(...all);
        return most + Math.log(all.reduce((total, x) => total + Math.exp(x - most), 0)) - all[chosen]!;
      });
    },
    samples: [[256, 3], [5, 2, 3], [7]].map((shape) => ({
      inputs: [
        { shape, min: -9, max: 9 },
        { shape: shape.slice(1), dtype: 'u32' as const, min: 0, max: shape[0]! - 1 },
      ],
      attrs: {},
    })),
  },
});

/**
 * −log p of one of some classes, such as the 256 bytes, in nats.
 *
 * @param logits f32 [classes, …shape]
 * @param value u32 […shape], below the number of classes
 */
export const categoricalNll = (logits: Tensor, value: Tensor): Tensor => apply(categoricalNllOp, [logits, value], {});

/**
 * −log p of bytes under a logistic distribution that is cut into 256 values, element by element, in nats (Kingma et al., 2016; Salimans
 * et al., PixelCNN++, 2017, section 2.1); f32 of one shape each.
 *
 * @param mean from 0 to 255
 * @param logScale of the distribution, in units of a byte; cut to [−5, 7]
 * @param value whole numbers from 0 to 255
 */
export const discretizedLogisticNll = (mean: Tensor, logScale: Tensor, value: Tensor): Tensor =>
  apply(discretizedLogisticNllOp, [mean, logScale, value], {});

/**
 * −log p of bytes under a mixture of such distributions, in nats.
 *
 * @param logits, means, logScales [components, …shape]
 * @param value […shape], whole numbers from 0 to 255
 */
export const logisticMixtureNll = (logits: Tensor, means: Tensor, logScales: Tensor, value: Tensor): Tensor =>
  apply(logisticMixtureNllOp, [logits, means, logScales, value], {});

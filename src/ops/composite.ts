// Ops that are made of others: activations, likelihoods, divergences. Their gradients follow from their parts.

import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { add, erf, exp, greater, mul, neg, sigmoid, softplus, square, sub, where } from './elementwise.ts';
import { erfReference } from './erf.ts';
import { apply, elementType, type Op, type Sample, sameShape, show, type Tensor } from './tensor.ts';

interface Check<A> {
  /** In float64, one element of each input. */
  readonly reference: (values: number[], attrs: A) => number;
  readonly samples: readonly Sample<A>[];
}

type Build<A> = (inputs: readonly Tensor[], attrs: A) => Tensor;

/** An op of one shape in, the same shape out. */
/* @__NO_SIDE_EFFECTS__ */
function define<A>(name: string, decompose: Build<A>, check: false | Check<A>): Op<A> {
  return defineOp<A>({
    name,
    infer(inputs) {
      for (const { shape, dtype } of inputs) {
        if (!sameShape(shape, inputs[0]!.shape)) {
          throw new ShapeError(`wants tensors of one shape, got ${inputs.map((x) => show(x.shape)).join(', ')}`);
        }
        if (elementType(dtype) !== 'f32') throw new ShapeError(`wants f32, got ${dtype}`);
      }
      return { shape: inputs[0]!.shape, dtype: 'f32' };
    },
    decompose,
    check: check && {
      reference: (inputs, attrs) =>
        inputs[0]!.data.map((_, i) =>
          check.reference(
            inputs.map(({ data }) => data[i]!),
            attrs,
          ),
        ),
      samples: check.samples,
      random(int) {
        const [{ inputs, attrs }] = check.samples as readonly [Sample<A>];
        const shape = Array.from({ length: int(1, 3) }, () => int(1, 9));
        return { inputs: inputs.map((spec) => ({ ...spec, shape })), attrs };
      },
    },
  });
}

const same = (count: number, range: { min?: number; max?: number }[] = []) =>
  [[3, 8], [5, 7], []].map((shape) => ({
    inputs: Array.from({ length: count }, (_, i) => ({ shape, ...range[i] })),
    attrs: {},
  }));

export const geluOp = define<object>(
  'gelu',
  ([x]) => mul(mul(x!, 0.5), add(1, erf(mul(x!, Math.SQRT1_2)))),
  CHECKS && {
    reference: ([x]) => 0.5 * x! * (1 + erfReference(x! * Math.SQRT1_2)),
    samples: same(1),
  },
);

export const siluOp = define<object>(
  'silu',
  ([x]) => mul(x!, sigmoid(x!)),
  CHECKS && {
    reference: ([x]) => x! / (1 + Math.exp(-x!)),
    samples: same(1),
  },
);

export const leakyReluOp = define<{ slope: number }>(
  'leakyRelu',
  ([x], { slope }) => where(greater(x!, 0), x!, mul(x!, slope)),
  CHECKS && {
    reference: ([x], { slope }) => (x! > 0 ? x! : slope * x!),
    samples: same(1).map(({ inputs }) => ({ inputs, attrs: { slope: 0.1 } })),
  },
);

export const bernoulliNllOp = define<object>(
  'bernoulliNll',
  ([logits, target]) => sub(softplus(logits!), mul(logits!, target!)),
  CHECKS && {
    reference: ([l, x]) => Math.max(l!, 0) + Math.log1p(Math.exp(-Math.abs(l!))) - l! * x!,
    samples: same(2, [
      { min: -20, max: 20 },
      { min: 0, max: 1 },
    ]),
  },
);

const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

export const gaussianNllOp = define<object>(
  'gaussianNll',
  ([mean, logvar, target]) =>
    add(mul(add(logvar!, mul(square(sub(target!, mean!)), exp(neg(logvar!)))), 0.5), HALF_LOG_TWO_PI),
  CHECKS && {
    reference: ([mean, logvar, x]) => 0.5 * (logvar! + (x! - mean!) ** 2 / Math.exp(logvar!)) + HALF_LOG_TWO_PI,
    samples: same(3),
  },
);

export const gaussianKlOp = define<object>(
  'gaussianKl',
  ([mean, logvar]) => mul(sub(add(square(mean!), exp(logvar!)), add(logvar!, 1)), 0.5),
  CHECKS && {
    reference: ([mean, logvar]) => 0.5 * (mean! ** 2 + Math.exp(logvar!) - logvar! - 1),
    samples: same(2),
  },
);

/** x·Φ(x), with the exact normal distribution function. */
export const gelu = (x: Tensor): Tensor => apply(geluOp, [x], {});
/** x·sigmoid(x). */
export const silu = (x: Tensor): Tensor => apply(siluOp, [x], {});
/** x where it is positive, else slope·x. */
export const leakyRelu = (x: Tensor, slope = 0.01): Tensor => apply(leakyReluOp, [x], { slope });

/** −log p(target) of Bernoulli variables with the given logits, element by element, in nats; target in [0, 1]. */
export const bernoulliNll = (logits: Tensor, target: Tensor): Tensor => apply(bernoulliNllOp, [logits, target], {});

/** −log N(target; mean, exp(logvar)), element by element, in nats. */
export const gaussianNll = (mean: Tensor, logvar: Tensor, target: Tensor): Tensor =>
  apply(gaussianNllOp, [mean, logvar, target], {});

/**
 * KL(N(mean, exp(logvar)) ‖ N(0, 1)), element by element, in nats
 * (Kingma and Welling, Auto-Encoding Variational Bayes, 2013, appendix B).
 */
export const gaussianKl = (mean: Tensor, logvar: Tensor): Tensor => apply(gaussianKlOp, [mean, logvar], {});

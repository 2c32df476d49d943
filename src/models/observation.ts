// What a pixel is to a decoder: how many numbers it says of each, and what these make of the pixel.

import { betaBinomialNll } from '../ops/beta_binomial.ts';
import { bernoulliNll } from '../ops/composite.ts';
import { add, clamp, div, exp, floor, mul, sigmoid } from '../ops/elementwise.ts';
import { categoricalNll, discretizedLogisticNll, logisticMixtureNll } from '../ops/observation.ts';
import { sum } from '../ops/reduce.ts';
import { softmax } from '../ops/softmax.ts';
import { iota } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { toU32 } from '../ops/to_u32.ts';
import { reshape, slice, transpose } from '../ops/view.ts';

/** Of a likelihood with no parameters of its own. */
export interface Observation {
  /** Numbers for each pixel: of an image first one for every pixel, then the next. */
  readonly parameters: number;
  /** −log p of each pixel, in nats: f32 [batch, pixels], of intensities in [0, 1]. */
  nll(raw: Tensor, images: Tensor): Tensor;
  /** The mean image, intensities [batch, pixels]. */
  mean(raw: Tensor): Tensor;
}

/** A decoder's 0 is the middle of the bytes, and ±1 their ends; its scale's 0 is so many bytes (as a logarithm). */
export const MIDDLE = 127.5;
export const LOG_SCALE = 2.5;

export const bernoulli: Observation = { parameters: 1, nll: bernoulliNll, mean: sigmoid };

const BYTES = 256;
const bytes = (images: Tensor) => floor(add(mul(images, 255), 0.5));
const means = (raw: Tensor) => add(mul(raw, MIDDLE), MIDDLE);
const logScales = (raw: Tensor) => add(raw, LOG_SCALE);

/** [batch, parts · pixels] as parts of [batch, pixels]. */
function split(raw: Tensor, parts: number): Tensor[] {
  const pixels = raw.shape[1]! / parts;
  return Array.from({ length: parts }, (_, i) => slice(raw, 1, i * pixels, (i + 1) * pixels));
}

export const logistic: Observation = {
  parameters: 2,
  nll(raw, images) {
    const [mean, scale] = split(raw, 2);
    return discretizedLogisticNll(means(mean!), logScales(scale!), bytes(images));
  },
  mean: (raw) => mul(means(split(raw, 2)[0]!), 1 / 255),
};

/** A mixture of so many: first the logits of all, then means, then scales. */
export function logisticMixture(components: number): Observation {
  const stacked = (raw: Tensor) =>
    split(raw, 3).map((part) => {
      const [batch, width] = part.shape as [number, number];
      return transpose(reshape(part, [batch, components, width / components]), [1, 0, 2]);
    });
  return {
    parameters: 3 * components,
    nll(raw, images) {
      const [logits, mean, scale] = stacked(raw);
      return logisticMixtureNll(logits!, means(mean!), logScales(scale!), bytes(images));
    },
    mean(raw) {
      const [logits, mean] = stacked(raw);
      return mul(sum(mul(softmax(logits!, 0), means(mean!)), { axis: 0 }), 1 / 255);
    },
  };
}

/** One of 256 bytes, by a logit each. */
export const categorical: Observation = {
  parameters: BYTES,
  nll(raw, images) {
    const [batch, width] = raw.shape as [number, number];
    const logits = transpose(reshape(raw, [batch, BYTES, width / BYTES]), [1, 0, 2]);
    return categoricalNll(logits, toU32(bytes(images)));
  },
  mean(raw) {
    const [batch, width] = raw.shape as [number, number];
    const shares = softmax(reshape(raw, [batch, BYTES, width / BYTES]), 1);
    return sum(mul(shares, mul(iota([BYTES, 1]), 1 / (BYTES - 1))), { axis: 1 });
  },
};

/** α and β as logarithms: at 0 all bytes are as likely. */
export const LOG_SHAPES = [-7, 9] as const;
const shapes = (raw: Tensor) => split(raw, 2).map((part) => exp(clamp(part, ...LOG_SHAPES))) as [Tensor, Tensor];

export const betaBinomial: Observation = {
  parameters: 2,
  nll: (raw, images) => betaBinomialNll(...shapes(raw), toU32(bytes(images))),
  mean(raw) {
    const [alpha, beta] = shapes(raw);
    return div(alpha, add(alpha, beta));
  },
};

/** Of the mixture by name. */
export const COMPONENTS = 3;

/** Those that are probabilities of pixels. */
export const OBSERVATIONS = {
  bernoulli,
  logistic,
  'logistic-mixture': logisticMixture(COMPONENTS),
  categorical,
  'beta-binomial': betaBinomial,
};

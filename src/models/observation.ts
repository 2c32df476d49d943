// What a pixel is to a decoder: how many numbers it says of each, and what these make of the pixel.
import { bernoulliNll } from '../ops/composite.ts';
import { add, floor, mul, sigmoid } from '../ops/elementwise.ts';
import { discretizedLogisticNll, logisticMixtureNll } from '../ops/observation.ts';
import { sum } from '../ops/reduce.ts';
import { softmax } from '../ops/softmax.ts';
import type { Tensor } from '../ops/tensor.ts';
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

/** Of the mixture by name. */
export const COMPONENTS = 3;

/** Those that are probabilities of pixels. */
export const OBSERVATIONS = { bernoulli, logistic, 'logistic-mixture': logisticMixture(COMPONENTS) };

// The models that can be trained by name: how each is made for a data set, and what pictures show what it learned.
import type { Dataset } from '../data/images.ts';
import { DataError, OptionError } from '../errors.ts';
import { Classifier } from '../models/classifier.ts';
import type { Model } from '../models/model.ts';
import { VAE } from '../models/vae.ts';
import { add, mul, sub } from '../ops/elementwise.ts';
import type { RandomKey } from '../ops/random.ts';
import { constant } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { concat, reshape, slice } from '../ops/view.ts';
import type { TrainOptions } from './options.ts';

/** Images to be shown in rows: f32 [count, pixels], intensities. */
export interface Picture {
  readonly images: Tensor;
  readonly columns: number;
}

interface ModelEntry {
  create(data: Dataset, options: TrainOptions): Model;
  /** @param examples test images, [exampleCount(…), pixels] */
  pictures?(model: Model, examples: Tensor, key: RandomKey): Record<string, Picture>;
}

/** Test images that pictures are made of. */
const EXAMPLES = 32;
/** Columns of the pictures that stand for many. */
const COLUMNS = 16;

/** Of so many test images, those that fill rows. */
export function exampleCount(available: number): number {
  return available < COLUMNS ? available : Math.min(EXAMPLES, available - (available % COLUMNS));
}

const pixelsOf = ({ train }: Dataset) => train.height * train.width * train.channels;

export const MODELS: Readonly<Record<string, ModelEntry>> = {
  vae: {
    create: (data, { hidden, latent, beta, likelihood }) =>
      new VAE({ pixels: pixelsOf(data), hidden, latent, beta, likelihood }),
    pictures(model, examples, key) {
      const vae = model as VAE;
      return {
        reconstructions: interleave(examples, vae.reconstruct(examples)),
        samples: { images: vae.sample(COLUMNS * 8, key), columns: COLUMNS },
        manifold: vae.latent === 2 ? plane(vae) : interpolations(vae, examples),
      };
    },
  },
  classifier: {
    create(data, { hidden }) {
      const { classes } = data.train;
      if (classes < 2) throw new DataError(`${data.name} has no labels, and the classifier learns from labels`);
      return new Classifier({ pixels: pixelsOf(data), classes, hidden });
    },
  },
};

/** Rows of the first, each with the row of the second below it. */
function interleave(first: Tensor, second: Tensor): Picture {
  const [count, pixels] = first.shape as [number, number];
  const columns = Math.min(COLUMNS, count);
  const rows = (x: Tensor) => reshape(x, [count / columns, 1, columns * pixels]);
  return { images: reshape(concat([rows(first), rows(second)], 1), [2 * count, pixels]), columns };
}

/** From one example to another, along a straight line through the codes: a row a pair. */
function interpolations(vae: VAE, examples: Tensor): Picture {
  const count = examples.shape[0]!;
  const pairs = Math.ceil(count / 2);
  const { mean } = vae.encode(examples);
  const ends = [slice(mean, 0, 0, pairs), slice(mean, 0, count - pairs)].map((x) => reshape(x, [pairs, 1, vae.latent]));
  const [from, to] = ends as [Tensor, Tensor];
  const fractions = concat(
    Array.from({ length: COLUMNS }, (_, i) => reshape(constant(i / (COLUMNS - 1)), [1, 1, 1])),
    1,
  );
  const codes = add(from, mul(sub(to, from), fractions));
  const images = vae.decode(reshape(codes, [pairs * COLUMNS, vae.latent]));
  return { images, columns: COLUMNS };
}

/** The normal quantile function, by bisection of the distribution function. */
function quantile(probability: number): number {
  let low = -6;
  let high = 6;
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (distribution(middle) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Φ(x), by its Taylor series around 0. */
function distribution(x: number): number {
  let term = x;
  let total = x;
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / (2 * n);
    total += term / (2 * n + 1);
  }
  return 0.5 + total / Math.sqrt(2 * Math.PI);
}

/** The plane of two latents at equal steps of probability (Kingma and Welling, 2013, figure 4). */
function plane(vae: VAE): Picture {
  const size = 20;
  const positions = Array.from({ length: size }, (_, i) => quantile((i + 0.5) / size));
  const values = (list: readonly number[]) => concat(list.map((value) => reshape(constant(value), [1])));
  const column = add(reshape(values(positions), [1, size, 1]), reshape(values(positions.map(() => 0)), [size, 1, 1]));
  const row = add(
    reshape(values([...positions].reverse()), [size, 1, 1]),
    reshape(values(positions.map(() => 0)), [1, size, 1]),
  );
  const codes = reshape(concat([column, row], 2), [size * size, 2]);
  return { images: vae.decode(codes), columns: size };
}

export function modelEntry(name: string): ModelEntry {
  const entry = Object.hasOwn(MODELS, name) ? MODELS[name] : undefined;
  if (!entry) throw new OptionError(`there is no model ${name}; there are: ${Object.keys(MODELS).join(', ')}`);
  return entry;
}

// Pictures of what autoencoders learned: rows of images, as graphs.
import type { LatentModel } from '../models/latent_model.ts';
import type { VAE } from '../models/vae.ts';
import type { VqVae } from '../models/vq_vae.ts';
import { add, div, maximum, mul, sigmoid, sqrt, sub } from '../ops/elementwise.ts';
import { normal, type RandomKey } from '../ops/random.ts';
import { max } from '../ops/reduce.ts';
import { constant, iota } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { broadcastTo, concat, reshape, slice } from '../ops/view.ts';

/** Images to be shown in rows: f32 [count, pixels], intensities. */
export interface Picture {
  readonly images: Tensor;
  readonly columns: number;
  /** What it shows, for people. */
  readonly caption: string;
}

/** Columns of the pictures that stand for many. */
export const COLUMNS = 16;

/** Test images that pictures are made of. */
const EXAMPLES = 32;

/** Of so many test images, those that fill rows. */
export function exampleCount(available: number): number {
  return available < COLUMNS ? available : Math.min(EXAMPLES, available - (available % COLUMNS));
}

/** Rows of samples. */
const ROWS = 8;

/** What each row of a picture of reconstructions shows. */
const RECONSTRUCTIONS = 'test images, and below each what the model makes of its code';

export function reconstructions(examples: Tensor, made: Tensor): Picture {
  return { ...interleave(examples, made), caption: RECONSTRUCTIONS };
}

export function samples(vae: LatentModel, key: RandomKey): Picture {
  return { images: vae.sample(COLUMNS * ROWS, key), columns: COLUMNS, caption: 'decoded from random codes' };
}

/** A row a class, each column with the same code: what the code says beside the class. */
export function samplesByClass(vae: VAE, key: RandomKey): Picture {
  const { classes, latent } = vae;
  const codes = broadcastTo(reshape(normal([COLUMNS, latent], key), [1, COLUMNS, latent]), [classes, COLUMNS, latent]);
  const labels = reshape(iota([classes, COLUMNS], 0, 'u32'), [classes * COLUMNS]);
  const images = vae.decode(reshape(codes, [classes * COLUMNS, latent]), labels);
  return { images, columns: COLUMNS, caption: 'a row for each class, a column for each random code' };
}

/** What each entry of the table looks like where it stands everywhere. */
export function codes(model: VqVae): Picture {
  const { codes: count, latent, grid } = model;
  const positions = grid[0] * grid[1];
  const entries = broadcastTo(reshape(model.table, [count, 1, latent]), [count, positions, latent]);
  const images = sigmoid(model.decodeRaw(reshape(entries, [count * positions, latent])));
  return { images, columns: Math.min(COLUMNS, count), caption: 'each entry of the table, standing everywhere' };
}

/** A shade for each entry: the brighter, the more positions of the examples took it, against the most taken. */
export function usage(model: VqVae, examples: Tensor): Picture {
  const taken = model.usage(examples);
  const shades = sqrt(div(taken, maximum(max(taken), 1)));
  const [count, pixels] = [model.codes, examples.shape[1]!];
  const images = broadcastTo(reshape(shades, [count, 1]), [count, pixels]);
  return {
    images,
    columns: Math.min(COLUMNS, count),
    caption: 'how often the test images took each entry: black, never',
  };
}

export function manifold(vae: VAE, examples: Tensor): Picture {
  return vae.latent === 2 ? plane(vae) : interpolations(vae, examples);
}

/** Rows of the first, each with the row of the second below it. */
function interleave(first: Tensor, second: Tensor): Omit<Picture, 'caption'> {
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
  return { images, columns: COLUMNS, caption: 'from one test image to another, code by code' };
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
  return { images: vae.decode(codes), columns: size, caption: 'the decoded plane of the two latents' };
}

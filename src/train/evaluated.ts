// What a likelihood can be estimated of: images under a VAE, and sentences under one of text. A batch of it at a time is in memory.
import type { ImageSet } from '../data/images.ts';
import type { Examples } from '../data/tensors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { ImportanceTerms, LatentLayer, LatentModel, Prepared } from '../models/latent_model.ts';
import type { TextVAE } from '../models/text_vae.ts';
import { Variable } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { writeVariable } from '../runtime/variables.ts';

export interface Evaluated {
  /** What one example is called. */
  readonly kind: 'image' | 'sentence';
  readonly count: number;
  readonly layers: readonly LatentLayer[];
  /** Numbers of a code, of all layers together. */
  readonly latent: number;
  /** A batch of examples, in memory. */
  batch(size: number): EvaluatedBatch;
}

export interface EvaluatedBatch {
  readonly variables: readonly Variable[];
  /** Takes the examples from `first` on; behind the last one comes whatever fills the batch. */
  load(gpu: Gpu, first: number): void;
  /** As of `LatentModel`, of the batch. */
  prepare(): Prepared;
  klOfEach(prepared: Prepared, noise: Tensor): Tensor;
  importance(prepared: Prepared, noise: Tensor): ImportanceTerms;
}

export function evaluatedImages(model: LatentModel, set: ImageSet): Evaluated {
  const pixels = set.height * set.width * set.channels;
  return {
    ...{ kind: 'image', count: set.count, layers: model.layers, latent: model.latent },
    batch(size) {
      const images = new Variable('images', [size, pixels]);
      const labels = model.classes > 0 ? new Variable('labels', [size], { dtype: 'u32' }) : undefined;
      return {
        variables: labels ? [images, labels] : [images],
        load(gpu, first) {
          const values = new Float32Array(images.size);
          const bytes = set.images.subarray(first * pixels, (first + size) * pixels);
          values.set(Float32Array.from(bytes, (byte) => byte / 255));
          writeVariable(gpu, images, values);
          if (!labels || !set.labels) return;
          const classes = new Uint32Array(size);
          classes.set(set.labels.subarray(first, first + size));
          writeVariable(gpu, labels, classes);
        },
        prepare: () => model.prepare(images.tensor, labels?.tensor),
        klOfEach: (prepared, noise) => model.klOfEach(prepared, noise),
        importance: (prepared, noise) => model.importance(images.tensor, prepared, noise, labels?.tensor),
      };
    },
  };
}

export function evaluatedSentences(model: TextVAE, { count, tensors }: Examples<'tokens'>): Evaluated {
  const { shape, data } = tensors.tokens;
  const [length] = shape as [number];
  const { latent } = model;
  return {
    ...{ kind: 'sentence', count, layers: [{ name: 'code', size: latent }], latent },
    batch(size) {
      const tokens = new Variable('sentences', [size, length], { dtype: 'u32' });
      return {
        variables: [tokens],
        load(gpu, first) {
          const values = new Uint32Array(tokens.size).fill(model.end);
          values.set(data.subarray(first * length, (first + size) * length));
          writeVariable(gpu, tokens, values);
        },
        prepare: () => ({ ...model.encode(tokens.tensor) }),
        klOfEach: (prepared) => model.klOfEach(prepared),
        importance: (prepared, noise) => model.importance(tokens.tensor, prepared, noise),
      };
    },
  };
}

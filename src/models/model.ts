// What the trainer needs of a model, whichever it is.
import { Module } from '../nn/module.ts';
import type { RandomKey } from '../ops/random.ts';
import type { Tensor } from '../ops/tensor.ts';

/** Images as they come from a data set: intensities in [0, 1], flattened. */
export interface ImageBatch {
  /** f32 [batch, pixels] */
  readonly images: Tensor;
  /** u32 [batch], where the data have labels */
  readonly labels?: Tensor | undefined;
}

/** Per-image numbers, f32 [batch] each. `loss` is what is minimised, on average; the others are shown beside it. */
export interface Terms {
  readonly loss: Tensor;
  readonly [name: string]: Tensor;
}

export abstract class Model extends Module {
  /** @param step of the training, u32, from 0; not given when the model is tested */
  abstract terms(batch: ImageBatch, key: RandomKey, step?: Tensor): Terms;
}

// What a loss is given beside its batch.
import type { RandomKey } from '../ops/random.ts';
import type { Tensor } from '../ops/tensor.ts';

/** What a loss may ask beside its batch. */
export interface LossContext {
  /** What it draws random numbers from. */
  readonly key: RandomKey;
  /** The step of the training, u32, from 0; undefined in a test. */
  readonly step: Tensor | undefined;
}

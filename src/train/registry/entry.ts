// What a model that is trained by name says about itself: how it is made for a data set, its own options, its pictures.
import type { Dataset } from '../../data/images.ts';
import { DataError } from '../../errors.ts';
import type { ImageBatch, Model } from '../../models/model.ts';
import type { RandomKey } from '../../ops/random.ts';
import type { Abilities } from '../abilities.ts';
import type { Picture } from '../pictures.ts';
import type { OptionRule, OptionValue, Values } from '../rules.ts';

export interface ModelDefinition<M extends Model, Rules extends Readonly<Record<string, OptionRule>>> {
  readonly name: string;
  /** Options that mean something to it, beside those of every run. */
  readonly options: Rules;
  /** Learning rate by default; 0.001 if it does not say. */
  readonly lr?: number;
  /** Steps after which that is half, by default; constant if it does not say. */
  readonly decay?: number;
  /** Of other options of every run, by default. */
  readonly defaults?: Readonly<Record<string, OptionValue>>;
  /** Why it does not say how likely an image is, where it does not. */
  readonly withoutDensity?: string;
  create(data: Dataset, options: Values<Rules>): M;
  /** @param examples test images, [exampleCount(…), pixels], and their labels */
  pictures?(model: M, examples: ImageBatch, key: RandomKey): Record<string, Picture>;
  /** What one can do with it once it has learned something. */
  abilities?(model: M): Abilities;
}

export type ModelEntry = ModelDefinition<Model, Readonly<Record<string, OptionRule>>>;

export function defineModel<M extends Model, const Rules extends Readonly<Record<string, OptionRule>>>(
  definition: ModelDefinition<M, Rules>,
): ModelEntry {
  return definition as unknown as ModelEntry;
}

/** Numbers in an image. */
export const pixelsOf = ({ train }: Dataset) => train.height * train.width * train.channels;

/** @throws DataError if the images have no labels */
export function classesOf({ name, train: { classes } }: Dataset, model: string): number {
  if (classes < 2) throw new DataError(`${name} has no labels, and the ${model} learns from labels`);
  return classes;
}

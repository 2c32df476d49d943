// What a model of text that is trained by name says about itself.
import { type TextDataset, VOCABULARIES } from '../../data/text.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { Module, Parameters } from '../../nn/module.ts';
import type { Optimizer } from '../../nn/optimizers.ts';
import type { Tensor } from '../../ops/tensor.ts';
import type { LossContext } from '../loss.ts';
import { choice, type OptionRule, type Values, whole } from '../rules.ts';
import type { TextSource, TextWriter } from '../texts.ts';

/** Of a run's options, those that an optimizer takes. */
export interface OfOptimizer {
  readonly lr: number;
  readonly average?: number;
  readonly skip?: number;
}

/** Options of every run for which it has defaults of its own. */
export interface RunDefaults {
  readonly batch?: number;
  readonly epochs?: number;
  readonly steps?: number;
  readonly lr?: number;
}

export interface TextDefinition<M extends Module, Rules extends Readonly<Record<string, OptionRule>>> {
  readonly name: string;
  readonly kind: 'text';
  /** Its own options; `context` and `vocabulary` among them. */
  readonly options: Rules;
  readonly defaults?: RunDefaults;
  create(data: TextDataset, options: Values<Rules>): M;
  /**
   * What is minimised, and what is told beside it.
   *
   * @param tokens u32 [batch, context + 1]
   */
  loss(model: M, tokens: Tensor, context: LossContext): Readonly<Record<string, Tensor>>;
  /** Text that shows what it has learned. */
  texts?(gpu: Gpu, model: M, data: TextDataset, seed: number): Promise<TextSource>;
  /** What goes on from a prompt, if it can. */
  writer?(gpu: Gpu, model: M): Promise<TextWriter>;
  /** @param steps of the whole run */
  optimizer(parameters: Parameters, options: OfOptimizer, steps: number): Optimizer;
}

export type TextEntry = TextDefinition<Module, Readonly<Record<string, OptionRule>>>;

export function defineTextModel<M extends Module, const Rules extends Readonly<Record<string, OptionRule>>>(
  definition: TextDefinition<M, Rules>,
): TextEntry {
  return definition as unknown as TextEntry;
}

export const context = whole('tokens that are seen at once', 64, { min: 2 });
export const vocabulary = choice('what a token is', VOCABULARIES);

// What a model of text that is trained by name says about itself.
import type { TensorDataset } from '../../data/tensors.ts';
import { type TextDataset, TOKENIZERS } from '../../data/text.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { WriterOptions } from '../../models/generate.ts';
import type { Module, Parameters } from '../../nn/module.ts';
import { AdamW, type Optimizer } from '../../nn/optimizers.ts';
import { cosineSchedule, warmup } from '../../nn/schedules.ts';
import type { Tensor } from '../../ops/tensor.ts';
import type { CompileOptions } from '../../runtime/compile.ts';
import type { LossContext } from '../loss.ts';
import { choice, type OptionRule, real, type Values, whole } from '../rules.ts';
import type { Sentences, SentencesOptions } from '../sentences.ts';
import type { TextSource, TextWriter } from '../texts.ts';

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
  /** Its own options; `textOptions` among them. */
  readonly options: Rules;
  readonly defaults?: RunDefaults;
  create(data: TextDataset, options: Values<Rules>): M;
  /** Its examples, of so many tokens and one; windows into the text by default. */
  examples?(data: TextDataset, context: number): TensorDataset<'tokens'>;
  /**
   * What is minimised, and what is told beside it.
   *
   * @param tokens u32 [batch, context + 1]
   */
  loss(model: M, tokens: Tensor, context: LossContext): Readonly<Record<string, Tensor>>;
  /** Its parts that the backward pass computes again: see `CompileOptions.recompute`. */
  recomputed?(options: Values<Rules>): CompileOptions['recompute'];
  /** Text that shows what it has learned. */
  texts?(gpu: Gpu, model: M, data: TextDataset, about: { seed: number; context: number }): Promise<TextSource>;
  /** What goes on from a prompt, if it can. */
  writer?(gpu: Gpu, model: M, options?: WriterOptions): Promise<TextWriter>;
  /** What reads and writes sentences by codes, if it can. */
  sentences?(gpu: Gpu, model: M, options: SentencesOptions): Promise<Sentences>;
}

export type TextEntry = TextDefinition<Module, Readonly<Record<string, OptionRule>>>;

export function defineTextModel<M extends Module, const Rules extends Readonly<Record<string, OptionRule>>>(
  definition: TextDefinition<M, Rules>,
): TextEntry {
  return definition as unknown as TextEntry;
}

/** What every model of text has: its tokens, and AdamW with a warm-up and a cosine. */
export const textOptions = {
  context: whole('tokens that are seen at once', 64, { min: 2 }),
  tokenizer: choice('what a token is', TOKENIZERS),
  vocabulary: whole('tokens that byte-pair merges make, of bpe', 1024, { min: 256, max: 1e6 }),
  lrWarmup: whole('steps in which the learning rate rises from 0', 100, { min: 0, max: 1e9 }),
  lrEnd: real('share of the learning rate that its cosine ends at', 0.1, { max: 1 }),
  beta2: real('decay of the second moment', 0.99, { max: 0.999999 }),
  weightDecay: real('of matrices and embeddings; never of norms and biases', 0.1),
  clip: real('greatest norm of the gradient, beyond which it is scaled down; 0 for any', 1),
};

/** Of a run's options, those that its optimizer takes. */
export type OptimizerOptions = Readonly<
  Pick<Values<typeof textOptions>, 'lrWarmup' | 'lrEnd' | 'beta2' | 'weightDecay' | 'clip'>
> & { readonly lr: number; readonly average: number; readonly skip: number; readonly accumulate: number };

/** @param batches of the whole run */
export function textOptimizer(parameters: Parameters, options: OptimizerOptions, batches: number): Optimizer {
  const { lr, lrWarmup, lrEnd, beta2, weightDecay, clip, average, skip, accumulate } = options;
  const steps = Math.ceil(batches / accumulate);
  const rise = Math.min(lrWarmup, Math.ceil(steps / 10));
  const cosine = cosineSchedule({ lr, steps: Math.max(1, steps - rise), min: lr * lrEnd });
  return new AdamW(parameters, {
    lr: rise > 0 ? warmup(rise, cosine) : cosine,
    betas: [0.9, beta2],
    ...{ weightDecay, average, skip, accumulate },
    ...(clip > 0 && { maxNorm: clip }),
    groups: [{ parameters: (_, { shape }) => shape.length < 2, weightDecay: 0 }],
  });
}

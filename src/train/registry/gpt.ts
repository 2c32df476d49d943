// `gpt`: a decoder-only transformer, by nanoGPT's recipe for a CPU where nothing else is said.
import { Writer } from '../../models/generate.ts';
import { GPT } from '../../models/gpt.ts';
import { AdamW } from '../../nn/optimizers.ts';
import { cosineSchedule, warmup } from '../../nn/schedules.ts';
import { real, whole } from '../rules.ts';
import { samplesOfGpt } from '../texts.ts';
import { context, defineTextModel, vocabulary } from './text_entry.ts';

export const gpt = defineTextModel({
  name: 'gpt',
  kind: 'text',
  options: {
    layers: whole('blocks of the transformer', 4, { max: 1024 }),
    heads: whole('heads of attention', 4, { max: 1024 }),
    width: whole('numbers at each token', 128),
    context,
    vocabulary,
    dropout: real('share of what is dropped in training', 0, { max: 0.99 }),
  },
  defaults: { batch: 12, lr: 1e-3, steps: 2000, epochs: 1000 },
  create: ({ vocabulary }, options) => new GPT({ ...options, vocabulary: vocabulary.size }),
  loss: (model, tokens) => ({ loss: model.loss(tokens) }),
  texts: (gpu, model, { vocabulary }, seed) => samplesOfGpt(gpu, model, vocabulary, seed),
  writer: (gpu, model) => Writer.create(gpu, model),
  optimizer: (parameters, { lr, average, skip }, steps) =>
    new AdamW(parameters, {
      lr: warmup(Math.min(100, Math.ceil(steps / 10)), cosineSchedule({ lr, steps, min: lr / 10 })),
      betas: [0.9, 0.99],
      weightDecay: 0.1,
      maxNorm: 1,
      ...{ average, skip },
      // Of the weights of matmuls and embeddings alone.
      groups: [{ parameters: (_, { shape }) => shape.length < 2, weightDecay: 0 }],
    }),
});

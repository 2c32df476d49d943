// `gpt`: a decoder-only transformer, by nanoGPT's recipe for a CPU where nothing else is said.
import { Writer } from '../../models/generate.ts';
import { GPT } from '../../models/gpt.ts';
import { choice, real, whole } from '../rules.ts';
import { samplesOfGpt } from '../texts.ts';
import { defineTextModel, textOptions } from './text_entry.ts';

export const gpt = defineTextModel({
  name: 'gpt',
  kind: 'text',
  options: {
    layers: whole('blocks of the transformer', 4, { max: 1024 }),
    heads: whole('heads of attention', 4, { max: 1024 }),
    width: whole('numbers at each token', 128),
    dropout: real('share of what is dropped in training', 0, { max: 0.99 }),
    recompute: {
      ...choice(
        'what the backward pass computes again instead of keeping it: less memory, more time, the same result',
        ['nothing', 'blocks'],
      ),
      free: true,
    },
    ...textOptions,
  },
  defaults: { batch: 12, lr: 1e-3, steps: 2000, epochs: 1000 },
  create: ({ vocabulary }, options) => new GPT({ ...options, vocabulary: vocabulary.size }),
  loss: (model, tokens) => ({ loss: model.loss(tokens) }),
  recomputed: ({ recompute }) =>
    recompute === 'blocks' ? (path) => /^transformer\.(h\.\d+)/.exec(path)?.[1] : undefined,
  texts: (gpu, model, { vocabulary }, { seed }) => samplesOfGpt(gpu, model, vocabulary, seed),
  writer: (gpu, model, options) => Writer.create(gpu, model, options),
});

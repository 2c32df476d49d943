// `text-vae`: a variational autoencoder of sentences, the lines of a text.
import { sentenceTensors } from '../../data/sentences.ts';
import { TextVAE } from '../../models/text_vae.ts';
import { real, whole } from '../rules.ts';
import { Sentences } from '../sentences.ts';
import { samplesOfTextVae } from '../texts.ts';
import { defineTextModel, textOptions } from './text_entry.ts';
import { freeBits } from './vae_options.ts';

export const textVae = defineTextModel({
  name: 'text-vae',
  kind: 'text',
  options: {
    ...textOptions,
    context: { ...textOptions.context, help: 'tokens of the longest sentence; longer lines are left out', default: 20 },
    tokenizer: { ...textOptions.tokenizer, default: 'bpe' },
    width: whole("numbers of a token's embedding", 64),
    hidden: whole('numbers of a recurrent state', 96, { max: 1024 }),
    latent: whole('size of the code z; 0 for the decoder alone', 32, { min: 0 }),
    wordDropout: real('share of the earlier words that are hidden from the decoder in training; 1 hides all', 1, {
      max: 1,
    }),
    warmup: whole('steps in which the weight of the KL term rises from 0', 400, { min: 0, max: 1e9 }),
    freeBits: { ...freeBits, default: 0.1 },
  },
  defaults: { batch: 32, lr: 5e-3, steps: 2000, epochs: 1000 },
  examples: sentenceTensors,
  create: ({ vocabulary }, options) => new TextVAE({ ...options, vocabulary: vocabulary.size }),
  loss: (model, tokens, { key, step }) => model.terms(tokens, key, step),
  texts: samplesOfTextVae,
  sentences: (gpu, model, options) => Sentences.create(gpu, model, options),
});

// What the options of `npm run generate` ask of the model at hand; what means nothing to it is refused.
import { OptionError } from '../../errors.ts';
import { SENTENCES, sentenceTokens } from '../../train/sentences.ts';
import type { TrainedText } from '../../train/trained_text.ts';
import type { Job, Prompted } from './protocol.ts';

/** What was asked for; of which of it was typed, the names. */
export interface Given extends Omit<Prompted, 'kind'> {
  readonly sentences?: number;
  readonly wordTemperature?: number;
  readonly from?: string;
  readonly to?: string;
  readonly typed: ReadonlySet<string>;
}

/** Sentences that are drawn from the code of one. */
export const NEAR = 3;

/**
 * What is asked of a model by options.
 *
 * @throws OptionError if they mean nothing to it; DataError if a prompt or sentence is none of its
 */
export function askedOf({ entry, vocabulary, context, options }: TrainedText, given: Given): Job['what'] {
  if (entry.writer) {
    const asked = askedOfGpt(given);
    vocabulary.encode(given.prompt);
    return asked;
  }
  const latent = Number(options.latent);
  const asked = askedOfTextVae(given, latent > 0);
  for (const name of ['from', 'to'] as const) {
    const sentence = given[name];
    if (sentence !== undefined) sentenceTokens({ latent }, sentence, { vocabulary, context }, `--${name}`);
  }
  return asked;
}

/** Options as they are typed, by their names here. */
const FLAGS = {
  prompt: '--prompt',
  tokens: '--tokens',
  cache: '--no-cache',
  from: '--from',
  to: '--to',
  sentences: '--sentences',
  temperature: '--temperature',
  wordTemperature: '--word-temperature',
  topK: '--top-k',
  topP: '--top-p',
  seed: '--seed',
} as const;

function refuse(typed: ReadonlySet<string>, names: readonly (keyof typeof FLAGS)[], why: string): void {
  const found = names.find((name) => typed.has(name));
  if (found) throw new OptionError(`${FLAGS[found]} ${why}`);
}

/** What is asked of a gpt. @throws OptionError for what means nothing to it */
function askedOfGpt({ typed, sentences, wordTemperature, from, to, ...how }: Given): Job['what'] {
  const why = 'is for a text-vae, and this is a gpt: it goes on from a --prompt';
  refuse(typed, ['from', 'to', 'sentences', 'wordTemperature'], why);
  return { kind: 'prompt', ...how };
}

/**
 * What is asked of a text-vae.
 *
 * @param hasCode whether it has a code; else its words are drawn
 * @throws OptionError for what means nothing to it
 */
function askedOfTextVae(given: Given, hasCode: boolean): Job['what'] {
  const { typed, from, to, sentences, temperature, wordTemperature, topK, topP, seed } = given;
  const why = 'is for a gpt, and this is a text-vae: it writes sentences, of random codes or of that of --from';
  refuse(typed, ['prompt', 'tokens', 'cache'], why);
  if (!hasCode) {
    refuse(typed, ['from', 'to', 'temperature'], 'is of a code, and this text-vae has none (--latent 0)');
  }
  if (from === undefined) refuse(typed, ['to'], 'goes with --from: a walk is from one sentence to another');
  const draws = wordTemperature === undefined ? !hasCode : wordTemperature > 0;
  if (!draws) {
    refuse(typed, ['topK', 'topP'], 'says how words are drawn, and the likeliest are taken: give --word-temperature');
  }
  if (to !== undefined) {
    refuse(typed, ['temperature'], 'is of codes that are drawn, and those of a walk (--to) are not');
    if (!draws)
      refuse(typed, ['seed'], 'is for what is drawn: a walk is the same each time without --word-temperature');
  }
  const words = { topK, topP, ...(wordTemperature !== undefined && { temperature: wordTemperature }) };
  const how = { seed, temperature, words };
  if (from === undefined) return { kind: 'samples', count: sentences ?? SENTENCES, how };
  if (to === undefined) return { kind: 'look', from, count: sentences ?? NEAR, how };
  return { kind: 'walk', from, to, count: sentences ?? SENTENCES, how };
}

// A VAE of sentences in use, from text to text: what the studio and `npm run generate` ask of it, and what a run shows of it.
import type { Vocabulary } from '../data/vocabulary.ts';
import { DataError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { SentenceCoder } from '../models/sentences.ts';
import type { TextVAE } from '../models/text_vae.ts';
import { Generator } from '../nn/generator.ts';
import type { Sampling } from '../ops/sample.ts';

/** Sentences that are written at once, and that a walk or a sample of a run is of. */
export const SENTENCES = 10;

/** Streams of random numbers, apart from each other: of codes of the prior, and of codes of a sentence. */
const PRIOR = 0x77616c6b;
const POSTERIOR = 0x6e656172;

/** What is said where each word is written without those before it, so that repeats are understood. */
export const UNSEEN_WORDS = 'each word is written without seeing those before it (--word-dropout 1)';

/** How sentences are drawn; the same seed draws the same. */
export interface SentenceDrawing {
  readonly seed: number;
  /** Factor on the standard deviation of the codes, 1 by default. */
  readonly temperature: number;
  /** How the words of a code are drawn: at a temperature of 0, the default of a model with a code, the likeliest ones. */
  readonly words: Partial<Sampling>;
}

/** What a model makes of one sentence. */
export interface SentenceLook {
  /** Tokens that it is of. */
  readonly tokens: number;
  /** KL(q(z | x) ‖ p(z)), nats. */
  readonly kl: number;
  /** −ELBO, nats. */
  readonly bound: number;
  /** What is written from the mean of its code. */
  readonly written: string;
  /** What is written from codes that are drawn from q(z | x). */
  readonly drawn: readonly string[];
}

/** So many codes from one to another, both included, at equal distances (Bowman and others, 2016, section 5.3). */
export function walk(from: Float32Array, to: Float32Array, count: number): Float32Array[] {
  const share = (i: number) => (count > 1 ? i / (count - 1) : 0);
  return Array.from({ length: count }, (_, i) => from.map((value, at) => value + share(i) * (to[at]! - value)));
}

export interface SentencesOptions {
  readonly vocabulary: Vocabulary;
  /** Tokens of the longest sentence. */
  readonly context: number;
}

export class Sentences {
  readonly model: TextVAE;
  private readonly options: SentencesOptions;
  private readonly coder: SentenceCoder;

  private constructor(model: TextVAE, options: SentencesOptions, coder: SentenceCoder) {
    this.model = model;
    this.options = options;
    this.coder = coder;
  }

  static async create(gpu: Gpu, model: TextVAE, options: SentencesOptions): Promise<Sentences> {
    const coder = await SentenceCoder.create(gpu, model, { count: SENTENCES, context: options.context });
    return new Sentences(model, options, coder);
  }

  /** Sentences of random codes; of a model without a code, drawn word by word. */
  async *samples(count: number, how: Partial<SentenceDrawing> = {}): AsyncGenerator<string> {
    const { seed = 0, temperature = 1 } = how;
    const noise = new Generator(seed, PRIOR);
    yield* this.write(count, how, () => this.noise(noise).map((value) => temperature * value));
  }

  /** The tokens of a sentence. @throws as `sentenceTokens` */
  tokens(sentence: string, name?: string): number[] {
    return sentenceTokens(this.model, sentence, this.options, name);
  }

  /** What one sentence is to the model, and so many that are drawn from its code. */
  async look(sentence: readonly number[], drawn: number, how: Partial<SentenceDrawing> = {}): Promise<SentenceLook> {
    const { seed = 0, temperature = 1 } = how;
    const { mean, logvar, kl, bound } = await this.coder.read(sentence);
    const noise = new Generator(seed, POSTERIOR);
    const near = () => this.noise(noise).map((e, i) => mean[i]! + temperature * Math.exp(logvar[i]! / 2) * e);
    const [written] = await this.texts([mean], how);
    const all: string[] = [];
    for await (const text of this.write(drawn, how, near)) all.push(text);
    return { tokens: sentence.length, kl, bound, written: written!, drawn: all };
  }

  /** What is written from the codes' means, of up to `SENTENCES` sentences. */
  async reconstruct(sentences: readonly (readonly number[])[]): Promise<string[]> {
    return this.texts(await this.coder.encode(sentences));
  }

  /** Sentences of so many codes on the straight line from one sentence's to another's. */
  async walk(
    from: readonly number[],
    to: readonly number[],
    count: number,
    how: Partial<SentenceDrawing> = {},
  ): Promise<string[]> {
    const [first, last] = await this.coder.encode([from, to]);
    return this.texts(walk(first!, last!, count), how);
  }

  private noise(generator: Generator): Float32Array {
    return Float32Array.from({ length: this.model.latent }, () => generator.normal());
  }

  private async *write(count: number, how: Partial<SentenceDrawing>, code: () => Float32Array): AsyncGenerator<string> {
    const codes = (function* () {
      for (let i = 0; i < count; i++) yield code();
    })();
    for await (const some of this.coder.write(codes, this.writing(how))) {
      for (const tokens of some) yield this.options.vocabulary.decode(tokens);
    }
  }

  private async texts(codes: readonly Float32Array[], how: Partial<SentenceDrawing> = {}): Promise<string[]> {
    const all = await this.coder.decode(codes, this.writing(how));
    return all.map((tokens) => this.options.vocabulary.decode(tokens));
  }

  private writing({ seed = 0, words }: Partial<SentenceDrawing>) {
    return { temperature: wordTemperature(this.model), ...words, seed };
  }

  destroy(): void {
    this.coder.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** At which temperature words are drawn by default: what has no code would always write the same. */
export const wordTemperature = ({ latent }: Pick<TextVAE, 'latent'>): number => (latent > 0 ? 0 : 1);

/**
 * The tokens of one sentence, as the model reads it.
 *
 * @param name what it is called where there are several: errors begin with it
 * @throws OptionError if the model has no code; DataError if it is not one line, has characters or tokens that the vocabulary does
 * not have, or more than the model reads
 */
export function sentenceTokens(
  model: Pick<TextVAE, 'latent'>,
  sentence: string,
  { vocabulary, context }: SentencesOptions,
  name?: string,
): number[] {
  if (model.latent === 0) throw new OptionError('this text-vae has no code (--latent 0): it reads no sentences');
  const told = name === undefined ? '' : `${name}: `;
  const text = sentence.trim();
  if (text === '') throw new DataError(`${told}there is no sentence: give it some words`);
  if (text.includes('\n')) throw new DataError(`${told}a sentence is one line: leave the line break out`);
  let tokens: number[];
  try {
    tokens = vocabulary.encode(text);
  } catch (error) {
    if (error instanceof DataError) throw new DataError(`${told}${error.message}`, { cause: error });
    throw error;
  }
  if (tokens.length <= context) return tokens;
  throw new DataError(
    `${told}the sentence is of ${tokens.length} tokens, and the model reads up to ${context} (--context ${context}): shorten it`,
  );
}

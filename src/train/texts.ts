// Text that shows what a model has learned so far, as pictures do for models of images.
import { sentencesOf } from '../data/sentences.ts';
import type { TextDataset } from '../data/text.ts';
import type { Vocabulary } from '../data/vocabulary.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Writer, type Writing } from '../models/generate.ts';
import type { GPT } from '../models/gpt.ts';
import { SentenceCoder } from '../models/sentences.ts';
import type { TextVAE } from '../models/text_vae.ts';
import { Generator } from '../nn/generator.ts';

export interface ShownText {
  readonly name: string;
  /** What it shows. */
  readonly caption: string;
  readonly text: string;
}

/** Writes again and again with the weights as they are by then. */
export interface TextSource {
  write(): Promise<readonly ShownText[]>;
  destroy(): void;
}

/** Goes on from a prompt, of tokens. */
export interface TextWriter {
  write(prompt: readonly number[], count: number, how: Partial<Writing>): AsyncIterable<number[]>;
  destroy(): void;
}

/** Tokens of a sample. */
const LENGTH = 240;

/** What a text begins with where nothing is given. */
export function newLine(vocabulary: Vocabulary): number[] {
  try {
    return vocabulary.encode('\n');
  } catch {
    // A text of one line: its first character will do.
    return [0];
  }
}

/** What a GPT writes of itself, from a new line on. */
export async function samplesOfGpt(gpu: Gpu, model: GPT, vocabulary: Vocabulary, seed: number): Promise<TextSource> {
  const writer = await Writer.create(gpu, model, { seed });
  const prompt = newLine(vocabulary);
  return {
    async write() {
      const tokens: number[] = [];
      for await (const some of writer.write(prompt, LENGTH, { temperature: 0.8 })) tokens.push(...some);
      return [
        { name: 'sample', caption: 'written by the model so far, at temperature 0.8', text: vocabulary.decode(tokens) },
      ];
    },
    destroy: () => writer.destroy(),
  };
}

/** Sentences of each kind that are shown. */
const SHOWN = 10;

/** So many codes from one to another, both included, at equal distances (Bowman and others, 2016, section 5.3). */
export function walk(from: Float32Array, to: Float32Array, count: number): Float32Array[] {
  const share = (i: number) => (count > 1 ? i / (count - 1) : 0);
  return Array.from({ length: count }, (_, i) => from.map((value, at) => value + share(i) * (to[at]! - value)));
}

/** Sentences that a text VAE makes of nothing, of others, and between two of them. */
export async function samplesOfTextVae(
  gpu: Gpu,
  model: TextVAE,
  data: TextDataset,
  { seed, context }: { seed: number; context: number },
): Promise<TextSource> {
  const { vocabulary } = data;
  const { test } = sentencesOf(data, context);
  const examples = test.slice(0, SHOWN);
  const coder = await SentenceCoder.create(gpu, model, { count: SHOWN, context });
  const text = (sentence: readonly number[]) => vocabulary.decode(sentence);
  const lines = (sentences: readonly (readonly number[])[]) => sentences.map(text).join('\n');
  const noise = new Generator(seed, 0x77616c6b);
  const drawn = Array.from({ length: SHOWN }, () => Float32Array.from({ length: model.latent }, () => noise.normal()));
  return {
    async write() {
      if (model.latent === 0) {
        return [
          { name: 'sample', caption: 'the likeliest sentence', text: lines(await coder.decode([new Float32Array(0)])) },
        ];
      }
      const samples = {
        name: 'samples',
        caption: 'sentences of codes that were drawn',
        text: lines(await coder.decode(drawn)),
      };
      // A file of a model has no sentences that were held back.
      if (examples.length === 0) return [samples];
      const codes = await coder.encode(examples);
      const back = await coder.decode(codes);
      const between = await coder.decode(walk(codes[0]!, codes.at(-1)!, SHOWN));
      const pairs = examples.map((sentence, i) => `${text(sentence)}\n  ${text(back[i]!)}`).join('\n');
      return [
        samples,
        { name: 'reconstructions', caption: 'sentences that were held back, and each from its code', text: pairs },
        { name: 'walk', caption: 'from the code of one sentence to that of another', text: lines(between) },
      ];
    },
    destroy: () => coder.destroy(),
  };
}

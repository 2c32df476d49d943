// Text that shows what a model has learned so far, as pictures do for models of images.
import { sentencesOf } from '../data/sentences.ts';
import type { TextDataset } from '../data/text.ts';
import type { Vocabulary } from '../data/vocabulary.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Writer, type Writing } from '../models/generate.ts';
import type { GPT } from '../models/gpt.ts';
import type { TextVAE } from '../models/text_vae.ts';
import { SENTENCES, Sentences, UNSEEN_WORDS } from './sentences.ts';

export interface ShownText {
  readonly name: string;
  /** What it shows. */
  readonly caption: string;
  readonly text: string;
  /** What is to be known to understand it. */
  readonly note?: string;
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
        {
          name: 'sample',
          caption: 'written by the model so far from a new line on, at temperature 0.8',
          text: vocabulary.decode(tokens),
        },
      ];
    },
    destroy: () => writer.destroy(),
  };
}

/** Sentences that a text VAE makes of nothing, of others, and between two of them. */
export async function samplesOfTextVae(
  gpu: Gpu,
  model: TextVAE,
  data: TextDataset,
  { seed, context }: { seed: number; context: number },
): Promise<TextSource> {
  const { vocabulary } = data;
  const examples = sentencesOf(data, context).test.slice(0, SENTENCES);
  const sentences = await Sentences.create(gpu, model, { vocabulary, context });
  const shown = (name: string, caption: string, lines: readonly string[]): ShownText => {
    return { name, caption, text: lines.join('\n'), ...(!model.seesWords && { note: UNSEEN_WORDS }) };
  };
  return {
    async write() {
      const drawn: string[] = [];
      for await (const text of sentences.samples(SENTENCES, { seed })) drawn.push(text);
      const from = model.latent > 0 ? 'written from random codes' : 'drawn word by word, without a code';
      const samples = shown('samples', `sentences ${from}`, drawn);
      // What has no code reads no sentences, and a file of a model has none for tests.
      if (model.latent === 0 || examples.length === 0) return [samples];
      const texts = examples.map((sentence) => vocabulary.decode(sentence));
      const back = await sentences.reconstruct(examples);
      const pairs = texts.flatMap((text, i) => [text, `  ${back[i]}`]);
      const between = await sentences.walk(examples[0]!, examples.at(-1)!, SENTENCES);
      const ends = `from the code of “${texts[0]}” to that of “${texts.at(-1)}”`;
      return [
        samples,
        shown('reconstructions', 'test sentences; below each, what the model writes from its code', pairs),
        shown('walk', `what the model writes on the straight line ${ends}, two test sentences`, between),
      ];
    },
    destroy: () => sentences.destroy(),
  };
}

/** As a file of a run: first what it is, and after which step. */
export function textFile({ caption, note, text }: ShownText, { model, step }: { model: string; step: number }): string {
  const heading = [`${model}, step ${step}: ${caption}`, ...(note ? [note] : [])];
  return `${heading.map((line) => `# ${line}\n`).join('')}\n${text}\n`;
}

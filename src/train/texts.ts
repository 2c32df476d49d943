// Text that shows what a model has learned so far, as pictures do for models of images.
import type { Vocabulary } from '../data/vocabulary.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Writer, type Writing } from '../models/generate.ts';
import type { GPT } from '../models/gpt.ts';

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

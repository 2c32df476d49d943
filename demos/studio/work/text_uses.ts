// A trained model of text in use: it goes on from a prompt, reads and writes sentences by codes, or shows samples, as far as its entry
// in the registry says how.
import { sentencesOf } from '../../../src/data/sentences.ts';
import { isText } from '../../../src/data/text.ts';
import type { Gpu } from '../../../src/gpu/gpu.ts';
import type { Writing } from '../../../src/models/generate.ts';
import { freeVariables } from '../../../src/runtime/variables.ts';
import { builtInText } from '../../../src/train/built_in.ts';
import { SENTENCES, type SentenceDrawing, type SentenceLook, type Sentences } from '../../../src/train/sentences.ts';
import { newLine, type ShownText, type TextSource, type TextWriter } from '../../../src/train/texts.ts';
import { type TrainedText, textOf } from '../../../src/train/trained_text.ts';

/** Test sentences that the page gets to choose from. */
const EXAMPLES = 200;
/** Sentences that are drawn near the code of one. */
const NEAR = 5;

/** What the page is told of a model that reads and writes sentences. */
export interface SentenceFacts {
  /** Numbers in a code; 0 without one. */
  readonly latent: number;
  /** Whether each word is written without those before it. */
  readonly unseen: boolean;
  /** Of the text that it was tested with, where that is here. */
  readonly examples: readonly string[];
}

/** How sentences are drawn. */
export type Drawing = Partial<SentenceDrawing>;

/** What is made for a model, when it is first asked for: once, unless it fails. */
class Once<T> {
  private made: Promise<T> | undefined;
  private readonly make: () => Promise<T>;

  constructor(make: () => Promise<T>) {
    this.make = make;
  }

  get(): Promise<T> {
    this.made ??= this.make().catch((error) => {
      this.made = undefined;
      throw error;
    });
    return this.made;
  }

  destroy(destroy: (made: T) => void): void {
    this.made?.then(destroy).catch(() => {});
  }
}

export class TextUses {
  readonly gpu: Gpu;
  private readonly of: TrainedText;
  private readonly writer: Once<TextWriter>;
  private readonly source: Once<TextSource>;
  private readonly sentences: Once<Sentences>;
  /** One thing is written at a time. */
  private queue: Promise<unknown> = Promise.resolve();
  private wanted = 0;

  constructor(gpu: Gpu, of: TrainedText) {
    this.gpu = gpu;
    this.of = of;
    const { entry, model, data, context } = of;
    this.writer = new Once(() => entry.writer!(gpu, model));
    this.source = new Once(() => entry.texts!(gpu, model, data, { seed: 0, context }));
    this.sentences = new Once(() => entry.sentences!(gpu, model, of));
  }

  get writes(): boolean {
    return this.of.entry.writer !== undefined;
  }

  get shows(): boolean {
    return this.of.entry.texts !== undefined;
  }

  /** @param kept the text that the model was trained on, where it is kept */
  async sentenceFacts(kept: object | undefined): Promise<SentenceFacts | undefined> {
    const { entry, options, vocabulary, context } = this.of;
    if (!entry.sentences) return undefined;
    const text = kept && isText(kept) ? kept : await this.builtIn();
    const examples = text ? sentencesOf(text, context).test.slice(0, EXAMPLES) : [];
    return {
      ...{ latent: Number(options.latent), unseen: Number(options.wordDropout) === 1 },
      examples: examples.map((sentence) => vocabulary.decode(sentence)),
    };
  }

  /** The built-in text, if the model's vocabulary is made of that. */
  private async builtIn() {
    const { options, vocabulary } = this.of;
    if (vocabulary.kind === 'file') return undefined;
    const text = await builtInText(options);
    return JSON.stringify(text.vocabulary) === JSON.stringify(vocabulary) ? text : undefined;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }

  /**
   * Writes until it is done, or stopped, or something else is to be written.
   *
   * @returns how many tokens
   */
  write(prompt: string, count: number, how: Partial<Writing>, told: (text: string) => void): Promise<number> {
    const { vocabulary } = this.of;
    const mine = ++this.wanted;
    return this.inTurn(async () => {
      // What it does not know is told before anything is compiled.
      const tokens = prompt === '' ? newLine(vocabulary) : vocabulary.encode(prompt);
      const writer = await this.writer.get();
      let made = 0;
      const counted = (some: number) => {
        made += some;
      };
      for await (const text of textOf(vocabulary, writer.write(tokens, count, how), counted)) {
        if (mine !== this.wanted) break;
        told(text);
      }
      return made;
    });
  }

  stop(): void {
    this.wanted++;
  }

  /** Text that shows what it has learned. */
  samples(): Promise<readonly ShownText[]> {
    return this.inTurn(async () => (await this.source.get()).write());
  }

  /** Sentences of random codes. */
  drawSentences(how: Drawing): Promise<string[]> {
    return this.inTurn(async () => {
      const all: string[] = [];
      for await (const text of (await this.sentences.get()).samples(SENTENCES, how)) all.push(text);
      return all;
    });
  }

  /** What the model makes of a sentence. @throws DataError if it does not read it */
  lookAtSentence(sentence: string, how: Drawing): Promise<SentenceLook> {
    return this.inTurn(async () => {
      const sentences = await this.sentences.get();
      return sentences.look(sentences.tokens(sentence), NEAR, how);
    });
  }

  /** Sentences on the line from one's code to another's. @throws DataError if it does not read one of them */
  walk(from: string, to: string, how: Drawing): Promise<string[]> {
    return this.inTurn(async () => {
      const sentences = await this.sentences.get();
      return sentences.walk(sentences.tokens(from, 'From'), sentences.tokens(to, 'To'), SENTENCES, how);
    });
  }

  /** Frees all of it, once what was asked for is done: another model may take its place meanwhile. */
  destroy(): void {
    this.stop();
    void this.queue.then(() => {
      this.writer.destroy((writer) => writer.destroy());
      this.source.destroy((source) => source.destroy());
      this.sentences.destroy((sentences) => sentences.destroy());
      freeVariables(this.gpu, [this.of.parameters.flat, ...this.of.model.namedBuffers().values()]);
    });
  }
}

// A trained model of text in use: it goes on from a prompt, or shows samples, as far as its entry in the registry says how.
import type { Gpu } from '../../../src/gpu/gpu.ts';
import type { Writing } from '../../../src/models/generate.ts';
import { freeVariables } from '../../../src/runtime/variables.ts';
import { newLine, type ShownText, type TextSource, type TextWriter } from '../../../src/train/texts.ts';
import { textOf, type trainedText } from '../../../src/train/trained_text.ts';

export class TextUses {
  readonly gpu: Gpu;
  private readonly of: ReturnType<typeof trainedText>;
  private writer: Promise<TextWriter> | undefined;
  private source: Promise<TextSource> | undefined;
  /** One thing is written at a time. */
  private queue: Promise<unknown> = Promise.resolve();
  private wanted = 0;

  constructor(gpu: Gpu, of: ReturnType<typeof trainedText>) {
    this.gpu = gpu;
    this.of = of;
  }

  get writes(): boolean {
    return this.of.entry.writer !== undefined;
  }

  get shows(): boolean {
    return this.of.entry.texts !== undefined;
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
    const { entry, model, vocabulary } = this.of;
    const mine = ++this.wanted;
    return this.inTurn(async () => {
      // What it does not know is told before anything is compiled.
      const tokens = prompt === '' ? newLine(vocabulary) : vocabulary.encode(prompt);
      this.writer ??= entry.writer!(this.gpu, model);
      const writer = await this.writer.catch((error) => {
        this.writer = undefined;
        throw error;
      });
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
  samples(seed: number): Promise<readonly ShownText[]> {
    const { entry, model, data } = this.of;
    return this.inTurn(async () => {
      this.source ??= entry.texts!(this.gpu, model, data, seed);
      const source = await this.source.catch((error) => {
        this.source = undefined;
        throw error;
      });
      return source.write();
    });
  }

  /** Frees all of it, once what was asked for is done: another model may take its place meanwhile. */
  destroy(): void {
    this.stop();
    void this.queue.then(() => {
      for (const made of [this.writer, this.source]) made?.then((each) => each.destroy()).catch(() => {});
      freeVariables(this.gpu, [this.of.parameters.flat, ...this.of.model.namedBuffers().values()]);
    });
  }
}

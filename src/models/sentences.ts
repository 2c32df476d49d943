/// <reference lib="esnext.disposable" preserve="true" />
// Sentences to codes and back with a TextVAE, several at once, on the GPU.
import type { Gpu } from '../gpu/gpu.ts';
import { inEvaluation } from '../nn/training.ts';
import { add, equal, where } from '../ops/elementwise.ts';
import { normal, randomKey, uniform } from '../ops/random.ts';
import { mean, sum } from '../ops/reduce.ts';
import { sampleBy } from '../ops/sample.ts';
import { constant, input, iota, Variable } from '../ops/source.ts';
import { reshape } from '../ops/view.ts';
import { compile } from '../runtime/compile.ts';
import type { Program } from '../runtime/program.ts';
import { freeVariables, readVariable, writeVariable } from '../runtime/variables.ts';
import type { Writing } from './generate.ts';
import type { TextVAE } from './text_vae.ts';

export interface SentenceCoderOptions {
  /** Sentences at once. */
  readonly count: number;
  /** Tokens of the longest, its end not counted. */
  readonly context: number;
}

/** What one sentence is to the model. */
export interface SentenceReading {
  /** Of q(z | x): the mean of each number of the code, and the logarithm of its variance. */
  readonly mean: Float32Array;
  readonly logvar: Float32Array;
  /** KL(q(z | x) ‖ p(z)), nats. */
  readonly kl: number;
  /** −ELBO, nats, the end of the sentence included: the mean over the same samples of the code each time. */
  readonly bound: number;
}

/** Samples of the code that a sentence's bound is the mean over. */
const SAMPLES = 16;

/** Makes codes of sentences, and sentences of codes, token by token: of each the likeliest, or one that is drawn. */
export class SentenceCoder {
  private readonly gpu: Gpu;
  private readonly model: TextVAE;
  private readonly sizes: SentenceCoderOptions;
  private readonly tokens: Variable;
  private readonly code: Variable;
  private readonly state: Variable;
  private readonly token: Variable;
  private readonly position = new Variable('position', [], { dtype: 'u32' });
  /** How tokens are drawn, and by which random numbers. */
  private readonly temperature = new Variable('temperature', []);
  private readonly topK = new Variable('top k', [], { dtype: 'u32' });
  private readonly topP = new Variable('top p', []);
  private readonly key = new Variable('key', [2], { dtype: 'u32' });
  /** What was written: a row a sentence. */
  private readonly tape: Variable;
  private encoder: Program | undefined;
  private decoder: Program | undefined;
  private reader: Promise<Program> | undefined;

  private constructor(gpu: Gpu, model: TextVAE, sizes: SentenceCoderOptions) {
    const { count, context } = sizes;
    this.gpu = gpu;
    this.model = model;
    this.sizes = sizes;
    this.tokens = new Variable('sentences', [count, context + 1], { dtype: 'u32' });
    this.code = new Variable('codes', [count, Math.max(1, model.latent)]);
    this.state = new Variable('states', [count, model.hidden]);
    this.token = new Variable('token', [count], { dtype: 'u32' });
    this.tape = new Variable('tape', [count, context], { dtype: 'u32' });
  }

  static async create(gpu: Gpu, model: TextVAE, sizes: SentenceCoderOptions): Promise<SentenceCoder> {
    const coder = new SentenceCoder(gpu, model, sizes);
    const { tokens, code, state, token, position, tape, temperature, topK, topP, key } = coder;
    if (model.latent > 0) {
      const outputs = inEvaluation(() => model.encode(tokens.tensor));
      coder.encoder = await compile(gpu, { outputs: { mean: outputs.mean } });
    }
    const { logits, state: next } = inEvaluation(() =>
      model.step(token.tensor, position.tensor, code.tensor, state.tensor),
    );
    const u = uniform([sizes.count], { key: key.tensor, counter: position.tensor, stream: 0 });
    const how = { temperature: temperature.tensor, topK: topK.tensor, topP: topP.tensor };
    const chosen = sampleBy(logits, u, how);
    const column = reshape(chosen, [sizes.count, 1]);
    const isHere = equal(iota([1, sizes.context], 1, 'u32'), position.tensor);
    coder.decoder = await compile(gpu, {
      updates: [
        { variable: state, value: next },
        { variable: token, value: chosen },
        { variable: tape, value: where(isHere, column, tape.tensor) },
        { variable: position, value: add(position.tensor, constant(1, 'u32')) },
      ],
    });
    return coder;
  }

  /** The means of the codes of up to `count` sentences, each of up to `context` tokens. */
  async encode(sentences: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const { context, count } = this.sizes;
    const rows = new Uint32Array(count * (context + 1)).fill(this.model.end);
    for (const [i, sentence] of sentences.entries()) rows.set(sentence.slice(0, context), i * (context + 1));
    writeVariable(this.gpu, this.tokens, rows);
    this.encoder!.run();
    const means = (await this.encoder!.read('mean')) as Float32Array;
    const { latent } = this.model;
    return sentences.map((_, i) => means.slice(i * latent, (i + 1) * latent));
  }

  /** What one sentence of up to `context` tokens is to the model. @throws OptionError if it has no latent */
  async read(sentence: readonly number[]): Promise<SentenceReading> {
    const { gpu, model, sizes } = this;
    this.reader ??= compile(gpu, { outputs: inEvaluation(() => this.reading()) });
    const reader = await this.reader.catch((error) => {
      this.reader = undefined;
      throw error;
    });
    const tokens = new Uint32Array(sizes.context + 1).fill(model.end);
    tokens.set(sentence.slice(0, sizes.context));
    reader.run({ sentence: tokens });
    const names = ['mean', 'logvar', 'kl', 'bound'] as const;
    const [mean, logvar, kl, bound] = (await Promise.all(names.map((name) => reader.read(name)))) as Float32Array[];
    return { mean: mean!, logvar: logvar!, kl: kl![0]!, bound: bound![0]! };
  }

  private reading() {
    const { model, sizes } = this;
    const sentence = input('sentence', [1, sizes.context + 1], 'u32');
    const posterior = model.encode(sentence);
    const kl = sum(model.klOfEach({ ...posterior }));
    const noise = normal([SAMPLES, 1, model.latent], randomKey(0, constant(0, 'u32')));
    const { reconstruction } = model.importance(sentence, { ...posterior }, noise);
    return { ...posterior, kl, bound: add(mean(reconstruction), kl) };
  }

  /** The sentence of each code, without its end; how tokens are drawn as `write` says. */
  async decode(codes: Iterable<Float32Array>, how: Partial<Writing> = {}): Promise<number[][]> {
    const all: number[][] = [];
    for await (const some of this.write(codes, how)) all.push(...some);
    return all;
  }

  /**
   * The sentences of codes, `count` at a time, without their ends: of each token the likeliest, or at a temperature above 0 one
   * that is drawn, the same for the same seed. What stands after it goes by it as far as the decoder sees the tokens before.
   */
  async *write(codes: Iterable<Float32Array>, how: Partial<Writing> = {}): AsyncGenerator<number[][]> {
    let waiting: Float32Array[] = [];
    let batch = 0;
    for (const code of codes) {
      waiting.push(code);
      if (waiting.length < this.sizes.count) continue;
      yield this.writeBatch(waiting, how, batch++);
      waiting = [];
    }
    if (waiting.length > 0) yield this.writeBatch(waiting, how, batch);
  }

  private async writeBatch(codes: readonly Float32Array[], how: Partial<Writing>, batch: number): Promise<number[][]> {
    const { gpu, sizes, model, code, position, tape } = this;
    const { temperature = 0, topK = 0, topP = 1, seed = 0 } = how;
    const rows = new Float32Array(code.size);
    for (const [i, z] of codes.entries()) rows.set(z, i * model.latent);
    writeVariable(gpu, code, rows);
    writeVariable(gpu, position, new Uint32Array(1));
    writeVariable(gpu, this.temperature, Float32Array.of(temperature));
    writeVariable(gpu, this.topK, Uint32Array.of(topK));
    writeVariable(gpu, this.topP, Float32Array.of(topP));
    writeVariable(gpu, this.key, Uint32Array.of(seed >>> 0, 0x73656e74 + batch));
    this.decoder!.run({}, { steps: sizes.context });
    const written = (await readVariable(gpu, tape)) as Uint32Array;
    return codes.map((_, i) => {
      const row = [...written.subarray(i * sizes.context, (i + 1) * sizes.context)];
      const end = row.findIndex((token) => token >= model.end);
      return end < 0 ? row : row.slice(0, end);
    });
  }

  destroy(): void {
    this.encoder?.destroy();
    this.decoder?.destroy();
    this.reader?.then((reader) => reader.destroy()).catch(() => undefined);
    const { tokens, code, state, token, position, tape, temperature, topK, topP, key } = this;
    freeVariables(this.gpu, [tokens, code, state, token, position, tape, temperature, topK, topP, key]);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

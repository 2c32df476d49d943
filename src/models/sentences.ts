/// <reference lib="esnext.disposable" preserve="true" />
// Sentences to codes and back with a TextVAE, several at once, on the GPU.
import type { Gpu } from '../gpu/gpu.ts';
import { inEvaluation } from '../nn/training.ts';
import { argmax } from '../ops/argmax.ts';
import { add, equal, where } from '../ops/elementwise.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import { reshape } from '../ops/view.ts';
import { compile } from '../runtime/compile.ts';
import type { Program } from '../runtime/program.ts';
import { freeVariables, readVariable, writeVariable } from '../runtime/variables.ts';
import type { TextVAE } from './text_vae.ts';

export interface SentenceCoderOptions {
  /** Sentences at once. */
  readonly count: number;
  /** Tokens of the longest, its end not counted. */
  readonly context: number;
}

/** Makes codes of sentences, and the likeliest sentence of each code, token by token. */
export class SentenceCoder {
  private readonly gpu: Gpu;
  private readonly model: TextVAE;
  private readonly sizes: SentenceCoderOptions;
  private readonly tokens: Variable;
  private readonly code: Variable;
  private readonly state: Variable;
  private readonly token: Variable;
  private readonly position = new Variable('position', [], { dtype: 'u32' });
  /** What was written: a row a sentence. */
  private readonly tape: Variable;
  private encoder: Program | undefined;
  private decoder: Program | undefined;

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
    const { tokens, code, state, token, position, tape } = coder;
    if (model.latent > 0) {
      const outputs = inEvaluation(() => model.encode(tokens.tensor));
      coder.encoder = await compile(gpu, { outputs: { mean: outputs.mean } });
    }
    const { logits, state: next } = inEvaluation(() =>
      model.step(token.tensor, position.tensor, code.tensor, state.tensor),
    );
    const chosen = argmax(logits, 1);
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

  /** The likeliest sentence of each of up to `count` codes, without its end. */
  async decode(codes: readonly Float32Array[]): Promise<number[][]> {
    const { gpu, sizes, model, code, position, tape } = this;
    const rows = new Float32Array(code.size);
    for (const [i, z] of codes.entries()) rows.set(z, i * model.latent);
    writeVariable(gpu, code, rows);
    writeVariable(gpu, position, new Uint32Array(1));
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
    const { tokens, code, state, token, position, tape } = this;
    freeVariables(this.gpu, [tokens, code, state, token, position, tape]);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

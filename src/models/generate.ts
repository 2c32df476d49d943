/// <reference lib="esnext.disposable" preserve="true" />
// Writing with a GPT: token by token on the GPU, many tokens a submit, with a cache of keys and values.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { add, equal, greater, mul, where } from '../ops/elementwise.ts';
import { gather } from '../ops/gather.ts';
import { type RandomKey, uniform } from '../ops/random.ts';
import { type Sampling, sampleBy } from '../ops/sample.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { reshape, slice } from '../ops/view.ts';
import { compile } from '../runtime/compile.ts';
import type { Program } from '../runtime/program.ts';
import { freeVariables, readVariable, writeVariable } from '../runtime/variables.ts';
import type { Cache, GPT } from './gpt.ts';

export interface WriterOptions {
  readonly seed?: number;
  /** Without it, each token computes all those before it again; the text is the same, up to rounding. */
  readonly cache?: boolean;
}

/** How tokens are drawn; the same seed draws the same, by default the writer's. */
export interface Writing extends Sampling {
  readonly seed: number;
}

/** Tokens that one submit makes. */
const PER_SUBMIT = 32;

const keyOf = (seed: number) => Uint32Array.of(seed >>> 0, 0x74657874);

const u32 = (name: string, size: number[] = [], init?: () => Uint32Array) =>
  new Variable(name, size, { dtype: 'u32', ...(init && { init }) });

/**
 * Writes text: the same for the same seed. A tape of tokens lies on the GPU; a step reads one of it, and puts the next behind it
 * where the prompt has none. When the context is full, its second half becomes the prompt of what follows.
 */
export class Writer {
  private readonly gpu: Gpu;
  private readonly context: number;
  private readonly program: Program;
  private readonly tape: Variable;
  /** Where the step reads. */
  private readonly at = u32('position');
  private readonly prompt = u32('prompt length');
  /** Tokens drawn or read in all: what random numbers are counted by. */
  private readonly count = u32('tokens');
  private readonly settings: readonly [Variable, Variable, Variable];
  private readonly caches: readonly { readonly k: Variable; readonly v: Variable }[];
  private readonly key: Variable;

  /** @internal */
  constructor(gpu: Gpu, parts: ReturnType<typeof graphOf>, program: Program) {
    this.gpu = gpu;
    this.context = parts.tape.size - 1;
    this.tape = parts.tape;
    this.at = parts.at;
    this.prompt = parts.prompt;
    this.count = parts.count;
    this.settings = parts.settings;
    this.caches = parts.caches;
    this.key = parts.key;
    this.program = program;
  }

  static async create(gpu: Gpu, model: GPT, options: WriterOptions = {}): Promise<Writer> {
    const parts = graphOf(model, options);
    return new Writer(gpu, parts, await compile(gpu, parts.graph));
  }

  /**
   * Tokens that follow a prompt, in groups as they are made.
   *
   * @throws OptionError if the prompt is empty
   */
  async *write(prompt: readonly number[], count: number, how: Partial<Writing> = {}): AsyncGenerator<number[]> {
    if (prompt.length === 0) throw new OptionError('the prompt is empty: give it one token or more');
    const { gpu, context, settings } = this;
    const { temperature = 1, topK = 0, topP = 1 } = how;
    const [heat, most, share] = settings;
    writeVariable(gpu, heat, Float32Array.of(temperature));
    writeVariable(gpu, most, Uint32Array.of(topK));
    writeVariable(gpu, share, Float32Array.of(topP));
    if (how.seed !== undefined) writeVariable(gpu, this.key, keyOf(how.seed));
    writeVariable(gpu, this.count, new Uint32Array(1));
    // Of a long prompt, what the context holds, with room for a token.
    let known = prompt.slice(-Math.max(1, context - 1));
    for (let left = count; left > 0; ) {
      this.begin(known);
      let length = known.length;
      // All of the prompt but its last token is read without drawing.
      await this.run(length - 1);
      const tokens = [...known];
      while (left > 0 && length < context + 1) {
        const some = Math.min(PER_SUBMIT, left, context + 1 - length);
        await this.run(some);
        const made = [...(await this.read()).subarray(length, length + some)];
        tokens.push(...made);
        length += some;
        left -= some;
        yield made;
      }
      known = tokens.slice(-Math.max(1, Math.floor(context / 2)));
    }
  }

  private begin(tokens: readonly number[]): void {
    const tape = new Uint32Array(this.tape.size);
    tape.set(tokens);
    writeVariable(this.gpu, this.tape, tape);
    writeVariable(this.gpu, this.at, new Uint32Array(1));
    writeVariable(this.gpu, this.prompt, Uint32Array.of(tokens.length));
  }

  private async run(steps: number): Promise<void> {
    if (steps === 0) return;
    this.program.run({}, { steps });
  }

  private async read(): Promise<Uint32Array> {
    return (await readVariable(this.gpu, this.tape)) as Uint32Array;
  }

  /** The last step's logits, uniform number and token: to be held against a reference. */
  async last(): Promise<{ logits: Float32Array; u: number; token: number }> {
    const [logits, u, token] = await Promise.all(['logits', 'u', 'token'].map((name) => this.program.read(name)));
    return { logits: logits as Float32Array, u: u![0]!, token: token![0]! };
  }

  destroy(): void {
    this.program.destroy();
    const own = [this.tape, this.at, this.prompt, this.count, ...this.settings, this.key];
    freeVariables(this.gpu, [...own, ...this.caches.flatMap(({ k, v }) => [k, v])]);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

function graphOf(model: GPT, { seed = 0, cache = true }: WriterOptions) {
  const { context, width, layers } = model.options;
  const tape = u32('tape', [context + 1]);
  const [at, prompt, count] = [u32('position'), u32('prompt length'), u32('tokens')];
  const key = u32('key', [2], () => keyOf(seed));
  const settings = [new Variable('temperature', []), u32('top k'), new Variable('top p', [])] as const;
  const one = constant(1, 'u32');
  const position = at.tensor;
  const random: RandomKey = { key: key.tensor, counter: count.tensor, stream: 0 };
  const caches = Array.from({ length: cache ? layers : 0 }, (_, i) => ({
    k: new Variable(`keys ${i}`, [context, width]),
    v: new Variable(`values ${i}`, [context, width]),
  }));
  const token = gather(tape.tensor, reshape(position, [1]));
  let logits: Tensor;
  let now: readonly Cache[] = [];
  if (cache) {
    const before = caches.map(({ k, v }) => ({ k: k.tensor, v: v.tensor }));
    ({ logits, caches: now } = model.step(token, position, before));
  } else {
    const hidden = model.forward(reshape(slice(tape.tensor, 0, 0, context), [1, context]));
    logits = model.logits(gather(reshape(hidden, [context, width]), reshape(position, [1])));
  }
  const u = uniform([1], random);
  const [heat, most, share] = settings.map(({ tensor }) => tensor) as [Tensor, Tensor, Tensor];
  const drawn = sampleBy(logits, u, { temperature: heat, topK: most, topP: share });
  const places = iota([context + 1], 0, 'u32');
  const next = add(position, one);
  // Where the prompt has no token.
  const isNext = mul(equal(places, next), greater(add(next, one), prompt.tensor));
  const updates = [
    { variable: tape, value: where(isNext, drawn, tape.tensor) },
    { variable: at, value: next },
    { variable: count, value: add(count.tensor, one) },
    ...caches.flatMap(({ k, v }, i) => [
      { variable: k, value: now[i]!.k },
      { variable: v, value: now[i]!.v },
    ]),
  ];
  return {
    ...{ tape, at, prompt, count, key, settings, caches },
    graph: { outputs: { logits, u, token: drawn }, updates },
  };
}

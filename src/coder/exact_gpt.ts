// A gpt's distributions in doubles, of + − × ÷ and square roots in one fixed order, which IEEE 754 fixes to the bit: so that who
// decodes gets the very numbers of who encoded, in any engine and without a device, where matmuls on GPUs round as they like.
import type { GPT, GPTOptions } from '../models/gpt.ts';
import { exp, tanh } from './exact_math.ts';

const EPSILON = 1e-5;
const SQRT_TWO_OVER_PI = 0.7978845608028654;
const CUBIC = 0.044715;
/** Columns of a weight that are computed together, and so lie together. */
const COLUMNS = 4;
/** Of the context, what is kept of the last tokens when it is full. */
const KEPT = 0.5;

type Values = ReadonlyMap<string, { readonly data: Float32Array }>;

/** y = x·W + b, its weight cut into strips of a few columns. */
class ExactLinear {
  readonly inputs: number;
  readonly outputs: number;
  private readonly strips: Float32Array;
  private readonly bias: Float64Array;

  /** @param at the weight of an input for an output */
  constructor(inputs: number, outputs: number, at: (input: number, output: number) => number, bias?: Float32Array) {
    this.inputs = inputs;
    this.outputs = outputs;
    const count = Math.ceil(outputs / COLUMNS);
    this.strips = new Float32Array(count * inputs * COLUMNS);
    for (let j = 0; j < outputs; j++) {
      const first = Math.floor(j / COLUMNS) * inputs * COLUMNS + (j % COLUMNS);
      for (let i = 0; i < inputs; i++) this.strips[first + i * COLUMNS] = at(i, j);
    }
    this.bias = new Float64Array(count * COLUMNS);
    if (bias) this.bias.set(bias);
  }

  /** Of rows that lie one behind the other; each sum goes over the inputs in order, however many rows there are. */
  forward(x: Float64Array, rows: number): Float64Array {
    const { inputs, outputs, strips, bias } = this;
    const y = new Float64Array(rows * outputs);
    for (let j = 0; j < outputs; j += COLUMNS) {
      const strip = strips.subarray(j * inputs, (j + COLUMNS) * inputs);
      const width = Math.min(COLUMNS, outputs - j);
      let row = 0;
      for (; row + 1 < rows; row += 2) this.pair(x, y, row, strip, j, width);
      if (row === rows) continue;
      // Pairs of values in brackets would be arrays to engines, and to be collected.
      let s0 = bias[j]!;
      let s1 = bias[j + 1]!;
      let s2 = bias[j + 2]!;
      let s3 = bias[j + 3]!;
      const from = row * inputs;
      for (let i = 0, at = 0; i < inputs; i++, at += COLUMNS) {
        const v = x[from + i]!;
        s0 += v * strip[at]!;
        s1 += v * strip[at + 1]!;
        s2 += v * strip[at + 2]!;
        s3 += v * strip[at + 3]!;
      }
      put(y, row * outputs + j, width, s0, s1, s2, s3);
    }
    return y;
  }

  /** Two rows at once: a weight is loaded once for both. */
  private pair(x: Float64Array, y: Float64Array, row: number, strip: Float32Array, j: number, width: number): void {
    const { inputs, outputs, bias } = this;
    let s0 = bias[j]!;
    let s1 = bias[j + 1]!;
    let s2 = bias[j + 2]!;
    let s3 = bias[j + 3]!;
    let t0 = s0;
    let t1 = s1;
    let t2 = s2;
    let t3 = s3;
    const from = row * inputs;
    const below = from + inputs;
    for (let i = 0, at = 0; i < inputs; i++, at += COLUMNS) {
      const u = x[from + i]!;
      const v = x[below + i]!;
      const w0 = strip[at]!;
      const w1 = strip[at + 1]!;
      const w2 = strip[at + 2]!;
      const w3 = strip[at + 3]!;
      s0 += u * w0;
      s1 += u * w1;
      s2 += u * w2;
      s3 += u * w3;
      t0 += v * w0;
      t1 += v * w1;
      t2 += v * w2;
      t3 += v * w3;
    }
    put(y, row * outputs + j, width, s0, s1, s2, s3);
    put(y, (row + 1) * outputs + j, width, t0, t1, t2, t3);
  }
}

function put(y: Float64Array, at: number, width: number, a: number, b: number, c: number, d: number): void {
  y[at] = a;
  if (width > 1) y[at + 1] = b;
  if (width > 2) y[at + 2] = c;
  if (width > 3) y[at + 3] = d;
}

interface Norm {
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

function layerNorm(x: Float64Array, { weight, bias }: Norm): Float64Array {
  const width = weight.length;
  const y = new Float64Array(x.length);
  for (let first = 0; first < x.length; first += width) {
    let mean = 0;
    for (let i = 0; i < width; i++) mean += x[first + i]!;
    mean /= width;
    let variance = 0;
    for (let i = 0; i < width; i++) variance += (x[first + i]! - mean) * (x[first + i]! - mean);
    const scale = 1 / Math.sqrt(variance / width + EPSILON);
    for (let i = 0; i < width; i++) y[first + i] = (x[first + i]! - mean) * scale * weight[i]! + bias[i]!;
  }
  return y;
}

function gelu(x: Float64Array): Float64Array {
  for (let i = 0; i < x.length; i++) {
    const v = x[i]!;
    x[i] = 0.5 * v * (1 + tanh(SQRT_TWO_OVER_PI * (v + CUBIC * v * v * v)));
  }
  return x;
}

interface Block {
  readonly norm1: Norm;
  readonly qkv: ExactLinear;
  readonly project: ExactLinear;
  readonly norm2: Norm;
  readonly grow: ExactLinear;
  readonly shrink: ExactLinear;
  /** Of the tokens in the window: [context, width]. */
  readonly keys: Float64Array;
  readonly values: Float64Array;
}

/** What comes next, token by token, in windows: when one is full, its last half begins the next. */
export class ExactGpt {
  readonly vocabulary: number;
  private readonly options: GPTOptions;
  private readonly tokenEmbedding: Float64Array;
  private readonly positionEmbedding: Float64Array;
  private readonly blocks: readonly Block[];
  private readonly lastNorm: Norm;
  private readonly head: ExactLinear;
  /** Tokens in the window. */
  private window: number[] = [];

  /** @param values the model's weights, by name */
  constructor({ options }: Pick<GPT, 'options'>, values: Values) {
    const { vocabulary, context, layers, width } = options;
    const of = (name: string) => values.get(`transformer.${name}`)!.data;
    const norm = (name: string): Norm => ({
      weight: Float64Array.from(of(`${name}.weight`)),
      bias: Float64Array.from(of(`${name}.bias`)),
    });
    const linear = (name: string, inputs: number, outputs: number) => {
      const weight = of(`${name}.weight`);
      return new ExactLinear(inputs, outputs, (i, j) => weight[i * outputs + j]!, of(`${name}.bias`));
    };
    this.options = options;
    this.vocabulary = vocabulary;
    this.tokenEmbedding = Float64Array.from(of('wte.weight'));
    this.positionEmbedding = Float64Array.from(of('wpe.weight'));
    this.blocks = Array.from({ length: layers }, (_, i) => ({
      norm1: norm(`h.${i}.ln_1`),
      qkv: linear(`h.${i}.attn.c_attn`, width, 3 * width),
      project: linear(`h.${i}.attn.c_proj`, width, width),
      norm2: norm(`h.${i}.ln_2`),
      grow: linear(`h.${i}.mlp.c_fc`, width, 4 * width),
      shrink: linear(`h.${i}.mlp.c_proj`, 4 * width, width),
      keys: new Float64Array(context * width),
      values: new Float64Array(context * width),
    }));
    this.lastNorm = norm('ln_f');
    this.head = new ExactLinear(width, vocabulary, (i, j) => this.tokenEmbedding[j * width + i]!);
  }

  /** Forgets all tokens. */
  reset(): void {
    this.window = [];
  }

  /** Takes a token, and gives the logits of the one behind it. */
  next(token: number): Float64Array {
    return this.logits([token]);
  }

  /**
   * Takes tokens, and gives the logits of what comes behind each: to the same bits as one at a time.
   *
   * @param tokens as many as `room` at most
   */
  logits(tokens: readonly number[]): Float64Array {
    const { context } = this.options;
    if (this.window.length === context) {
      const kept = this.window.slice(context - Math.floor(context * KEPT));
      this.window = [];
      if (kept.length > 0) this.hidden(kept);
    }
    return this.head.forward(layerNorm(this.hidden(tokens), this.lastNorm), tokens.length);
  }

  /** Tokens that may be taken at once. */
  get room(): number {
    const { context } = this.options;
    const { length } = this.window;
    return length === context ? context - Math.floor(context * KEPT) : context - length;
  }

  private hidden(tokens: readonly number[]): Float64Array {
    const { width } = this.options;
    const first = this.window.length;
    const x = new Float64Array(tokens.length * width);
    for (const [row, token] of tokens.entries()) {
      for (let i = 0; i < width; i++) {
        x[row * width + i] =
          this.tokenEmbedding[token * width + i]! + this.positionEmbedding[(first + row) * width + i]!;
      }
    }
    this.window.push(...tokens);
    for (const block of this.blocks) {
      addTo(x, block.project.forward(this.attend(block, layerNorm(x, block.norm1), first), tokens.length));
      const grown = gelu(block.grow.forward(layerNorm(x, block.norm2), tokens.length));
      addTo(x, block.shrink.forward(grown, tokens.length));
    }
    return x;
  }

  /** Of rows whose first is at a position, each by itself and those before it. */
  private attend({ qkv, keys, values }: Block, x: Float64Array, first: number): Float64Array {
    const { width, heads } = this.options;
    const size = width / heads;
    const rows = x.length / width;
    const all = qkv.forward(x, rows);
    const scale = 1 / Math.sqrt(size);
    const y = new Float64Array(x.length);
    const weights = new Float64Array(first + rows);
    for (let row = 0; row < rows; row++) {
      const [from, here] = [row * 3 * width, (first + row) * width];
      for (let i = 0; i < width; i++) {
        keys[here + i] = all[from + width + i]!;
        values[here + i] = all[from + 2 * width + i]!;
      }
      const seen = first + row + 1;
      for (let head = 0; head < width; head += size) {
        let most = -Infinity;
        for (let j = 0; j < seen; j++) {
          let sum = 0;
          for (let i = head; i < head + size; i++) sum += all[from + i]! * keys[j * width + i]!;
          weights[j] = sum * scale;
          most = Math.max(most, weights[j]!);
        }
        let total = 0;
        for (let j = 0; j < seen; j++) {
          weights[j] = exp(weights[j]! - most);
          total += weights[j]!;
        }
        for (let j = 0; j < seen; j++) {
          const weight = weights[j]! / total;
          for (let i = head; i < head + size; i++) y[row * width + i]! += weight * values[j * width + i]!;
        }
      }
    }
    return y;
  }
}

function addTo(x: Float64Array, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += y[i]!;
}

// A decoder-only transformer under GPT-2's names (Radford and others, Language Models are Unsupervised Multitask Learners, 2019).
import { OptionError } from '../errors.ts';
import { normal, zeros } from '../nn/init.ts';
import { Layer } from '../nn/layers.ts';
import { Module, Parameter } from '../nn/module.ts';
import { LayerNorm } from '../nn/norm.ts';
import { Dropout, Embedding } from '../nn/pool.ts';
import { attention } from '../ops/attention.ts';
import { crossEntropy } from '../ops/cross_entropy.ts';
import { add, equal, less, where } from '../ops/elementwise.ts';
import { gather } from '../ops/gather.ts';
import { geluTanh } from '../ops/gelu_tanh.ts';
import { chunkFor, linearCrossEntropy } from '../ops/linear_cross_entropy.ts';
import { matmul } from '../ops/matmul.ts';
import { mean } from '../ops/reduce.ts';
import { constant, iota } from '../ops/source.ts';
import { scope, show, type Tensor } from '../ops/tensor.ts';
import { reshape, slice } from '../ops/view.ts';
import { checkSizes } from './networks.ts';

export interface GPTOptions {
  /** Tokens that there are. */
  readonly vocabulary: number;
  /** Tokens that are seen at once. */
  readonly context: number;
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
  readonly dropout?: number;
}

/**
 * What weights are drawn from: GPT-2's 0.02 at its width of 768, and in narrower models more, so that what goes into a matmul has the
 * same size behind it at any width. (nanoGPT keeps 0.02, by which its recipe for a CPU, of width 128, ends 0.15 nats a character worse.)
 */
const stdOf = (width: number) => 0.02 * Math.sqrt(768 / width);

/** y = x·W + b with W [in, out], as GPT-2's files have it. */
export class Conv1D extends Layer {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(inFeatures: number, outFeatures: number, std: number) {
    super();
    this.weight = new Parameter([inFeatures, outFeatures], normal(std));
    this.bias = new Parameter([outFeatures], zeros);
  }

  override forward(x: Tensor): Tensor {
    const [inFeatures, outFeatures] = this.weight.shape as [number, number];
    const rows = reshape(x, [x.size / inFeatures, inFeatures]);
    return reshape(add(matmul(rows, this.weight.tensor), this.bias.tensor), [...x.shape.slice(0, -1), outFeatures]);
  }
}

class Attention extends Module {
  readonly c_attn: Conv1D;
  readonly c_proj: Conv1D;
  private readonly heads: number;

  constructor({ width, heads }: GPTOptions, std: number) {
    super();
    this.c_attn = new Conv1D(width, 3 * width, stdOf(width));
    this.c_proj = new Conv1D(width, width, std);
    this.heads = heads;
  }

  forward(x: Tensor): Tensor {
    const width = x.shape.at(-1)!;
    const all = scope('c_attn', () => this.c_attn.forward(x));
    const [q, k, v] = [0, 1, 2].map((i) => slice(all, -1, i * width, (i + 1) * width)) as [Tensor, Tensor, Tensor];
    const [y] = attention(q, k, v, { heads: this.heads, causal: true });
    return scope('c_proj', () => this.c_proj.forward(y));
  }

  /** Of one token, [1, 1, width], at a position, by those before it. */
  step(x: Tensor, position: Tensor, cache: Cache): { y: Tensor; cache: Cache } {
    const width = x.shape.at(-1)!;
    const all = reshape(
      scope('c_attn', () => this.c_attn.forward(x)),
      [1, 3 * width],
    );
    const [q, k, v] = [0, 1, 2].map((i) => slice(all, 1, i * width, (i + 1) * width)) as [Tensor, Tensor, Tensor];
    const [context] = cache.k.shape as [number];
    const here = iota([context, 1], 0, 'u32');
    const put = (row: Tensor, rows: Tensor) => where(equal(here, position), row, rows);
    const now = { k: put(k, cache.k), v: put(v, cache.v) };
    const batched = (rows: Tensor) => reshape(rows, [1, ...rows.shape]);
    const mask = reshape(less(iota([context], 0, 'u32'), add(position, constant(1, 'u32'))), [1, 1, 1, context]);
    const [y] = attention(batched(q), batched(now.k), batched(now.v), { heads: this.heads, mask });
    return { y: scope('c_proj', () => this.c_proj.forward(y)), cache: now };
  }
}

/** Keys and values of the tokens so far: [context, width] each. */
export interface Cache {
  readonly k: Tensor;
  readonly v: Tensor;
}

class MLP extends Layer {
  readonly c_fc: Conv1D;
  readonly c_proj: Conv1D;

  constructor(width: number, std: number) {
    super();
    this.c_fc = new Conv1D(width, 4 * width, stdOf(width));
    this.c_proj = new Conv1D(4 * width, width, std);
  }

  override forward(x: Tensor): Tensor {
    const hidden = geluTanh(scope('c_fc', () => this.c_fc.forward(x)));
    return scope('c_proj', () => this.c_proj.forward(hidden));
  }
}

class Block extends Layer {
  readonly ln_1: LayerNorm;
  readonly attn: Attention;
  readonly ln_2: LayerNorm;
  readonly mlp: MLP;
  private readonly dropout: Dropout | undefined;

  constructor(options: GPTOptions) {
    super();
    const { width, layers, dropout = 0 } = options;
    // What adds to the residual stream starts smaller the more such there are (section 2.3).
    const std = stdOf(width) / Math.sqrt(2 * layers);
    this.ln_1 = new LayerNorm(width);
    this.attn = new Attention(options, std);
    this.ln_2 = new LayerNorm(width);
    this.mlp = new MLP(width, std);
    if (dropout > 0) this.dropout = new Dropout(dropout);
  }

  private dropped(x: Tensor): Tensor {
    return this.dropout ? this.dropout.forward(x) : x;
  }

  override forward(x: Tensor): Tensor {
    const normed = scope('ln_1', () => this.ln_1.forward(x));
    const attended = add(x, this.dropped(scope('attn', () => this.attn.forward(normed))));
    const again = scope('ln_2', () => this.ln_2.forward(attended));
    return add(attended, this.dropped(scope('mlp', () => this.mlp.forward(again))));
  }
}

/** The same as a block's `forward`, of one token. */
function stepOf(block: Block, x: Tensor, position: Tensor, before: Cache): { y: Tensor; cache: Cache } {
  const { attn, ln_1, ln_2, mlp } = block;
  const { y, cache } = scope('attn', () => attn.step(ln_1.forward(x), position, before));
  const attended = add(x, y);
  return {
    y: add(
      attended,
      scope('mlp', () => mlp.forward(ln_2.forward(attended))),
    ),
    cache,
  };
}

class Transformer extends Module {
  readonly wte: Embedding;
  readonly wpe: Embedding;
  readonly h: readonly Block[];
  readonly ln_f: LayerNorm;

  constructor(options: GPTOptions) {
    super();
    const { vocabulary, context, width, layers } = options;
    this.wte = new Embedding(vocabulary, width, normal(stdOf(width)));
    this.wpe = new Embedding(context, width, normal(stdOf(width)));
    this.h = Array.from({ length: layers }, () => new Block(options));
    this.ln_f = new LayerNorm(width);
  }
}

/** A transformer that says of each token what the next one may be; the last matmul has the embedding's own weight. */
export class GPT extends Module {
  readonly transformer: Transformer;
  readonly options: GPTOptions;
  private readonly dropout: Dropout | undefined;

  constructor(options: GPTOptions) {
    super();
    const { vocabulary, context, layers, heads, width, dropout = 0 } = options;
    checkSizes('GPT', { vocabulary, context, layers, heads, width });
    if (width % heads !== 0) throw new OptionError(`GPT: the width ${width} is not a multiple of ${heads} heads`);
    this.options = options;
    this.transformer = new Transformer(options);
    if (dropout > 0) this.dropout = new Dropout(dropout);
  }

  /** What is known at each of tokens u32 [N, T], T being at most the context: [N, T, width]. */
  forward(tokens: Tensor): Tensor {
    const { wte, wpe, h, ln_f } = this.transformer;
    const length = tokens.shape[1]!;
    const { context } = this.options;
    if (length > context) throw new OptionError(`GPT: ${show(tokens.shape)} tokens exceed the context of ${context}`);
    return scope('transformer', () => {
      const embedded = add(
        scope('wte', () => wte.forward(tokens)),
        slice(wpe.weight.tensor, 0, 0, length),
      );
      let x = this.dropout ? this.dropout.forward(embedded) : embedded;
      for (const [i, block] of h.entries()) x = scope(`h.${i}`, () => block.forward(x));
      return scope('ln_f', () => ln_f.forward(x));
    });
  }

  /**
   * The next token's logits [1, vocabulary] after one token, u32 [1], at a position, u32 scalar below the context, and the caches
   * of the blocks with that token in them.
   */
  step(token: Tensor, position: Tensor, caches: readonly Cache[]): { logits: Tensor; caches: readonly Cache[] } {
    const { wte, wpe, h, ln_f } = this.transformer;
    const { width, vocabulary } = this.options;
    return scope('transformer', () => {
      const embedded = add(wte.forward(token), gather(wpe.weight.tensor, reshape(position, [1])));
      let x: Tensor = reshape(embedded, [1, 1, width]);
      const now = h.map((block, i) => {
        const { y, cache } = scope(`h.${i}`, () => stepOf(block, x, position, caches[i]!));
        x = y;
        return cache;
      });
      return { logits: reshape(this.logits(ln_f.forward(x)), [1, vocabulary]), caches: now };
    });
  }

  /** Of what `forward` gives, […, width]: […, vocabulary]. */
  logits(hidden: Tensor): Tensor {
    const { width, vocabulary } = this.options;
    const rows = reshape(hidden, [hidden.size / width, width]);
    const logits = matmul(rows, this.transformer.wte.weight.tensor, { transposeB: true });
    return reshape(logits, [...hidden.shape.slice(0, -1), vocabulary]);
  }

  /**
   * −log p of the tokens behind the first, u32 [N, T + 1], each by those before it: nats a token, [N]. Of a large vocabulary the logits
   * are never all in memory.
   */
  loss(tokens: Tensor): Tensor {
    const { vocabulary, width } = this.options;
    const [batch, length] = tokens.shape as [number, number];
    const hidden = this.forward(slice(tokens, 1, 0, length - 1));
    return scope('loss', () => {
      const count = batch * (length - 1);
      const next = reshape(slice(tokens, 1, 1), [count]);
      const losses =
        vocabulary > 2 * chunkFor(count)
          ? linearCrossEntropy(reshape(hidden, [count, width]), this.transformer.wte.weight.tensor, next)
          : crossEntropy(reshape(this.logits(hidden), [count, vocabulary]), next);
      return mean(reshape(losses, [batch, length - 1]), { axis: 1 });
    });
  }
}

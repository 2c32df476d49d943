// Attention and the block of a transformer, under PyTorch's names.
import { OptionError, ShapeError } from '../errors.ts';
import { attention } from '../ops/attention.ts';
import { gelu } from '../ops/composite.ts';
import { add, relu } from '../ops/elementwise.ts';
import { matmul } from '../ops/matmul.ts';
import { scope, show, type Tensor } from '../ops/tensor.ts';
import { slice } from '../ops/view.ts';
import { xavierUniform, zeros } from './init.ts';
import { type Layer, Linear } from './layers.ts';
import { Module, Parameter } from './module.ts';
import { LayerNorm } from './norm.ts';
import { Dropout } from './pool.ts';

export interface MultiheadAttentionOptions {
  /** Whether the projections have biases. */
  readonly bias?: boolean;
}

export interface AttendOptions {
  /** A query sees no key behind its own position. */
  readonly causal?: boolean;
  /** f32 [N, heads, T, S] or 1 in place of any: a query sees a key where this is above 0. */
  readonly mask?: Tensor | undefined;
}

/**
 * Attention by several heads, as PyTorch's with `batch_first`: in_proj_weight [3 · width, width] and in_proj_bias for query, key
 * and value one below the other, and `out_proj`. There is no dropout of the weights of attention.
 */
export class MultiheadAttention extends Module {
  readonly in_proj_weight: Parameter;
  readonly in_proj_bias: Parameter | undefined;
  readonly out_proj: Linear;
  private readonly width: number;
  private readonly heads: number;

  constructor(width: number, heads: number, { bias = true }: MultiheadAttentionOptions = {}) {
    super();
    if (!(heads > 0) || width % heads !== 0)
      throw new OptionError(`MultiheadAttention: the width ${width} is not a multiple of ${heads} heads`);
    this.in_proj_weight = new Parameter([3 * width, width], xavierUniform);
    if (bias) this.in_proj_bias = new Parameter([3 * width], zeros);
    this.out_proj = new Linear(width, width, { bias });
    // As PyTorch begins with it.
    if (this.out_proj.bias) Object.assign(this.out_proj, { bias: new Parameter([width], zeros) });
    this.width = width;
    this.heads = heads;
  }

  private project(x: Tensor, from: number, to: number): Tensor {
    const { width, in_proj_weight, in_proj_bias } = this;
    const part = (all: Tensor) => (to - from === 3 ? all : slice(all, 0, from * width, to * width));
    const y = matmul(x, part(in_proj_weight.tensor), { transposeB: true });
    return in_proj_bias ? add(y, part(in_proj_bias.tensor)) : y;
  }

  /**
   * @param query [N, T, width]
   * @param key [N, S, width], the query by default
   * @param value [N, S, width], the key by default
   * @returns [N, T, width]
   */
  forward(query: Tensor, key = query, value = key, options: AttendOptions = {}): Tensor {
    const { width, heads } = this;
    for (const x of [query, key, value]) {
      if (x.shape.length === 3 && x.shape[2] === width) continue;
      throw new ShapeError(`MultiheadAttention(${width}, ${heads}) got ${show(x.shape)}, and wants [N, T, ${width}]`);
    }
    const isSelf = key === query && value === query;
    const all = isSelf ? this.project(query, 0, 3) : undefined;
    const [q, k, v] = [query, key, value].map((x, i) =>
      all ? slice(all, -1, i * width, (i + 1) * width) : this.project(x, i, i + 1),
    ) as [Tensor, Tensor, Tensor];
    const [y] = attention(q, k, v, { heads, ...options });
    return scope('out_proj', () => this.out_proj.forward(y));
  }
}

export interface TransformerBlockOptions {
  /** Numbers between the two linear layers; 2048 by default, as PyTorch has it. */
  readonly hidden?: number;
  readonly dropout?: number;
  readonly activation?: 'relu' | 'gelu';
  /** Whether norms stand before attention and the linear layers, and not behind the sums. */
  readonly normFirst?: boolean;
}

/** PyTorch's TransformerEncoderLayer with `batch_first`: self_attn, linear1, linear2, norm1, norm2. [N, T, width] to the same. */
export class TransformerBlock extends Module {
  readonly self_attn: MultiheadAttention;
  readonly linear1: Linear;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  private readonly dropout: Dropout | undefined;
  private readonly activate: (x: Tensor) => Tensor;
  private readonly normFirst: boolean;

  constructor(width: number, heads: number, options: TransformerBlockOptions = {}) {
    super();
    const { hidden = 2048, dropout = 0.1, activation = 'relu', normFirst = false } = options;
    this.self_attn = new MultiheadAttention(width, heads);
    this.linear1 = new Linear(width, hidden);
    this.linear2 = new Linear(hidden, width);
    this.norm1 = new LayerNorm(width);
    this.norm2 = new LayerNorm(width);
    if (dropout > 0) this.dropout = new Dropout(dropout);
    this.activate = activation === 'gelu' ? gelu : relu;
    this.normFirst = normFirst;
  }

  private dropped(x: Tensor): Tensor {
    return this.dropout ? this.dropout.forward(x) : x;
  }

  private feed(x: Tensor): Tensor {
    const hidden = this.activate(scope('linear1', () => this.linear1.forward(x)));
    return this.dropped(scope('linear2', () => this.linear2.forward(this.dropped(hidden))));
  }

  forward(x: Tensor, options: AttendOptions = {}): Tensor {
    const attend = (of: Tensor) => this.dropped(scope('self_attn', () => this.self_attn.forward(of, of, of, options)));
    const norm = (layer: Layer, name: string, of: Tensor) => scope(name, () => layer.forward(of));
    const { norm1, norm2 } = this;
    if (this.normFirst) {
      const attended = add(x, attend(norm(norm1, 'norm1', x)));
      return add(attended, this.feed(norm(norm2, 'norm2', attended)));
    }
    const attended = norm(norm1, 'norm1', add(x, attend(x)));
    return norm(norm2, 'norm2', add(attended, this.feed(attended)));
  }
}

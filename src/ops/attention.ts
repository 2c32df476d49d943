// Attention, softmax(scale · Q·Kᵀ)·V by heads, in one kernel, and its gradient in two, without a matrix of scores in memory.
import { ShapeError } from '../errors.ts';
import { attentionKernels } from './attention_kernels.ts';
import {
  type AttentionAttrs,
  attentionReference,
  gradientReferences,
  randomSample,
  samplesOf,
} from './attention_reference.ts';
import { defineOp } from './define.ts';
import { mul, sub } from './elementwise.ts';
import { sum } from './reduce.ts';
import { apply, applyAll, elementType, type Op, type ResultType, show, type Tensor } from './tensor.ts';
import { padTo, reshape, type Slice, slice, sliceOp } from './view.ts';

type Node = Tensor<AttentionAttrs>;

/** Greatest size of a head: its numbers are held in registers. */
const MOST = 128;

function check([q, k, v, ...rest]: readonly Tensor[], { heads, size, columns }: AttentionAttrs, masked: boolean) {
  const operands = [q!, k!, v!];
  const got = operands.map(({ shape, dtype }) => `${dtype}${show(shape)}`).join(', ');
  const [n, , s] = [q!.shape[0], q!.shape[1], k!.shape[1]];
  const fits = operands.every(({ shape, dtype }) => dtype === 'f32' && shape.length === 3 && shape[0] === n);
  if (!fits || v!.shape[1] !== s) throw new ShapeError(`wants q f32 [N, T, …], k and v f32 [N, S, …], got ${got}`);
  if (!(size > 0 && size <= MOST && size % 4 === 0) || !(heads > 0)) {
    throw new ShapeError(`wants heads of 4, 8, … ${MOST} numbers, got ${heads} of ${size}`);
  }
  operands.forEach(({ shape }, i) => {
    const [width, first] = [shape[2]!, columns[i]!];
    if (width % 4 !== 0 || first % 4 !== 0 || first + heads * size > width) {
      throw new ShapeError(
        `wants ${heads} heads of ${size} from column ${first} on in rows of 4 or 8 or …, got ${got}`,
      );
    }
  });
  if (!masked) return;
  const mask = rest.at(-1)!;
  const full = [n!, heads, q!.shape[1]!, s!];
  if (mask.dtype !== 'f32' || mask.shape.length !== 4 || mask.shape.some((dim, i) => dim !== 1 && dim !== full[i])) {
    throw new ShapeError(`wants a mask f32 ${show(full)}, or 1 in place of any of these, got ${show(mask.shape)}`);
  }
}

interface AttentionOps {
  readonly forward: Op<AttentionAttrs>;
  readonly query: Op<AttentionAttrs>;
  readonly key: Op<AttentionAttrs>;
}

function define(masked: boolean): AttentionOps {
  const named = (name: string) => (masked ? `masked${name[0]!.toUpperCase()}${name.slice(1)}` : name);
  const query = defineOp<AttentionAttrs>({
    name: named('attentionQueryGradient'),
    infer(inputs, attrs): ResultType {
      check(inputs, attrs, masked);
      return { shape: [...inputs[0]!.shape.slice(0, 2), attrs.heads * attrs.size], dtype: 'f32' };
    },
    kernel: attentionKernels('query', masked),
    check: CHECKS && {
      reference: (inputs, attrs) => gradientReferences(inputs, attrs).dq,
      samples: samplesOf(masked, true),
    },
  });
  const key = defineOp<AttentionAttrs>({
    name: named('attentionKeyGradient'),
    infer(inputs, attrs): ResultType {
      check(inputs, attrs, masked);
      return { shape: [2, ...inputs[1]!.shape.slice(0, 2), attrs.heads * attrs.size], dtype: 'f32' };
    },
    kernel: attentionKernels('key', masked),
    check: CHECKS && {
      reference: (inputs, attrs) => gradientReferences(inputs, attrs).dkv,
      samples: samplesOf(masked, true),
    },
  });
  const forward = defineOp<AttentionAttrs>({
    name: named('attention'),
    infer(inputs, attrs): ResultType[] {
      check(inputs, attrs, masked);
      const [n, t] = inputs[0]!.shape as [number, number];
      return [
        { shape: [n, t, attrs.heads * attrs.size], dtype: 'f32' },
        { shape: [n, t, attrs.heads], dtype: 'f32' },
      ];
    },
    kernel: attentionKernels('forward', masked),
    grad: (node, g, gLse) => gradient(node, g!, gLse!, { query, key }, masked),
    check: CHECKS && {
      reference: attentionReference,
      samples: samplesOf(masked, false),
      random: (int) => randomSample(int, masked),
    },
  });
  return { forward, query, key };
}

function gradient(node: Node, g: Tensor, gLse: Tensor, ops: Omit<AttentionOps, 'forward'>, masked: boolean) {
  const { inputs, attrs, all } = node;
  const [y, lse] = all as readonly [Tensor, Tensor];
  const { heads, size, columns } = attrs;
  const [n, t] = y.shape as [number, number];
  const delta = sub(sum(reshape(mul(g, y), [n, t, heads, size]), { axis: 3 }), gLse);
  const operands = [...inputs.slice(0, 3), g, lse, delta, ...inputs.slice(3)];
  const dq = apply(ops.query, operands, attrs);
  const dkv = apply(ops.key, operands, attrs);
  const [dk, dv] = [0, 1].map((i) => reshape(slice(dkv, 0, i, i + 1), dkv.shape.slice(1))) as [Tensor, Tensor];
  // Where heads are a part of a row, the rest of it has no slope.
  const widened = [dq, dk, dv].map((d, i) => {
    const { shape } = inputs[i]!;
    return d.shape[2] === shape[2] ? d : padTo(d, shape, [0, 0, columns[i]!]);
  });
  return [...widened, ...(masked ? [undefined] : [])];
}

const plain = define(false);
const masked = define(true);

export const attentionOp = plain.forward;
export const attentionQueryGradientOp = plain.query;
export const attentionKeyGradientOp = plain.key;
export const maskedAttentionOp = masked.forward;
export const maskedAttentionQueryGradientOp = masked.query;
export const maskedAttentionKeyGradientOp = masked.key;

export interface AttentionOptions {
  readonly heads: number;
  /** A query sees no key behind its own position. */
  readonly causal?: boolean;
  /** f32, [N, heads, T, S] or 1 in place of any of these: a query sees a key where this is above 0. It has no gradient. */
  readonly mask?: Tensor | undefined;
  /** Factor of the scores, 1/√(numbers of a head) by default. */
  readonly scale?: number;
}

/** Whose columns an operand is, and from which on: it is read there. */
function whole(x: Tensor): { operand: Tensor; column: number } {
  if (x.op !== sliceOp || x.inputs[0]!.dtype !== 'f32') return { operand: x, column: 0 };
  const [operand] = x.inputs as [Tensor];
  const { starts, sizes } = x.attrs as Slice;
  const column = starts.at(-1)!;
  const isColumns = sizes.every((size, i) => i === sizes.length - 1 || size === operand.shape[i]);
  const isWide = column % 4 === 0 && operand.shape.at(-1)! % 4 === 0;
  return isColumns && isWide ? { operand, column } : { operand: x, column: 0 };
}

/**
 * Attention of q [N, T, heads · D] to k and v [N, S, heads · D] (Vaswani and others, Attention Is All You Need, 2017, equation
 * 1), D being at most 128. Memory grows with T and S, not with T · S, forward and backward. Slices of the last axis, as of one
 * matmul that makes q, k and v, are read where they lie.
 *
 * @returns the result [N, T, heads · D], and the logsumexp of each query's scores [N, T, heads]. A query that sees no key
 *   gives 0, and −3.4·10³⁸.
 * @throws ShapeError if these do not fit one another
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): readonly [Tensor, Tensor] {
  const { heads, causal = false, mask } = options;
  const width = q.shape.at(-1) ?? 0;
  if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0) {
    throw new ShapeError(`attention: ${width} columns of q are not ${heads} heads of one size`);
  }
  for (const [name, x] of Object.entries({ k, v })) {
    if (x.shape.at(-1) !== width) {
      throw new ShapeError(`attention: q ${show(q.shape)} and ${name} ${show(x.shape)} must be of one width`);
    }
  }
  const own = width / heads;
  // Zeros beside a head change no score, and are left out of the result.
  const size = Math.ceil(own / 4) * 4;
  const widen = (x: Tensor) => {
    const lead = x.shape.slice(0, -1);
    const each = [...lead, heads, own];
    return reshape(
      padTo(
        reshape(x, each),
        [...lead, heads, size],
        each.map(() => 0),
      ),
      [...lead, heads * size],
    );
  };
  const parts = [q, k, v].map((x) => (elementType(x.dtype) === 'f32' && size !== own ? widen(x) : x)).map(whole);
  const columns = parts.map(({ column }) => column) as unknown as AttentionAttrs['columns'];
  const attrs = { heads, size, columns, causal, scale: options.scale ?? 1 / Math.sqrt(own) };
  const operands = parts.map(({ operand }) => operand);
  const results = mask
    ? applyAll(maskedAttentionOp, [...operands, mask], attrs)
    : applyAll(attentionOp, operands, attrs);
  const [y, lse] = results as readonly [Tensor, Tensor];
  if (size === own) return [y, lse];
  const lead = y.shape.slice(0, -1);
  return [reshape(slice(reshape(y, [...lead, heads, size]), -1, 0, own), [...lead, width]), lse];
}

// Rewrites a graph to one that computes the same with less, by a table of rules: each has a name, the ops that it is for,
// and a reason.
import { ShapeError } from '../errors.ts';
import { elementwise, isFinite, mul } from '../ops/elementwise.ts';
import { matmulOp } from '../ops/matmul.ts';
import { parallelismOf } from '../ops/parallelism.ts';
import { logsumexpOp, maxOp, type ReduceAttrs, sumOp, threadsFolding } from '../ops/reduce.ts';
import { constant, constantOp } from '../ops/source.ts';
import {
  type AdapterTraits,
  apply,
  type DType,
  decomposed,
  elementType,
  type Shape,
  sameShape,
  scope,
  sizeOf,
  type Tensor,
  where,
} from '../ops/tensor.ts';
import {
  broadcastTo,
  broadcastToOp,
  concat,
  concatOp,
  reshape,
  reshapeOp,
  sliceOp,
  stopGradientOp,
  transpose,
  transposeOp,
} from '../ops/view.ts';
import { keyOf } from './equal.ts';
import { type Graph, printGraph, rewrite, rootsOf, topological } from './graph.ts';
import { elementwiseOfTransposes, matmulOfTransposes, reductionOfTranspose, sliceOfTranspose } from './layout.ts';

/** The number that every element of a tensor is, if that is known. */
function constantValue(node: Tensor): number | undefined {
  let at = node;
  while (at.op === broadcastToOp || at.op === reshapeOp || at.op === stopGradientOp) at = at.inputs[0]!;
  if (at.op !== constantOp) return undefined;
  const { value } = at.attrs as { value: number };
  return elementType(at.dtype) === 'u32' ? value >>> 0 : value;
}

function filled(value: number, dtype: DType, shape: Shape): Tensor {
  return broadcastTo(constant(value, dtype), shape);
}

/** Inputs of a concatenation that one kernel may have to bind, with room for what is fused to it. */
const MANY = 4;

/** One way to compute the same with less. */
interface Rule {
  /** What it does, for traces. */
  readonly name: string;
  /** The ops whose nodes it is tried on; by default all. */
  readonly ops?: readonly unknown[];
  /**
   * What stands for the node, if it applies.
   *
   * @param users how many nodes use an input of the node, by its position, as the graph stood before this round
   */
  apply(node: Tensor, users: (input: number) => number): Tensor | undefined;
}

const ELEMENTWISE = Object.values(elementwise);
/** Reductions whose results over parts reduce to that over the whole, by the same op. */
const REDUCTIONS: readonly unknown[] = [sumOp, maxOp, logsumexpOp];

/** What an operand may be replaced by in an elementwise op, which broadcasts by itself. */
function unbroadcast(operand: Tensor, others: readonly Tensor[], shape: Shape): Tensor {
  const value = constantValue(operand);
  const fits = (candidate: Tensor) => {
    const rank = Math.max(candidate.shape.length, ...others.map((other) => other.shape.length));
    if (rank !== shape.length) return false;
    const covered = shape.map((dim, axis) =>
      [candidate, ...others].some((x) => (x.shape[axis - rank + x.shape.length] ?? 1) === dim),
    );
    return covered.every(Boolean);
  };
  if (value !== undefined && operand.shape.length > 0) {
    const scalar = constant(value, operand.dtype);
    if (fits(scalar)) return scalar;
  }
  if (operand.op === broadcastToOp && fits(operand.inputs[0]!)) return operand.inputs[0]!;
  return operand;
}

/** In the order in which they are tried. To add one is to add an entry. */
const rules: readonly Rule[] = [
  {
    // Composite ops are their parts.
    name: 'composite ops are their parts',
    apply: (node) => (node.results ? undefined : decomposed(node)),
  },
  {
    // WGSL has no division of u32 by a constant that is 0.
    name: 'no division by the constant 0',
    ops: [elementwise.div, elementwise.divideFloor, elementwise.modulo],
    apply: (node) => {
      if (node.dtype !== 'u32' || constantValue(node.inputs[1]!) !== 0) return undefined;
      throw new ShapeError(`${where(node.path)}${node.op.name}: u32 divided by the constant 0`);
    },
  },
  {
    // What is known now need not be computed later.
    name: 'constants are folded',
    ops: ELEMENTWISE,
    apply: (node) => {
      const values = node.inputs.map(constantValue);
      if (!values.every((value) => value !== undefined)) return undefined;
      const value = node.op.fold!(values, node.inputs.at(-1)!.dtype);
      return Number.isFinite(Math.fround(value)) ? filled(value, node.dtype, node.shape) : undefined;
    },
  },
  {
    // Elementwise ops broadcast by themselves.
    name: 'elementwise ops broadcast by themselves',
    ops: ELEMENTWISE,
    apply: (node) => {
      const inputs = [...node.inputs];
      for (const [i, input] of inputs.entries()) {
        inputs[i] = unbroadcast(
          input,
          inputs.filter((_, j) => j !== i),
          node.shape,
        );
      }
      return inputs.some((input, i) => input !== node.inputs[i]) ? node.with({ inputs }) : undefined;
    },
  },
  {
    // x + 0, x − 0, x · 1, x / 1 are x.
    name: 'neutral elements are dropped',
    ops: [elementwise.add, elementwise.sub, elementwise.mul, elementwise.div],
    apply: (node) => {
      const [a, b] = node.inputs;
      const is = (x: Tensor | undefined, value: number) => x !== undefined && constantValue(x) === value;
      const keep = (x: Tensor) => (sameShape(x.shape, node.shape) ? x : undefined);
      if (node.op === elementwise.add && is(a, 0)) return keep(b!);
      if ((node.op === elementwise.add || node.op === elementwise.sub) && is(b, 0)) return keep(a!);
      if (node.op === elementwise.mul && is(a, 1)) return keep(b!);
      if ((node.op === elementwise.mul || node.op === elementwise.div) && is(b, 1)) return keep(a!);
      return undefined;
    },
  },
  {
    // Made smaller, what is finite stays so, and what is not does: the test reads what a kernel stored.
    name: 'a mean is finite where its sum is',
    ops: [elementwise.isFinite],
    apply: ({ inputs: [x] }) => {
      const [y, c] = x!.op === elementwise.mul ? factor(x!) : [];
      const isSame = c !== undefined && c !== 0 && Math.abs(c) <= 1 && sameShape(y!.shape, x!.shape);
      return isSame ? isFinite(y!) : undefined;
    },
  },
  {
    // (x · c) · d is x · (c d), unless x · c is needed anyway.
    name: 'constant factors are one',
    ops: [elementwise.mul],
    apply: (node, users) => {
      if (node.dtype !== 'f32') return undefined;
      const [x, c] = factor(node);
      if (c === undefined || x!.op !== elementwise.mul || users(node.inputs.indexOf(x!)) > 1) return undefined;
      const [y, d] = factor(x!);
      return d === undefined || !sameShape(y!.shape, node.shape) ? undefined : mul(y!, c * d);
    },
  },
  {
    // −(−x) is x.
    name: 'a double negation is none',
    ops: [elementwise.neg],
    apply: ({ inputs: [x] }) => (x!.op === elementwise.neg ? x!.inputs[0] : undefined),
  },
  {
    // The autodiff is done: what it must not see through is just a value now.
    name: 'stopGradient is its operand',
    ops: [stopGradientOp],
    apply: ({ inputs: [x] }) => (x!.dtype !== 'u8' ? x : undefined),
  },
  {
    // A reshape of a reshape is one; to the same shape, none.
    name: 'a reshape of a reshape is one',
    ops: [reshapeOp],
    apply: (node) => {
      const [x] = node.inputs;
      if (x!.op === reshapeOp) return reshape(x!.inputs[0]!, node.shape);
      const value = constantValue(x!);
      if (value !== undefined) return filled(value, x!.dtype, node.shape);
      return sameShape(x!.shape, node.shape) ? x : undefined;
    },
  },
  {
    // A broadcast of a broadcast is one; to the same shape, none.
    name: 'a broadcast of a broadcast is one',
    ops: [broadcastToOp],
    apply: (node) => {
      const [x] = node.inputs;
      if (x!.op === broadcastToOp) return broadcastTo(x!.inputs[0]!, node.shape);
      return sameShape(x!.shape, node.shape) ? x : undefined;
    },
  },
  {
    // A transpose that moves no axis of more than one element is a reshape; two are one.
    name: 'a transpose of a transpose is one',
    ops: [transposeOp],
    apply: (node) => {
      const [x] = node.inputs;
      const { axes } = node.attrs as { axes: readonly number[] };
      const moved = axes.filter((axis) => x!.shape[axis] !== 1);
      if (moved.every((axis, i) => i === 0 || axis > moved[i - 1]!)) return reshape(x!, node.shape);
      if (x!.op !== transposeOp) return undefined;
      const inner = (x!.attrs as { axes: readonly number[] }).axes;
      return transpose(
        x!.inputs[0]!,
        axes.map((axis) => inner[axis]!),
      );
    },
  },
  {
    // A slice of everything is the thing itself.
    name: 'a slice of everything is none',
    ops: [sliceOp],
    apply: (node) => (sameShape(node.shape, node.inputs[0]!.shape) ? node.inputs[0] : undefined),
  },
  {
    // Reducing axes of one element moves nothing.
    name: 'a reduction of single elements is a reshape',
    ops: REDUCTIONS,
    apply: (node) => {
      const [x] = node.inputs;
      const { axes } = node.attrs as ReduceAttrs;
      return axes.every((axis) => x!.shape[axis] === 1) ? reshape(x!, node.shape) : undefined;
    },
  },
  {
    // A sum of nothing is 0.
    name: 'a sum of nothing is 0',
    ops: [sumOp],
    apply: (node) => (node.inputs[0]!.size === 0 ? filled(0, 'f32', node.shape) : undefined),
  },
  {
    // A sum of equal numbers is a product.
    name: 'a sum of equal numbers is a product',
    ops: [sumOp],
    apply: (node) => {
      const value = constantValue(node.inputs[0]!);
      return value === undefined ? undefined : filled(value * (node.inputs[0]!.size / node.size), 'f32', node.shape);
    },
  },
  {
    // A factor that is the same all along a sum may as well follow it. Of a norm with a weight for each channel, the sums
    // over g·w are then those over g, which the weight's own gradient takes, too.
    name: 'a factor that is the same all along a sum follows it',
    ops: [sumOp],
    apply: (node) => {
      const { axes } = node.attrs as ReduceAttrs;
      const { shape } = node.inputs[0]!;
      const dimOf = (x: Tensor, axis: number) => x.shape[axis - shape.length + x.shape.length] ?? 1;
      const follows = (x: Tensor) => constantValue(x) === undefined && axes.every((axis) => dimOf(x, axis) === 1);
      const factors = factorsOf(node.inputs[0]!);
      const after = factors.filter(follows);
      const [first, ...rest] = factors.filter((x) => !follows(x));
      if (after.length === 0 || !first) return undefined;
      const inside = rest.reduce(mul, first);
      if (!sameShape(inside.shape, shape)) return undefined;
      const kept = [...shape.keys()].filter((axis) => !axes.includes(axis));
      const shrunk = after.map((x) =>
        reshape(
          x,
          kept.map((axis) => dimOf(x, axis)),
        ),
      );
      return shrunk.reduce<Tensor>(mul, apply(sumOp, [inside], node.attrs));
    },
  },
  {
    // A concatenation of many is one of concatenations: a kernel binds few buffers.
    name: 'a concatenation of many is one of concatenations',
    ops: [concatOp],
    apply: (node) => {
      if (node.inputs.length <= MANY) return undefined;
      const { axis } = node.attrs as { axis: number };
      const parts = Array.from({ length: Math.ceil(node.inputs.length / MANY) }, (_, i) =>
        concat(node.inputs.slice(i * MANY, (i + 1) * MANY), axis),
      );
      return concat(parts, axis);
    },
  },
  // Transposes move to where they cost nothing.
  { name: 'transposes follow elementwise ops', ops: ELEMENTWISE, apply: elementwiseOfTransposes },
  { name: 'transposes follow reductions', ops: REDUCTIONS, apply: reductionOfTranspose },
  { name: 'transposes follow slices', ops: [sliceOp], apply: sliceOfTranspose },
  { name: 'a matmul reads transposed operands in place', ops: [matmulOp], apply: matmulOfTransposes },
];

/** Factors that are looked at, of a sum's many. */
const MOST_FACTORS = 16;

/**
 * What an elementwise product multiplies, products among that taken apart; one that occurs twice is one factor, since its own
 * would double at each level.
 */
function factorsOf(x: Tensor): Tensor[] {
  const factors = [x];
  for (let i = 0; i < factors.length; ) {
    const at = factors[i]!;
    const once = at.op === elementwise.mul && at.dtype === 'f32' && at.inputs[0] !== at.inputs[1];
    const isFresh = factors.indexOf(at) === factors.lastIndexOf(at);
    if (once && isFresh && factors.length < MOST_FACTORS) factors.splice(i, 1, ...at.inputs);
    else i++;
  }
  return factors;
}

/** Splits a product into its tensor and its constant factor. */
function factor({ inputs: [a, b] }: Tensor): [Tensor | undefined, number | undefined] {
  const left = constantValue(a!);
  return left !== undefined ? [b, left] : [a, constantValue(b!)];
}

/** The rules to try on nodes of an op, in the table's order. */
const byOp = new Map<unknown, readonly number[]>();
function rulesOf(op: unknown): readonly number[] {
  let list = byOp.get(op);
  if (!list) {
    list = [...rules.keys()].filter((i) => rules[i]!.ops?.includes(op) ?? true);
    // Of a user's ops there may be any number; those that a rule names are few.
    if (rules.some(({ ops }) => ops?.includes(op))) byOp.set(op, list);
  }
  return list;
}

export interface SimplifyOptions {
  /** Is told each rule that fires, with the node that it was tried on and what stands for that. */
  readonly trace?: (rule: string, before: Tensor, after: Tensor) => void;
}

/** How often each node is an input of another. */
function usesIn(graph: Graph): Map<Tensor, number> {
  const uses = new Map<Tensor, number>();
  for (const { inputs } of topological(rootsOf(graph))) {
    for (const input of inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
  }
  return uses;
}

/** Applies the rules, and merges equal nodes, until nothing changes. Nodes that nothing needs fall away. */
export function simplify(graph: Graph, { trace }: SimplifyOptions = {}): Graph {
  let current = graph;
  // A node never changes, and so a rule that did not apply to it never will; unless it asked who else uses an input.
  const settled = new Set<Tensor>();
  const keys = new Map<Tensor, string>();
  for (let round = 0; round < 20; round++) {
    const unique = new Map<string, Tensor>();
    let changed = false;
    let uses: Map<Tensor, number> | undefined;
    const improved = (node: Tensor, before: Tensor): Tensor => {
      let result = node;
      let asked = false;
      const users = (input: number) => {
        asked = true;
        uses ??= usesIn(current);
        return before.inputs[input] ? (uses.get(before.inputs[input]) ?? 0) : 0;
      };
      let list = rulesOf(result.op);
      for (let i = 0; i < list.length; i++) {
        const at = list[i]!;
        const { name, apply } = rules[at]!;
        const better = apply(result, users);
        // How a value is stored is part of what was asked for.
        if (!better || better === result || (better.dtype === 'f16') !== (result.dtype === 'f16')) continue;
        trace?.(name, result, better);
        changed = true;
        result = better;
        // What stands for the node now may be of another op: the rules that follow in the table are tried on that.
        list = rulesOf(result.op);
        i = list.filter((other) => other <= at).length - 1;
      }
      if (result === node && !asked) settled.add(node);
      return result;
    };
    const next = rewrite(current, (node, before) => {
      const result = settled.has(node) ? node : scope(node.path, () => improved(node, before));
      let key = keys.get(result);
      if (key === undefined) {
        key = keyOf(result);
        keys.set(result, key);
      }
      const twin = unique.get(key);
      if (twin && twin !== result) changed = true;
      else unique.set(key, result);
      return twin ?? result;
    });
    if (!changed) return next;
    current = next;
  }
  throw new Error(`simplify does not come to rest:\n${printGraph(current)}`);
}

/** The divisor of `value` nearest to `target`, of those that are multiples of `unit` if there are any. */
function nearestDivisor(value: number, target: number, unit = 1): number {
  let best = 1;
  // Beyond twice the target, 1 is nearer.
  for (let divisor = unit; divisor <= Math.min(value, 2 * target); divisor += unit) {
    if (value % divisor === 0 && Math.abs(divisor - target) < Math.abs(best - target)) best = divisor;
  }
  return best === 1 && unit > 1 ? nearestDivisor(value, target) : best;
}

/** Steps below which one thread, or one workgroup of a GPU, may as well do the whole reduction. */
const LONG = 512;
const LONG_GPU = { rows: 4096, columns: 128 };

/**
 * Cuts long reductions with few outputs in two, so that as many threads as an adapter wants have something to do in the first:
 * two passes in a fixed order, where others would use atomics.
 */
export function splitReductions(graph: Graph, adapter: Pick<AdapterTraits, 'software' | 'vendor'>): Graph {
  const { threads } = parallelismOf(adapter);
  return rewrite(graph, (node) => {
    if (!REDUCTIONS.includes(node.op)) return node;
    const [x] = node.inputs as [Tensor];
    const { axes } = node.attrs as ReduceAttrs;
    const length = x.size / node.size;
    const adjacent = axes.every((axis, i) => i === 0 || axis === axes[i - 1]! + 1);
    const outer = x.shape.slice(0, axes[0]);
    const inner = x.shape.slice(axes.at(-1)! + 1);
    const byRows = sizeOf(inner) === 1;
    const busy = adapter.software ? node.size : threadsFolding(node.size, length, byRows);
    if (length <= LONG || busy >= threads || !adjacent) return node;
    const most = adapter.software ? Math.sqrt(length) : length / (byRows ? LONG_GPU.rows : LONG_GPU.columns);
    // A GPU's second pass reads four parts at a time.
    const parts = nearestDivisor(
      length,
      Math.min(Math.ceil(threads / busy), most),
      adapter.software || !byRows ? 1 : 4,
    );
    if (parts === 1) return node;
    // Rows keep their chunks whole; columns are dealt out in bands.
    const rest = byRows ? [] : [sizeOf(inner)];
    const cut = reshape(x, [sizeOf(outer), parts, length / parts, ...rest]);
    const parted = apply(node.op, [cut], { axes: [2] }, node.path);
    return reshape(apply(node.op, [parted], { axes: [1] }, node.path), node.shape);
  });
}

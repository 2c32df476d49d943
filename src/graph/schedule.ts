// Groups and the Schedule: which nodes of a graph become one dispatch, what each dispatch stores and reads, in what order.
import type { Variable } from '../ops/source.ts';
import { inputOp, variableOp } from '../ops/source.ts';
import type { AdapterTraits, Kernel, Tensor, Variant } from '../ops/tensor.ts';
import { reshapeOp } from '../ops/view.ts';

/** One dispatch to be. */
export interface Group {
  /** The kernel op, or one or more reductions of one kind and shape; without any, a chain of elementwise ops. */
  readonly kernelOps: readonly Tensor[];
  /** What it stores. */
  readonly outputs: readonly Tensor[];
  /** The materialised tensors that it reads; true where every thread reads only the elements that it may overwrite. */
  readonly reads: ReadonlyMap<Tensor, boolean>;
  /** A pack whose parts are written in place by others: memory without a dispatch. */
  readonly inPlaceConcat: boolean;
  /** How it is computed, of the variants of its kernel op: chosen by `chooseVariants`. */
  readonly variant?: Variant | undefined;
  /** Of several dispatches that became one: these, in an order in which they may run. */
  readonly members?: readonly Group[];
  /** How its members share a dispatch: each has workgroups of its own, or one workgroup computes them all in turn. */
  readonly arrangement?: 'side by side' | 'in turn';
  /** Makes one kernel of its members'. */
  readonly link?: (kernels: readonly Kernel[], traits: AdapterTraits) => Kernel;
  /** Computed by the op's plain definition instead, at some of the elements: what unverified variants are held against. */
  readonly plain?: Sampling;
}

/** Of a tensor's elements those at 0, stride, 2·stride, … */
export interface Sampling {
  readonly count: number;
  readonly stride: number;
}

export interface Schedule {
  /** In an order in which they may run. */
  readonly groups: readonly Group[];
  /** Values that are computed straight into a variable. */
  readonly targets: ReadonlyMap<Tensor, Variable>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Why each node that is in memory is: a few words. */
  readonly why: ReadonlyMap<Tensor, string>;
  /** Storage buffers that one kernel may bind. */
  readonly maxBuffers: number;
  /** Small results by where they lie: the inputs of a shelf are side by side, and are bound at once. */
  readonly shelves?: readonly Tensor[];
  /** What its dispatches were put together for, if they were. */
  readonly arrangedFor?: AdapterTraits | undefined;
}

/** The tensor whose memory holds a value: a reshape moves nothing. */
export function baseOf(node: Tensor): Tensor {
  let at = node;
  while (at.op === reshapeOp) at = at.inputs[0]!;
  return at;
}

export function isSource(node: Tensor): boolean {
  return node.op === inputOp || node.op === variableOp;
}

/** Whether a group is a dispatch: a pack whose parts others write is none, nor are tensors of no elements. */
export function isDispatch({ inPlaceConcat, outputs }: Group): boolean {
  return !inPlaceConcat && outputs.some(({ size }) => size > 0);
}

/** Has kernels of its own. */
export const hasKernel = (node: Tensor) => node.op.variants !== undefined;

/** A dispatch of its own, to which nothing is fused; a copy of bytes, which goes by words, is one. */
export function isIsolated({ op, results, dtype }: Tensor): boolean {
  return dtype === 'u8' || op.traits?.isolated === true || op.traits?.opaque === true || results !== undefined;
}

/** The nodes below roots, each once, a node before its inputs, without going past those that `stop` names. */
export function reach(roots: readonly Tensor[], stop: (node: Tensor) => boolean): Set<Tensor> {
  const seen = new Set<Tensor>();
  const stack = [...roots].reverse();
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (!stop(node)) for (let i = node.inputs.length - 1; i >= 0; i--) stack.push(node.inputs[i]!);
  }
  return seen;
}

// Tensor, the one immutable node type of the graph, and Op, what an op must say about itself to exist.
import { ShapeError } from '../errors.ts';
import type { DeviceLimits } from '../gpu/limits.ts';
import type { Affine } from './affine.ts';
import type { Check, Sample } from './check.ts';
import type { Expr } from './expression.ts';
import { type DType, type ResultType, type Shape, sizeOf, typeOf } from './shape.ts';
import { currentPath, where } from './trace.ts';

// Who writes an op or reads a graph finds all of it here.
export { DEFAULT_LIMITS, type DeviceLimits } from '../gpu/limits.ts';
export * from './check.ts';
export * from './shape.ts';
export * from './trace.ts';

/** Writes the WGSL of one kernel: ops ask it for their inputs' elements and give back expressions. */
export interface Emitter {
  /** A WGSL name or literal that holds the element of `tensor` at `coords` (one per axis). */
  value(tensor: Tensor, coords: readonly Affine[]): Expr;
  /** Binds an expression to a name, once per distinct expression. */
  let(expression: Expr): Expr;
  /** Quotient and remainder by a constant. */
  divmod(value: Affine, divisor: number): [Affine, Affine];
  flatten(coords: readonly Affine[], shape: Shape): Affine;
  unflatten(flat: Affine, shape: Shape): Affine[];
  /**
   * An expression that calls functions of a text of WGSL, which come along with those that they call. Where another op's
   * functions have their names, they get others, in the expression as well.
   */
  use(expression: Expr, library: string): Expr;
  /** A number that was computed in the shader (a gathered index, say), as an index; what exceeds `bound` is cut. */
  index(expression: Expr, bound: number): Affine;
  /** A component of a named vec4, by an index below 4. */
  component(vector: Expr, lane: Affine): Expr;
  /** `value`, or 0 where one of some conditions holds; four neighbours that share them are masked at once. */
  masked(value: Expr, conditions: readonly Expr[], dtype: 'f32' | 'u32'): Expr;
  /** Σ of a term over 0 … count−1, in order. */
  sum(count: number, term: (k: Affine) => Expr): Expr;
}

/** What a kernel may know of the adapter. */
export interface AdapterTraits {
  /** Runs on the CPU (SwiftShader, lavapipe): no workgroup memory, wide register tiles. */
  readonly software: boolean;
  /** As `GPUAdapterInfo.vendor`, if it is known: how much work keeps it busy goes by that. */
  readonly vendor?: string;
  /** The subgroup size if it is fixed, or can be asked for, and subgroup operations may be used, else 0. */
  readonly subgroupSize: number;
  /** Kernels that rely on that size ask for it: others may run in subgroups of another. */
  readonly pinsSubgroups?: boolean;
  /** It stores f16, and computes with it. */
  readonly f16: boolean;
  readonly limits: DeviceLimits;
  /** Variants of ops on this kind of adapter, instead of those that an op names itself, which are possible on all. */
  readonly kernels?: ReadonlyMap<unknown, readonly Variant[]> | undefined;
}

/** What a workgroup takes of a device. */
export interface WorkgroupNeeds {
  readonly threads: number;
  /** Bytes of workgroup memory. */
  readonly memory: number;
}

/** One way to compute a kernel op: a kernel of its own. */
export interface Variant<A = unknown> {
  readonly name: string;
  /** Whether it computes this node, on this adapter; by default always. What it `needs` is asked for besides. */
  possible?(node: Tensor<A>, traits: AdapterTraits): boolean;
  /** What a workgroup of it takes of the device; by default the least that WebGPU promises is enough. */
  needs?(node: Tensor<A>, traits: AdapterTraits): WorkgroupNeeds;
  /** Whether it is a good choice. The first that is possible and that this takes is used, unless the tuner knows better. */
  heuristic?(node: Tensor<A>, traits: AdapterTraits): boolean;
  /**
   * Whether it relies on what drivers have been found to get wrong (the order of lanes in a subgroup, say): then its
   * results are compared with plainer ones before they count, once for each form in which it is used.
   */
  readonly unverified?: boolean;
  /** What it is tried on where a program has nothing small enough: with all attributes that nodes may have. */
  readonly probe?: readonly Sample<A>[];
  kernel(node: Tensor<A>, writer: KernelWriter): Kernel;
}

/** One dispatch: a shader file with its constants and hooks filled in. */
export interface Kernel {
  readonly source: string;
  readonly constants: Readonly<Record<string, number | boolean>>;
  readonly hooks: Readonly<Record<string, string>>;
  /** Types by the names that the shader has for them. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Of an opaque op: the buffers of the shader, in the order of their numbers, which it declares itself. */
  readonly bindings?: readonly { readonly tensor: Tensor; readonly writable: boolean }[];
  readonly workgroups: readonly [number, number, number];
  /** Floating-point operations, a fused multiply-add as two; for the profiler. */
  readonly flops: number;
}

export type Unflatten = (flat: Affine, shape: Shape) => Affine[];
/** Coordinates of what a lane loads. */
export type CoordsOf = (lane: number, unflatten: Unflatten) => readonly Affine[];

/** Gives a kernel op the bodies of its shader's hooks. */
export interface KernelWriter {
  readonly traits: AdapterTraits;
  /** The nodes that the kernel computes at once: the one it is asked for, and others of the op where it `joins` them. */
  readonly nodes: readonly Tensor[];
  /** Whether the body that `store` gave last is one statement: it stores the results as they are. */
  readonly storesBare: boolean;
  /**
   * The body of a hook that returns a vec4f: elements of an input at `at(0)` to `at(lanes - 1)`, 0 in the other lanes
   * and wherever a coordinate lies beyond the tensor. `unflatten` makes coordinates of a flat index.
   */
  load(tensor: Tensor, at: CoordsOf, lanes: 1 | 4): string;
  /** The same of several tensors of one shape, for a hook that returns an array of vec4f. */
  loadEach(tensors: readonly Tensor[], at: CoordsOf, lanes: 1 | 4): string;
  /**
   * The body of a hook that takes results at flat indices and stores them, or what was fused behind them. Where the
   * results may reach past the end of a row, `column` and `columns` tell which of them to leave out.
   *
   * @param values of each of `nodes`, the results at the lanes
   */
  store(
    at: (lane: number) => Affine,
    values: readonly (readonly string[])[],
    column?: Affine,
    columns?: number,
  ): string;
  /** Spreads a number of workgroups over two dimensions where one would exceed the limit. */
  grid(workgroups: number): [number, number, number];
}

/** What an op's elements cost, and how kernels may take it in: all that fusion asks of an op. Each is false by default. */
export interface OpTraits {
  /** About how many operations an element costs, 1 by default: what computing it twice is weighed against storing it by. */
  readonly flops?: number;
  /** It only says where an element is found: free wherever it is read. */
  readonly view?: boolean;
  /** Its two inputs may change places. */
  readonly commutative?: boolean;
  /** An input of as many elements as the result is read at the result's own flat index, and no other. */
  readonly aligned?: boolean;
  /**
   * It asks of an input what compilers may take for granted of what they have just seen computed (that it is finite, say), and
   * not of what is read from memory: the input is materialised, and by another kernel or as a reduction's result.
   */
  readonly loads?: boolean;
  /** It reads each element of its inputs many times, so these are materialised, unless they are views of what is. */
  readonly rereads?: boolean;
  /** It reads several elements of an input for one of its own: not to be written out in the loop of a reduction. */
  readonly gathers?: boolean;
  /** Its element is a loop over whole inputs: a dispatch of its own, to which nothing is fused. */
  readonly isolated?: boolean;
  /** Its WGSL is long: written once a thread, and not once for each of four lanes. */
  readonly long?: boolean;
  /**
   * Its kernel binds inputs and results as they lie in memory: all are materialised, in the type that they have, and nothing
   * is fused to it.
   */
  readonly opaque?: boolean;
  /** One kernel computes several nodes of it that have the attributes and the shapes of inputs in common. */
  readonly joins?: boolean;
}

/** The core of a pointwise op: a result of arguments. */
export interface Pointwise {
  /** WGSL of the result, given that of as many arguments as the function declares: names, or literals in parentheses. */
  readonly wgsl: (...args: string[]) => string;
  /** The same in float64: what tests and `checkOp` compare with, and what constants are folded by. */
  readonly reference?: (...args: number[]) => number;
  /** Wanted types; those left open must be the last input's. */
  readonly dtypes?: readonly (DType | undefined)[];
  /** Where `checkOp` tries it, [−2, 2] by default: one range for all inputs, or one each. */
  readonly range?: readonly [number, number] | readonly (readonly [number, number])[];
  /** Relative error that is allowed, where WGSL promises little. */
  readonly tolerance?: number;
}

/**
 * All that is true of an op. Exactly one of `emit`, `variants` and `decompose` says how it is computed. Where both
 * `grad` and `decompose` stand, the gradient is that of `grad`.
 */
export interface Op<A = unknown> {
  readonly name: string;
  /**
   * Shape and type of the result, or a list of them for an op of several results; throws a ShapeError that says what it
   * got and what it wanted.
   */
  infer(inputs: readonly Tensor[], attrs: A): ResultType | readonly ResultType[];
  /**
   * Cotangents of the inputs (undefined where there is none), in terms of other ops.
   *
   * @param cotangents of the results, `node.all`: zeros for one that nothing depends on
   */
  grad?(node: Tensor<A>, ...cotangents: Tensor[]): readonly (Tensor | undefined)[];
  /**
   * Elementwise ops: the element of the result where those of the inputs are known, `dtype` being the last one's; of u32
   * exactly what the GPU computes.
   */
  fold?(values: readonly number[], dtype: DType): number;
  /** What a pointwise op was defined by. */
  readonly pointwise?: Pointwise;
  /** Its WGSL as a shader that is valid as it stands: compiled to tell where a mistake in it is. */
  standalone?(node: Tensor<A>): string;
  /** Pointwise ops: the element at `coords`. They own no kernel and are fused into others. */
  emit?(emitter: Emitter, node: Tensor<A>, coords: readonly Affine[]): Expr;
  /**
   * Kernel ops with unverified variants: the element at `coords`, as a driver can hardly get it wrong. These variants are held
   * against it; without it, against the last variant.
   */
  plain?(emitter: Emitter, node: Tensor<A>, coords: readonly Affine[]): Expr;
  /** Kernel ops: the dispatch, in one or more ways. The last must be possible everywhere. */
  readonly variants?: readonly Variant<A>[];
  /**
   * Composite ops: the same in terms of other ops, which also gives the gradient if there is no rule for it. A list, if
   * `infer` returns one.
   */
  decompose?(inputs: readonly Tensor[], attrs: A): Tensor | readonly Tensor[];
  /** What its elements cost, and how kernels may take it in. */
  readonly traits?: OpTraits;
  /** Views: whether a matmul reads well through this one, four neighbours at a time; by default always. */
  wide?(node: Tensor<A>): boolean;
  /** What `checkOp` holds it against; that of a pointwise op follows from what it was defined by. */
  readonly check?: Check<A> | false;
}

/** A tensor whose element type TypeScript knows. */
export type TensorOf<D extends DType> = Tensor<unknown, D>;

let nextId = 0;

/** A value in the graph: an op applied to other tensors. It holds no data. `A` are the op's attributes. */
export class Tensor<A = unknown, D extends DType = DType> {
  readonly id: number = nextId++;
  readonly op: Op<A>;
  readonly inputs: readonly Tensor[];
  readonly attrs: A;
  readonly shape: Shape;
  readonly dtype: D;
  /** Where in the model it was made. */
  readonly path: string;
  /**
   * What an op of several results gives: then this node stands for all of them, with the shape and type of the first, and is
   * never materialised; its results are (`all`).
   */
  readonly results: readonly ResultType[] | undefined;
  /** The nodes of its results, once they were asked for. */
  private projections: readonly Tensor[] | undefined;

  constructor(
    op: Op<A>,
    inputs: readonly Tensor[],
    attrs: A,
    shape: Shape,
    dtype: D,
    path: string,
    results?: readonly ResultType[],
  ) {
    this.op = op;
    this.inputs = inputs;
    this.attrs = attrs;
    this.shape = shape;
    this.dtype = dtype;
    this.path = path;
    this.results = results;
  }

  /** The same op of other inputs, or with a result of another type. */
  with({ inputs = this.inputs, dtype = this.dtype }: { inputs?: readonly Tensor[]; dtype?: DType }): Tensor<A> {
    // A node has one projection for each result, so that who reads it and who stores it mean the same node.
    if ((this.op as unknown) === resultOp && dtype === this.dtype) {
      return inputs[0]!.all[(this.attrs as { index: number }).index] as Tensor<A>;
    }
    return new Tensor(this.op, inputs, this.attrs, this.shape, dtype, this.path, this.results);
  }

  /** Its results as nodes, always the same ones: itself, or of an op of several results a projection for each. */
  get all(): readonly Tensor[] {
    if (!this.results) return [this as Tensor<unknown>];
    this.projections ??= this.results.map(
      ({ shape, dtype }, index) =>
        new Tensor<unknown>(resultOp as Op, [this as Tensor<unknown>], { index }, shape, dtype, this.path),
    );
    return this.projections;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  toString(): string {
    const attrs = this.attrs && Object.keys(this.attrs).length > 0 ? ` ${JSON.stringify(this.attrs)}` : '';
    const args = this.inputs.map((input) => `%${input.id}`).join(', ');
    return `%${this.id} = ${this.op.name}(${args})${attrs} : ${(this.results ?? [this]).map(typeOf).join(', ')}`;
  }
}

/** One result of an op of several: a view of what the node below it stores. */
export const resultOp: Op<{ index: number }> = {
  name: 'result',
  traits: { flops: 0 },
  infer: ([node], { index }) => node!.results![index]!,
};

/**
 * Applies an op of one result.
 *
 * @throws ShapeError if the inputs do not fit, with the module path and the op's name in front
 */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A, at: string = currentPath()): Tensor {
  const node = nodeOf(op, inputs, attrs, at);
  if (node.results) throw new ShapeError(`${where(at)}${op.name} gives ${node.results.length} results: use applyAll`);
  return node;
}

/** Applies an op and gives all its results, however many they are; otherwise as `apply`. */
export function applyAll<A>(
  op: Op<A>,
  inputs: readonly Tensor[],
  attrs: A,
  at: string = currentPath(),
): readonly Tensor[] {
  return nodeOf(op, inputs, attrs, at).all;
}

function nodeOf<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A, at: string): Tensor {
  for (const input of inputs) {
    if (!(input instanceof Tensor)) throw new ShapeError(`${where(at)}${op.name} takes tensors, got ${String(input)}`);
  }
  let inferred: ResultType | readonly ResultType[];
  try {
    inferred = op.infer(inputs, attrs);
    if (isList(inferred) && inferred.length === 0) throw new ShapeError('its infer returns no result');
    for (const result of isList(inferred) ? inferred : [inferred]) checkResult(result);
  } catch (error) {
    if (error instanceof ShapeError) throw new ShapeError(`${where(at)}${op.name}: ${error.message}`, { cause: error });
    throw error;
  }
  if (isList(inferred) && !op.traits?.opaque && !op.decompose) {
    throw new ShapeError(`${where(at)}${op.name} gives several results: its kernel must be opaque`);
  }
  const [first, results] = isList(inferred) ? [inferred[0]!, inferred] : [inferred];
  return new Tensor<unknown>(op as Op, inputs, attrs, first.shape, first.dtype, at, results);
}

/** About how many operations an element costs. */
export function flopsOf({ op: { traits } }: Tensor): number {
  return traits?.view ? 0 : (traits?.flops ?? 1);
}

/**
 * A node in terms of other ops, if its op is composite.
 *
 * @throws ShapeError where `decompose` makes something else than `infer` says
 */
export function decomposed(node: Tensor): Tensor | undefined {
  return node.op === resultOp
    ? partsOf(node.inputs[0]!)?.[(node.attrs as { index: number }).index]
    : partsOf(node)?.[0];
}

/** All results of a composite op's node, in terms of other ops. */
export function partsOf(node: Tensor): readonly Tensor[] | undefined {
  const made = node.op.decompose?.(node.inputs, node.attrs);
  if (!made) return undefined;
  const parts = made instanceof Tensor ? [made] : made;
  const types = (list: readonly ResultType[]) => list.map(typeOf).join(', ');
  const wanted = types(node.all);
  if (types(parts) !== wanted) {
    throw new ShapeError(
      `${where(node.path)}${node.op.name}: infer says ${wanted}, and decompose makes ${types(parts) || 'nothing'}`,
    );
  }
  return parts;
}

/** A rule for ops that are flat wherever they have a slope at all: no input gets a cotangent. */
export function zeroGrad({ inputs }: Tensor): undefined[] {
  return inputs.map(() => undefined);
}

const isList = (results: ResultType | readonly ResultType[]): results is readonly ResultType[] =>
  Array.isArray(results);

const DTYPES: readonly unknown[] = ['f32', 'u32', 'u8', 'f16'];

/** @throws ShapeError for what a user's own rule may return and no tensor can be */
function checkResult(result: ResultType): void {
  const { shape, dtype } = result ?? {};
  const isShape = Array.isArray(shape) && shape.every((dim) => Number.isInteger(dim) && dim >= 0);
  if (!isShape || !DTYPES.includes(dtype)) {
    throw new ShapeError(`its infer must return { shape, dtype }, or a list of these, got ${JSON.stringify(result)}`);
  }
}

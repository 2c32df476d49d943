// How an op is defined, Glia's own and an app's alike: pointwise, by kernels of its own, or in terms of other ops.
import { ShaderError, ShapeError } from '../errors.ts';
import { setConstant } from '../gpu/specialise.ts';
import type { Affine } from './affine.ts';
import { Expr } from './expression.ts';
import {
  broadcastShapes,
  type DType,
  elementType,
  type Kernel,
  type Op,
  type OpTraits,
  type Pointwise,
  type ResultType,
  type Sample,
  type Shape,
  Tensor,
  type Variant,
} from './tensor.ts';

/** Cotangents of a pointwise op's inputs, given that of its result: autodiff sums them where an input was broadcast. */
export type PointwiseGrad = (
  cotangent: Tensor,
  inputs: readonly Tensor[],
  result: Tensor,
) => readonly (Tensor | undefined)[];

/** An op whose every element is one expression of elements of its inputs, which broadcast. It is fused into other kernels. */
export interface PointwiseSpec extends Pointwise {
  readonly name: string;
  /** Functions of WGSL that the expression calls, in one text: what is called comes along into each kernel, once. */
  readonly functions?: string;
  /** The same of u32, which wraps around; without it, the op takes f32 alone, unless `dtypes` says otherwise. */
  readonly u32?: (...args: number[]) => number;
  /** The expression for u32, where it is another. */
  readonly wgslU32?: (...args: string[]) => string;
  readonly grad?: PointwiseGrad;
  /** Type of the result; the inputs' own by default. */
  readonly result?: DType;
  /** Its two inputs may change places. */
  readonly commutative?: boolean;
  /** It asks what compilers may take for granted of what they have just seen computed: see `OpTraits`. */
  readonly loads?: boolean;
  /** About how many additions an element costs, 1 by default. */
  readonly flops?: number;
}

/** A shader that stands alone, bound as it is: what it reads and writes is materialised, and nothing is fused to it. */
export interface KernelSpec<A = object> {
  /** For people, and to tell several apart. */
  readonly name?: string;
  /** A complete shader with an entry point `main`; its storage buffers are group 0, numbered from 0. */
  readonly wgsl: string;
  /** Names of the shader's buffers, in the order of the op's inputs. */
  readonly inputs: readonly string[];
  /** Names of the shader's buffers, in the order of the op's results. */
  readonly outputs: readonly string[];
  /** Values of the shader's `const NAME: type = …;` by name. */
  readonly constants?: (node: Tensor<A>) => Readonly<Record<string, number | boolean>>;
  /** How many workgroups are dispatched, along one dimension or three. */
  readonly workgroups: (node: Tensor<A>) => number | readonly [number, number, number];
  /** Floating-point operations of a dispatch, for the profiler. */
  readonly flops?: (node: Tensor<A>) => number;
  /** Whether it computes this node, on this adapter; always, by default. Of several kernels, the last must always. */
  readonly possible?: Variant<A>['possible'];
  /** Whether it is a good choice: of several kernels, the first that is possible and that this takes. */
  readonly heuristic?: Variant<A>['heuristic'];
  /**
   * Whether it relies on what some drivers get wrong: then its results are compared with the last kernel's before they
   * count, once a device for each form in which it is used, and the last takes its place where they differ.
   */
  readonly unverified?: boolean;
  /** Small inputs and attributes to compare on where a program's own tensors are large. */
  readonly probe?: readonly Sample<A>[];
}

/** One that has none of some properties, by which the forms of an op are told apart. */
type Without<K extends string> = { readonly [P in K]?: undefined };

interface KernelOpSpec<A> extends Omit<Op<A>, 'emit' | 'variants' | 'decompose'> {
  readonly kernel: KernelSpec<A> | readonly KernelSpec<A>[];
}

interface CompositeSpec<A> extends Omit<Op<A>, 'infer' | 'emit' | 'variants' | 'decompose'> {
  /** By default, what `decompose` makes. */
  readonly infer?: Op<A>['infer'];
  readonly decompose: NonNullable<Op<A>['decompose']>;
}

/**
 * What an op is defined by, in one of its forms. `wgsl` is looked for first: an object that is spread into another shows
 * TypeScript none of its properties, and counts as no pointwise op then.
 */
export type OpSpec<A> =
  | (PointwiseSpec & Without<'kernel' | 'decompose' | 'infer'>)
  | (Without<'wgsl' | 'decompose'> & KernelOpSpec<A>)
  | (Without<'wgsl' | 'kernel'> & CompositeSpec<A>)
  | (Without<'wgsl' | 'kernel'> & Op<A>);

/**
 * An op from what is true of it; `apply` and `applyAll` make nodes of it, and `checkOp` of glia/testing tests it. What
 * distinguishes ops is the object that this returns, and not its name.
 *
 * - pointwise: `wgsl`, an expression
 * - kernel: `kernel`, one or more shaders that are bound as they are; or `variants`, whose shaders have hooks for what is
 *   fused to them
 * - composite: `decompose`
 *
 * Glia's own ops are made by it, too: its views and sources say by `emit` what an element is.
 *
 * @throws ShaderError if a kernel does not bind what the op has
 */
/* @__NO_SIDE_EFFECTS__ */
export function defineOp<A = object>(spec: OpSpec<A>): Op<A> {
  if (spec.wgsl) return pointwise(spec) as Op<A>;
  if (spec.kernel) return kernelOp(spec);
  const { decompose } = spec;
  return { ...spec, infer: spec.infer ?? ((inputs, attrs) => typesOf(decompose!(inputs, attrs))) };
}

const typesOf = (made: Tensor | readonly Tensor[]): ResultType | readonly ResultType[] =>
  made instanceof Tensor ? typeOf(made) : made.map(typeOf);
const typeOf = ({ shape, dtype }: Tensor): ResultType => ({ shape, dtype });

function broadcastCoords(coords: readonly Affine[], shape: Shape): Affine[] {
  return shape.map((dim, axis) => {
    const coord = coords[axis + coords.length - shape.length]!;
    return dim === 1 ? coord.times(0) : coord;
  });
}

function pointwise(spec: PointwiseSpec): Op<object> {
  const { name, wgsl, wgslU32, functions, reference, u32, dtypes, result, grad } = spec;
  const arity = wgsl.length;
  const takesU32 = u32 !== undefined || dtypes?.[arity - 1] !== undefined;
  // What is read of u8 is u32, unless the op is for u8.
  const read = ({ dtype }: Tensor) => (dtypes?.includes('u8') ? dtype : elementType(dtype));
  const expression = (types: readonly Tensor[], args: string[]) =>
    (wgslU32 && elementType(types.at(-1)!.dtype) === 'u32' ? wgslU32 : wgsl)(...args);
  return {
    name,
    pointwise: spec,
    traits: {
      flops: spec.flops ?? 1,
      aligned: true,
      ...(spec.commutative && { commutative: true }),
      ...(spec.loads && { loads: true }),
    },
    infer(inputs) {
      if (inputs.length !== arity) throw new ShapeError(`takes ${arity} tensors, got ${inputs.length}`);
      const got = inputs.map((tensor) => tensor.dtype).join(', ');
      const dtype = read(inputs[arity - 1]!);
      if (inputs.some((tensor, i) => read(tensor) !== (dtypes?.[i] ?? dtype))) {
        throw new ShapeError(`wants ${dtypes?.map((type) => type ?? 'one type').join(', ') ?? 'one type'}, got ${got}`);
      }
      if (dtype === 'u32' && !takesU32) throw new ShapeError(`wants f32, got ${got}: toF32 converts it`);
      return { shape: inputs.map(({ shape }) => shape).reduce(broadcastShapes), dtype: result ?? dtype };
    },
    ...(grad && { grad: (node: Tensor, g: Tensor) => grad(g, node.inputs, node) }),
    ...(reference && {
      fold: (values: readonly number[], dtype: DType) =>
        (elementType(dtype) === 'u32' ? (u32 ?? reference) : reference)(...values),
    }),
    emit(emitter, { inputs }, coords) {
      const args = inputs.map((tensor) => emitter.value(tensor, broadcastCoords(coords, tensor.shape)));
      const texts = args.map(({ text }) => text);
      const result = Expr.of(expression(inputs, texts), args);
      return functions ? emitter.use(result, functions) : result;
    },
    standalone({ inputs, dtype }) {
      const args = inputs.map((_, i) => `x${i}`);
      const parameters = inputs.map((input, i) => `x${i}: ${elementType(input.dtype)}`).join(', ');
      const text = expression(inputs, args);
      return `${functions ? `${functions}\n` : ''}fn expression(${parameters}) -> ${elementType(dtype)} { return ${text}; }`;
    },
  };
}

function kernelOp<A>({ kernel, infer, traits, ...rest }: KernelOpSpec<A>): Op<A> {
  const specs = (Array.isArray(kernel) ? kernel : [kernel]) as readonly KernelSpec<A>[];
  const [{ inputs: names, outputs }] = specs as [KernelSpec<A>];
  return {
    ...rest,
    traits: { ...(traits as OpTraits), isolated: true, opaque: true },
    infer(inputs, attrs) {
      if (inputs.length !== names.length)
        throw new ShapeError(`takes ${names.length} tensors (${names.join(', ')}), got ${inputs.length}`);
      const results = infer(inputs, attrs);
      const count = Array.isArray(results) ? results.length : 1;
      if (count !== outputs.length)
        throw new ShapeError(`its infer gives ${count} results, its kernel ${outputs.length} (${outputs.join(', ')})`);
      return results;
    },
    variants: specs.map((one, i) => variantOf(rest.name, one, specs.length > 1 ? `kernel ${i + 1}` : 'kernel')),
  };
}

/** What WebGPU allows along one dimension. */
export const MOST_WORKGROUPS = 65535;

function variantOf<A>(op: string, spec: KernelSpec<A>, numbered: string): Variant<A> {
  const bound = bindingsOf(op, spec);
  if (typeof spec.workgroups !== 'function') throw new ShaderError(`${op}: its kernel has no workgroups`);
  const {
    name = numbered,
    wgsl,
    inputs,
    outputs,
    constants,
    workgroups,
    flops,
    possible,
    heuristic,
    unverified,
    probe,
  } = spec;
  return {
    name,
    ...(possible && { possible }),
    ...(heuristic && { heuristic }),
    ...(unverified && { unverified }),
    ...(probe && { probe }),
    kernel(node): Kernel {
      const counts = [workgroups(node)].flat() as number[];
      if (!counts.every((count) => Number.isInteger(count) && count >= 0 && count <= MOST_WORKGROUPS)) {
        throw new ShaderError(
          `${op}: it wants ${counts.join(' × ')} workgroups: each must be a whole number up to ${MOST_WORKGROUPS}`,
        );
      }
      let source = wgsl;
      try {
        for (const [key, value] of Object.entries(constants?.(node) ?? {})) source = setConstant(source, key, value);
      } catch (error) {
        throw error instanceof ShaderError ? new ShaderError(`${op}: ${error.message}`, { cause: error }) : error;
      }
      const tensorOf = (name: string) => node.inputs[inputs.indexOf(name)] ?? node.all[outputs.indexOf(name)]!;
      return {
        source,
        constants: {},
        hooks: {},
        bindings: bound.map((name) => ({ tensor: tensorOf(name), writable: outputs.includes(name) })),
        workgroups: [counts[0]!, counts[1] ?? 1, counts[2] ?? 1],
        flops: flops?.(node) ?? 0,
      };
    },
  };
}

/** The names of a shader's buffers in the order of their numbers, once they are known to be the op's. */
function bindingsOf<A>(op: string, { wgsl, inputs, outputs }: KernelSpec<A>): readonly string[] {
  const fail = (problem: string) => new ShaderError(`${op}: ${problem}`);
  const code = wgsl.replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '');
  if (!/\bfn\s+main\s*\(/.test(code)) throw fail('its WGSL has no entry point main');
  const found = [...code.matchAll(/((?:@\w+\s*(?:\([^)]*\))?\s*)+)var\s*(?:<([^>]*)>)?\s*(\w+)/g)]
    .filter(([, attributes]) => attributes!.includes('@binding'))
    .map(([, attributes, space = '', name]) => {
      const numberOf = (key: string) => Number(new RegExp(`@${key}\\s*\\(\\s*(\\d+)`).exec(attributes!)?.[1]);
      if (!/^\s*storage\b/.test(space)) throw fail(`${name} is no storage buffer, and nothing else can be bound`);
      if (numberOf('group') !== 0) throw fail(`${name} must be in @group(0)`);
      return { name: name!, number: numberOf('binding'), writes: /\bread_write\b/.test(space) };
    })
    .sort((a, b) => a.number - b.number);
  found.forEach(({ name, number, writes }, i) => {
    if (number !== i) throw fail(`its bindings are numbered from 0 up, and ${name} is @binding(${number}), not ${i}`);
    const isOutput = outputs.includes(name);
    if (!isOutput && !inputs.includes(name)) {
      throw fail(
        `its WGSL binds ${name}, which is neither an input (${inputs.join(', ')}) nor an output (${outputs.join(', ')})`,
      );
    }
    if (isOutput !== writes) {
      throw fail(
        `${name} is an ${isOutput ? 'output' : 'input'}: bind it var<storage, ${isOutput ? 'read_write' : 'read'}>`,
      );
    }
  });
  for (const name of [...inputs, ...outputs]) {
    if (!found.some((binding) => binding.name === name)) {
      throw fail(`its WGSL has no binding for the ${outputs.includes(name) ? 'output' : 'input'} ${name}`);
    }
  }
  return found.map(({ name }) => name);
}

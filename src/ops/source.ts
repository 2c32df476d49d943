// Where values come from: the caller's inputs, variables that live on the GPU from run to run, constants, indices.

import { ShapeError } from '../errors.ts';
import { defineOp } from './define.ts';
import { Expr, wgsl } from './expression.ts';
import {
  apply,
  type DType,
  elementType,
  type Shape,
  show,
  sizeOf,
  type Tensor,
  type TensorOf,
  wordsFor,
} from './tensor.ts';

/** The block of GPU memory that a variable lies in; several variables may share one. */
export interface Block {
  readonly id: number;
  /** In elements of four bytes. */
  readonly size: number;
  /** Those that lie in it, each with its first value. */
  readonly variables: Variable[];
}

let nextBlock = 0;
function newBlock(size: number, variables: Variable[]): Block {
  return { id: nextBlock++, size, variables };
}

/** Elements of four bytes between the starts of variables that share a block: WebGPU's 256-byte binding offset. */
export const ALIGNMENT = 64;

export function alignedSize(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT;
}

let nextVariable = 0;

/** A value that lives on the GPU between runs: a parameter, an optimizer's moment, a counter, a data set. */
export class Variable {
  readonly id: number = nextVariable++;
  /** For people, and the module path of its node: to be settled before the first use in a graph. */
  name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** The first value; zeros if there is none. A u8 variable takes a Uint8Array, an f16 one the bits, a Uint16Array. */
  readonly init: (() => Float32Array | Uint32Array | Uint8Array | Uint16Array) | undefined;
  /** Where it lies; its own block unless it was packed with others. */
  block: Block | undefined;
  /** Offset in the block, in elements of four bytes. */
  offset = 0;

  constructor(name: string, shape: Shape, options: { dtype?: DType; init?: Variable['init'] } = {}) {
    this.name = name;
    this.shape = shape;
    this.dtype = options.dtype ?? 'f32';
    this.init = options.init;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  /** Size in elements of four bytes. */
  get words(): number {
    return wordsFor(this.size, this.dtype);
  }

  /** The block that it lies in, made on first use. */
  place(): Block {
    this.block ??= newBlock(this.words, [this]);
    return this.block;
  }

  /** The variable's value, at the start of a run, as a node of a graph: always the same node. */
  get tensor(): Tensor {
    this.node ??= apply(variableOp, [], { variable: this }, this.name);
    return this.node;
  }

  private node: Tensor | undefined;

  toJSON(): string {
    return `${this.name}#${this.id}`;
  }
}

/** Lays variables of f32 side by side in one block and gives the variable that spans them all, gaps included. */
export function packVariables(name: string, variables: readonly Variable[]): Variable {
  const size = variables.reduce((sum, { size }) => sum + alignedSize(size), 0);
  const all = new Variable(name, [size]);
  all.block = newBlock(size, [...variables]);
  let offset = 0;
  for (const variable of variables) {
    if (variable.dtype !== 'f32')
      throw new ShapeError(`variable ${variable.name} is ${variable.dtype}: only f32 is packed`);
    if (variable.block) throw new ShapeError(`variable ${variable.name} already has a place; pack before first use`);
    variable.block = all.block;
    variable.offset = offset;
    offset += alignedSize(variable.size);
  }
  return all;
}

/** Arrays by element type, and what a plain list of numbers is. */
const TYPES = [
  ['f32', Float32Array],
  ['u32', Uint32Array],
  ['u8', Uint8Array],
] as const;

/**
 * A constant from data of the host: f32 of a Float32Array or a list of numbers, u32 of a Uint32Array, u8 of a Uint8Array. The
 * data are copied now, and uploaded once a device, when a program first uses them.
 *
 * @param shape of as many elements as there are data; one axis by default
 * @throws ShapeError if there are more or fewer
 */
export function tensor(
  data: Float32Array | Uint32Array | Uint8Array | readonly number[],
  shape: Shape = [data.length],
): Tensor {
  const copy = Array.isArray(data)
    ? Float32Array.from(data)
    : (data as Float32Array | Uint32Array | Uint8Array).slice();
  const type = TYPES.find(([, kind]) => copy instanceof kind);
  if (!type) throw new ShapeError(`tensor takes numbers, a Float32Array, Uint32Array or Uint8Array, got ${data}`);
  if (sizeOf(shape) !== copy.length) throw new ShapeError(`tensor: ${copy.length} numbers are not ${show(shape)}`);
  return new Variable('tensor', shape, { dtype: type[0], init: () => copy }).tensor;
}

export const inputOp = defineOp<{ name: string; shape: Shape; dtype: DType }>({
  name: 'input',
  infer: (_, { shape, dtype }) => ({ shape, dtype }),
});

/** What the caller gives at every run. Its name is there for TypeScript alone; any tensor of the type may follow in a `let`. */
export type Input<N extends string = string, D extends DType = DType> = TensorOf<D> & { readonly inputName?: N };

/** A value that the caller gives at every run. */
export function input<N extends string, D extends DType = 'f32'>(
  name: N,
  shape: Shape,
  dtype: D = 'f32' as D,
): Input<N, D> {
  for (const dim of shape) {
    if (!Number.isInteger(dim) || dim < 0) throw new ShapeError(`input ${name}: ${show(shape)} is not a shape`);
  }
  return apply(inputOp, [], { name, shape, dtype }) as Input<N, D>;
}

export const variableOp = defineOp<{ variable: Variable }>({
  name: 'variable',
  infer: (_, { variable }) => ({ shape: variable.shape, dtype: variable.dtype }),
});

/** A finite number as a WGSL literal of an element type. */
export function literal(value: number, dtype: DType): string {
  if (elementType(dtype) !== 'f32') return `${value >>> 0}u`;
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) throw new ShapeError(`the constant ${value} is not a finite f32`);
  if (Object.is(rounded, -0)) return '-0.0';
  const text = String(rounded);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

export const constantOp = defineOp<{ value: number; dtype: DType }>({
  name: 'constant',
  traits: { view: true },
  infer: (_, { value, dtype }) => {
    literal(value, dtype);
    return { shape: [], dtype };
  },
  emit: (_, { attrs }) => {
    const text = literal(attrs.value, attrs.dtype);
    return new Expr(text.startsWith('-') ? `(${text})` : text);
  },
  check: CHECKS && {
    reference: (_, { value }) => Float64Array.of(value),
  },
});

/** A scalar that is known when the graph is built. */
export function constant<D extends DType = 'f32'>(value: number, dtype: D = 'f32' as D): TensorOf<D> {
  return apply(constantOp, [], { value, dtype }) as TensorOf<D>;
}

export const iotaOp = defineOp<{ shape: Shape; axis: number; dtype: DType }>({
  name: 'iota',
  traits: { view: true },
  infer: (_, { shape, dtype }) => ({ shape, dtype }),
  emit: (_, { attrs }, coords) => wgsl`${attrs.dtype}(${coords[attrs.axis]!})`,
  check: CHECKS && {
    reference: (_inputs, { axis }, shape) => {
      const inner = sizeOf(shape.slice(axis + 1));
      return Float64Array.from({ length: sizeOf(shape) }, (_, i) => Math.floor(i / inner) % shape[axis]!);
    },
    samples: [
      { inputs: [], attrs: { shape: [3, 5], axis: 0, dtype: 'f32' } },
      { inputs: [], attrs: { shape: [4, 3, 8], axis: 2, dtype: 'u32' } },
      { inputs: [], attrs: { shape: [7], axis: 0, dtype: 'f32' } },
    ],
  },
});

/** The position along an axis: 0, 1, 2, … */
export function iota(shape: Shape, axis = 0, dtype: DType = 'f32'): Tensor {
  return apply(iotaOp, [], { shape, axis, dtype });
}

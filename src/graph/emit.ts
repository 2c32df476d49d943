// Writes the WGSL of fused nodes: hook bodies, and the declarations of the buffers that they touch.
import { Declarations } from '../gpu/library.ts';
import { Affine } from '../ops/affine.ts';
import { Expr, wgsl } from '../ops/expression.ts';
import { type DType, type Emitter, elementType, type Shape, stridesOf, type Tensor, wordsFor } from '../ops/tensor.ts';
import type { Allocation } from './memory.ts';

/** A buffer as one kernel sees it. */
export interface Binding {
  /** Names the memory: tensors of one place share a binding. */
  readonly key: string;
  readonly tensor: Tensor;
  readonly element: 'f32' | 'u32' | 'f16';
  readonly allocation: Allocation;
  writable: boolean;
  vector: boolean;
}

/** The element type of a tensor's buffer. */
export function storedType(dtype: DType): Binding['element'] {
  return dtype === 'f16' ? 'f16' : elementType(dtype);
}

/** How many elements of its type the buffer has. */
function lengthOf({ tensor, element, vector }: Pick<Binding, 'tensor' | 'element' | 'vector'>): number {
  const bytes = 4 * wordsFor(tensor.size, tensor.dtype);
  return Math.max(1, Math.floor(bytes / (element === 'f16' ? 2 : 4) / (vector ? 4 : 1)));
}

/** WGSL refuses a constant index that is beyond a buffer, even of what is then left out. */
function within(index: Affine, length: number): Affine {
  if (index.terms.size > 0) return index;
  return Affine.constant(Math.max(0, Math.min(index.constant, length - 1)));
}

/** Where a kernel finds a tensor: in what is bound for it, from which element on. */
export interface Place {
  readonly key: string;
  /** As large as what is bound. */
  readonly tensor: Tensor;
  readonly allocation: Allocation;
  readonly offset: number;
}

const COMPONENTS = ['x', 'y', 'z', 'w'];
/** Short enough to be written wherever it is used: a name, a component, a literal. */
const SHORT = /^(\(?-?[\w.]+\)?)$/;

/** The bindings and functions of one kernel, over all its hooks. */
export class KernelText {
  readonly bindings: Binding[] = [];
  readonly functions = new Declarations();
  /** Memory that some access cannot take four at a time; found out in a first round, so there are two. */
  readonly scalars: Set<string>;
  private readonly placeOf: (tensor: Tensor) => Place;

  constructor(placeOf: (tensor: Tensor) => Place, scalars: Set<string>) {
    this.placeOf = placeOf;
    this.scalars = scalars;
  }

  /** The buffer of a tensor, made if it is new, and where the tensor begins in it. */
  binding(
    of: Tensor,
    vector: boolean,
    writable = false,
  ): { name: string; vector: boolean; length: number; offset: number } {
    const { key, tensor, allocation, offset } = this.placeOf(of);
    if (!vector) this.scalars.add(key);
    let index = this.bindings.findIndex((binding) => binding.key === key);
    if (index < 0) {
      index = this.bindings.length;
      this.bindings.push({ key, tensor, allocation, element: storedType(tensor.dtype), writable, vector: true });
    }
    const binding = this.bindings[index]!;
    binding.writable ||= writable;
    binding.vector = !this.scalars.has(key);
    return { name: `buffer${index}`, vector: binding.vector, length: lengthOf(binding), offset };
  }

  get declarations(): string {
    const line = (binding: Binding, index: number) => {
      const { element, writable, vector } = binding;
      const access = writable ? 'read_write' : 'read';
      const type = vector ? `vec4<${element}>` : element;
      // Of a known length, an index is held against a constant, not against what the buffer's length turns out to be.
      return `@group(0) @binding(${index}) var<storage, ${access}> buffer${index}: array<${type}, ${lengthOf(binding)}>;`;
    };
    return this.bindings.map(line).join('\n');
  }
}

/**
 * ⌊x / divisor⌋ for x up to `max`, as a multiplication and a shift wherever that is exact in 32 bits (Granlund and
 * Montgomery, Division by invariant integers using multiplication, 1994): a CPU adapter divides lane by lane.
 */
export function quotientOf(x: string, max: number, divisor: number): string {
  if (Number.isInteger(Math.log2(divisor))) return `${x} >> ${Math.log2(divisor)}u`;
  for (let shift = 0; shift < 32; shift++) {
    const factor = Math.ceil(2 ** shift / divisor);
    const excess = factor * divisor - 2 ** shift;
    if (max * factor < 2 ** 32 && max * excess < 2 ** shift) return `(${x} * ${factor}u) >> ${shift}u`;
  }
  return `${x} / ${divisor}u`;
}

function combine(coords: readonly Affine[], shape: Shape): Affine {
  const strides = stridesOf(shape);
  return coords.reduce((sum, coord, axis) => sum.plus(coord.times(strides[axis]!)), Affine.constant(0));
}

/** What a hook body is given: the names of kernel ops' results, by flat index. */
export type Given = ReadonlyMap<Tensor, ReadonlyMap<string, Expr>>;

function componentOf(vector: Expr, lane: number): Expr {
  return new Expr(`${vector.text}.${COMPONENTS[lane]}`, vector.uses, { vector, lane });
}

export class BodyEmitter implements Emitter {
  private readonly text: KernelText;
  private readonly isMaterialised: (tensor: Tensor) => boolean;
  private readonly given: Given | undefined;
  private memo = new Map<string, Expr>();
  private statements: { readonly code: Expr; readonly declares?: string }[] = [];
  private count = 0;
  /** The flat indices that coordinates were made from, so that flattening these gives them back. */
  private readonly flats = new Map<string, Affine>();

  /** @param isMaterialised whether a tensor is to be loaded, rather than computed here */
  constructor(text: KernelText, isMaterialised: (tensor: Tensor) => boolean, given?: Given) {
    this.text = text;
    this.isMaterialised = isMaterialised;
    this.given = given;
  }

  get body(): string {
    return this.needed()
      .map(({ text }) => `\n  ${text}`)
      .join('');
  }

  /** The statements without the names that nothing uses: drivers take longer for more text. */
  needed(): Expr[] {
    const used = new Set<string>();
    const kept: Expr[] = [];
    for (const { code, declares } of [...this.statements].reverse()) {
      if (declares !== undefined && !used.has(declares)) continue;
      kept.push(code);
      for (const name of code.uses) used.add(name);
    }
    return kept.reverse();
  }

  statement(code: Expr): void {
    this.statements.push({ code });
  }

  value(tensor: Tensor, coords: readonly Affine[]): Expr {
    const key = `${tensor.id}@${coords.join()}`;
    const known = this.memo.get(key);
    if (known) return known;
    const result = this.compute(tensor, coords);
    this.memo.set(key, result);
    return result;
  }

  private compute(tensor: Tensor, coords: readonly Affine[]): Expr {
    // It has no element: padding masks whatever is read, and neither a buffer nor a part of a concat is there to read it from.
    if (tensor.size === 0) return elementType(tensor.dtype) === 'f32' ? wgsl`0.0` : wgsl`0u`;
    const given = this.given?.get(tensor);
    if (given) {
      const flat = this.flatten(coords, tensor.shape).toString();
      const value = given.get(flat);
      if (value === undefined) throw new Error(`${tensor} has no element ${flat} here`);
      return value;
    }
    if (this.isMaterialised(tensor)) return this.load(tensor, this.flatten(coords, tensor.shape));
    const expression = (tensor.op.emit ?? tensor.op.plain)!.call(tensor.op, this, tensor, coords);
    return SHORT.test(expression.text) ? expression : this.let(expression);
  }

  private load(tensor: Tensor, flat: Affine): Expr {
    if (tensor.dtype === 'u8') return this.loadByte(tensor, flat);
    // A negative index wraps around, and its element is one that padding masks.
    const wide = tensor.size % 4 === 0 && flat.split(4).rest.terms.size === 0;
    const { name, vector, length, offset } = this.text.binding(tensor, wide);
    const at = flat.plus(offset);
    const { multiple, rest } = at.split(4);
    const read = (type: string, index: Affine) => {
      const element = wgsl`${name}[${within(index, length)}]`;
      return this.let(tensor.dtype === 'f16' ? wgsl`${type}(${element})` : element);
    };
    return vector ? this.component(read('vec4f', multiple), rest) : read('f32', at);
  }

  private loadByte(tensor: Tensor, flat: Affine): Expr {
    const { name, length } = this.text.binding(tensor, false);
    const [word, byte] = this.divmod(flat, 4);
    const four = this.let(wgsl`${name}[${within(word, length)}]`);
    return this.let(wgsl`(${four} >> ${byte.times(8)}) & 0xffu`);
  }

  let(expression: Expr): Expr {
    const known = this.memo.get(expression.text);
    if (known) return known;
    const name = this.name('v');
    this.statements.push({ code: wgsl`let ${name.text} = ${expression};`, declares: name.text });
    this.memo.set(expression.text, name);
    return name;
  }

  /** A new one. */
  private name(prefix: string): Expr {
    const text = `${prefix}${this.count++}`;
    return new Expr(text, [text]);
  }

  divmod(value: Affine, divisor: number): [Affine, Affine] {
    if (divisor === 1) return [value, Affine.constant(0)];
    let { multiple, rest } = value.split(divisor);
    // Where a coordinate runs backwards, what is left may lie below 0, which u32 cannot divide: it is moved up by whole divisors.
    const below = Math.max(0, Math.ceil(-rest.min / divisor));
    multiple = multiple.plus(-below);
    rest = rest.plus(below * divisor);
    if (rest.max < divisor) return [multiple, rest];
    // floor((g·a + c) / (g·d)) is floor((a + floor(c / g)) / d): common factors, and lanes, fall out of the division.
    const common = rest.gcd(divisor);
    const reduced = rest.split(common);
    const left = divisor / common;
    const bound = Math.floor(reduced.multiple.max / left) + 1;
    const whole = wgsl`${reduced.multiple}`;
    const dividend = SHORT.test(whole.text) ? whole : this.let(whole);
    let quotient = Affine.constant(0);
    let r = dividend;
    if (bound > 1) {
      const q = this.let(Expr.of(quotientOf(dividend.text, reduced.multiple.max, left), [dividend]));
      quotient = Affine.variable(q.text, bound);
      if (q !== dividend) r = this.let(wgsl`${dividend} - ${q} * ${left}u`);
    }
    const remainder = left > 1 ? Affine.variable(r.text, left) : Affine.constant(0);
    return [multiple.plus(quotient), remainder.times(common).plus(reduced.rest)];
  }

  masked(value: Expr, conditions: readonly Expr[], dtype: 'f32' | 'u32'): Expr {
    if (conditions.length === 0) return value;
    const condition = Expr.join(conditions, ' || ');
    const { component } = value;
    if (!component) return this.let(wgsl`select(${value}, ${dtype}(), ${condition})`);
    const four = this.let(wgsl`select(${component.vector}, vec4<${dtype}>(), ${condition})`);
    return componentOf(four, component.lane);
  }

  flatten(coords: readonly Affine[], shape: Shape): Affine {
    const flat = combine(coords, shape);
    return this.flats.get(flat.toString()) ?? flat;
  }

  unflatten(flat: Affine, shape: Shape): Affine[] {
    const coords = new Array<Affine>(shape.length);
    let rest = flat;
    // What is left for the first axis of more than one element is not divided: it may reach past the end, by a guard.
    const first = shape.findIndex((dim) => dim !== 1);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (axis <= first) coords[axis] = axis === first ? rest : Affine.constant(0);
      else if (first < 0) coords[axis] = Affine.constant(0);
      else [rest, coords[axis]!] = this.divmod(rest, shape[axis]!);
    }
    // Of a single element all coordinates are 0, and `flat` is not where a mask leaves it out: 0 stays 0.
    if (first >= 0) this.flats.set(combine(coords, shape).toString(), flat);
    return coords;
  }

  use(expression: Expr, library: string): Expr {
    return new Expr(this.text.functions.use(expression.text, library), expression.uses);
  }

  index(expression: Expr, bound: number): Affine {
    return Affine.variable(bound > 1 ? this.let(wgsl`min(${expression}, ${bound - 1}u)`).text : '', bound);
  }

  component(vector: Expr, lane: Affine): Expr {
    return lane.terms.size === 0 ? componentOf(vector, lane.constant) : this.let(wgsl`${vector}[${lane}]`);
  }

  sum(count: number, term: (k: Affine) => Expr): Expr {
    const total = this.name('v');
    const k = this.name('k').text;
    const outer = this.statements;
    const known = this.memo;
    this.statements = [];
    this.memo = new Map(known);
    const value = term(Affine.variable(k, count));
    const inner = Expr.join(
      this.statements.map(({ code }) => code),
      ' ',
    );
    this.statements = outer;
    this.memo = known;
    this.statement(wgsl`var ${total} = 0.0;`);
    const index = count > 1 ? `for (var ${k} = 0u; ${k} < ${count}u; ${k}++)` : '';
    this.statement(wgsl`${index} { ${inner} ${total} += ${value}; }`);
    return total;
  }
}

// The buffers of a shader that is profiled: described in lines of text, filled, and compared.
import { OptionError } from '../errors.ts';

const ACCESSES = ['read', 'read_write', 'uniform'] as const;
const TYPES = ['f32', 'u32', 'i32', 'f16'] as const;
const FILLS = ['zeros', 'ones', 'iota', 'random'] as const;

type ElementType = (typeof TYPES)[number];

export interface BindingDescription {
  readonly binding: number;
  readonly access: (typeof ACCESSES)[number];
  readonly type: ElementType;
  readonly count: number;
  /** The values themselves, or how they are made. */
  readonly fill: (typeof FILLS)[number] | readonly number[];
  /** Of random values, the least and the bound above. */
  readonly range?: readonly [number, number];
}

export type Elements = Float32Array | Uint32Array | Int32Array;

/** How one buffer of two shaders compares, after one dispatch of each. */
export interface Difference {
  readonly binding: number;
  readonly count: number;
  /** Elements that are not the same bit for bit, and those that differ by more than rounding would make them. */
  readonly different: number;
  readonly wrong: number;
  readonly maxAbsolute: number;
  /** Relative to the larger of the two, and at least to a tenth of the largest in the buffer. */
  readonly maxRelative: number;
  /** The first that is wrong. */
  readonly first?: { readonly index: number; readonly values: readonly [number, number] };
  /** False where neither shader wrote anything else than what was there: agreement then tells nothing. */
  readonly changed: boolean;
  readonly agrees: boolean;
}

/** Relative differences that another order of the same operations may make. */
const TOLERANCES: Readonly<Record<ElementType, number>> = { f32: 1e-4, f16: 1e-2, u32: 0, i32: 0 };

export const BINDING_HELP =
  'BINDING read|read_write|uniform f32|u32|i32|f16 COUNT [zeros|ones|iota|random [MIN MAX]|VALUES]';

/**
 * Reads a description of buffers, one a line: `0 read f32 1024*1024 random`, `2 uniform u32 4 1 2 3 4`. What follows a #
 * is a comment.
 *
 * @throws OptionError that names the line
 */
export function parseBindings(text: string): BindingDescription[] {
  const bindings: BindingDescription[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    const words = line
      .replace(/(#|\/\/).*/, '')
      .trim()
      .split(/[\s,]+/);
    if (words[0] === '') continue;
    try {
      const binding = parseBinding(words);
      if (bindings.some((other) => other.binding === binding.binding)) {
        throw new OptionError(`binding ${binding.binding} is described twice`);
      }
      bindings.push(binding);
    } catch (error) {
      throw new OptionError(`buffers, line ${i + 1}: ${(error as Error).message}`);
    }
  }
  if (bindings.length === 0) throw new OptionError(`no buffer is described; write one a line: ${BINDING_HELP}`);
  return bindings;
}

function parseBinding([
  binding = '',
  access = '',
  type = '',
  size = '',
  ...fill
]: readonly string[]): BindingDescription {
  const oneOf = <T extends string>(what: string, word: string, known: readonly T[]): T => {
    if (!known.includes(word as T)) throw new OptionError(`${what} is one of ${known.join(', ')}; got "${word}"`);
    return word as T;
  };
  if (!/^\d+$/.test(binding)) throw new OptionError(`a line begins with the number of a binding; got "${binding}"`);
  const described = {
    binding: Number(binding),
    access: oneOf('the access', access, ACCESSES),
    type: oneOf('the type', type, TYPES),
    count: parseCount(size),
  };
  const [name = 'zeros', ...numbers] = fill;
  if (Number.isNaN(Number(name))) {
    const known = oneOf('what fills it, unless values do,', name, FILLS);
    if (numbers.length === 0) return { ...described, fill: known };
    const [min = Number.NaN, max = Number.NaN] = numbers.map(Number);
    if (known !== 'random' || numbers.length !== 2 || !(min < max)) {
      throw new OptionError(`"${fill.join(' ')}": only random takes numbers, a least one and one that is larger`);
    }
    return { ...described, fill: known, range: [min, max] };
  }
  const values = fill.map(Number);
  const odd = fill[values.findIndex((value) => Number.isNaN(value))];
  if (odd !== undefined) throw new OptionError(`"${odd}" is not a number`);
  if (values.length !== described.count) {
    throw new OptionError(`${described.count} elements, and ${values.length} values`);
  }
  return { ...described, fill: values };
}

/** A number of elements, or a product such as 512*512. */
function parseCount(text: string): number {
  const count = /^\d+(\*\d+)*$/.test(text) ? text.split('*').reduce((product, part) => product * Number(part), 1) : 0;
  if (!(count >= 1 && count <= 2 ** 32)) {
    throw new OptionError(
      `the count of elements is a positive whole number or a product such as 512*512; got "${text}"`,
    );
  }
  return count;
}

/** Reads `64`, `64,1,1` or `64×2`. @throws OptionError */
export function parseWorkgroups(text: string): [number, number, number] {
  const counts = text.trim().split(/\s*[,×x\s]\s*/);
  if (counts.length > 3 || !counts.every((count) => /^[1-9]\d*$/.test(count))) {
    throw new OptionError(`workgroups are one to three positive whole numbers, such as 64,1,1; got "${text}"`);
  }
  const [x = 1, y = 1, z = 1] = counts.map(Number);
  return [x, y, z];
}

/** Reads `NAME = value`, by lines or commas. @throws OptionError */
export function parseConstants(text: string): Record<string, number | boolean> {
  const entries = text.split(/[\n,;]/).filter((part) => part.trim() !== '');
  return Object.fromEntries(
    entries.map((entry) => {
      const [, name, value] = /^\s*(\w+)\s*=\s*(\S+)\s*$/.exec(entry) ?? [];
      const parsed = value === 'true' || value === 'false' ? value === 'true' : Number(value);
      if (name === undefined || Number.isNaN(parsed)) {
        throw new OptionError(`a constant is given as NAME = number, true or false; got "${entry.trim()}"`);
      }
      return [name, parsed];
    }),
  );
}

const widthOf = (type: ElementType) => (type === 'f16' ? 2 : 4);

/** Bytes of a buffer: whole words, and for uniforms whole vec4s. */
export function bytesOf({ access, type, count }: BindingDescription): number {
  const unit = access === 'uniform' ? 16 : 4;
  return Math.ceil((count * widthOf(type)) / unit) * unit;
}

interface ElementArray {
  new (buffer: ArrayBuffer, offset: number, length: number): Elements;
}

function arrayOf(type: ElementType): ElementArray {
  const { Float16Array } = globalThis as { Float16Array?: ElementArray };
  const array = { f32: Float32Array, u32: Uint32Array, i32: Int32Array, f16: Float16Array }[type];
  if (!array) throw new OptionError(`${type} needs a browser that has Float16Array, such as Chrome 135`);
  return array;
}

/** The elements that bytes of a buffer hold. */
export function viewOf({ type, count }: BindingDescription, bytes: Uint8Array<ArrayBuffer>): Elements {
  return new (arrayOf(type))(bytes.buffer, bytes.byteOffset, count);
}

/** What a buffer holds at first: the same every time. */
export function valuesOf(description: BindingDescription): Uint8Array {
  const { binding, type, count, fill, range } = description;
  const bytes = new Uint8Array(bytesOf(description));
  const values = viewOf(description, bytes);
  if (typeof fill !== 'string') values.set(fill);
  else if (fill === 'ones') values.fill(1);
  else if (fill === 'iota') for (let i = 0; i < count; i++) values[i] = i;
  else if (fill === 'random') {
    const whole = type === 'u32' || type === 'i32';
    const [min, max] = range ?? { f32: [-1, 1], f16: [-1, 1], u32: [0, 2 ** 32], i32: [-(2 ** 31), 2 ** 31] }[type];
    const random = randomFrom(binding + 1);
    for (let i = 0; i < count; i++) {
      const value = min! + (max! - min!) * random();
      values[i] = whole ? Math.floor(value) : value;
    }
  }
  return bytes;
}

/** Marsaglia's xorshift32. */
function randomFrom(seed: number): () => number {
  let state = (seed * 0x9e3779b9) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** @param before what both found there */
export function compare(
  { binding, type, count }: BindingDescription,
  before: Elements,
  first: Elements,
  second: Elements,
): Difference {
  let largest = 0;
  for (const values of [first, second]) {
    for (const value of values) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
  }
  let [different, wrong, maxAbsolute, maxRelative, changed] = [0, 0, 0, 0, false];
  let found: Difference['first'];
  for (let i = 0; i < count; i++) {
    const [a, b] = [first[i]!, second[i]!];
    changed ||= !Object.is(a, before[i]) || !Object.is(b, before[i]);
    if (Object.is(a, b)) continue;
    different++;
    const absolute = a === b ? 0 : Math.abs(a - b);
    const relative = a === b ? 0 : absolute / Math.max(Math.abs(a), Math.abs(b), 0.1 * largest);
    // One is infinite or NaN, and the other something else.
    const incomparable = Number.isNaN(relative) || absolute === Number.POSITIVE_INFINITY;
    maxAbsolute = Math.max(maxAbsolute, incomparable ? Number.POSITIVE_INFINITY : absolute);
    maxRelative = Math.max(maxRelative, incomparable ? Number.POSITIVE_INFINITY : relative);
    if (!incomparable && relative <= TOLERANCES[type]) continue;
    wrong++;
    found ??= { index: i, values: [a, b] };
  }
  return {
    binding,
    count,
    different,
    wrong,
    maxAbsolute,
    maxRelative,
    ...(found && { first: found }),
    changed,
    agrees: wrong === 0,
  };
}

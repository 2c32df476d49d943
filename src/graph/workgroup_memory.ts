// Variables in workgroup memory of kernels that share a dispatch: which may be one, how large it is, and how each finds its elements.
import { ShaderError } from '../errors.ts';
import { constantValue } from '../gpu/constants.ts';

/** What is read of a kernel's variables in workgroup memory. */
export interface InWorkgroup {
  /** Their types, written out. */
  readonly shared: readonly string[];
  /** Of each of these, whether all that is done with it is to read and write elements of the innermost array. */
  readonly byElement: readonly boolean[];
}

/** The declaration of a variable in workgroup memory: its name, its type. */
export const SHARED = /^var<workgroup> (\w+): ([^;]+);/gm;

const ARRAY = /^array<(.*), ([^<>]+)>$/;

/** An array of arrays: their lengths from outside in, and what the innermost is of. */
function nestOf(type: string): { readonly lengths: readonly string[]; readonly leaf: string } {
  const lengths: string[] = [];
  let leaf = type.trim();
  for (let array = ARRAY.exec(leaf); array; array = ARRAY.exec(leaf)) {
    leaf = array[1]!;
    lengths.push(array[2]!);
  }
  return { lengths, leaf };
}

interface Access {
  readonly start: number;
  readonly end: number;
  readonly indices: readonly string[];
}

/** Where a text reads or writes elements of a variable; undefined if it does anything else with it, or in an index of it. */
export function accessesOf(text: string, name: string, type: string): Access[] | undefined {
  const { lengths } = nestOf(type);
  const found: Access[] = [];
  const blank = (part: string) => ' '.repeat(part.length);
  const code = text.replace(SHARED, blank).replace(/\/\/.*/g, blank);
  for (const { index } of code.matchAll(word(name))) {
    const indices: string[] = [];
    let end = index + name.length;
    while (text[end] === '[' && indices.length < lengths.length) {
      const open = end;
      let depth = 0;
      do {
        if (text[end] === '[') depth++;
        else if (text[end] === ']') depth--;
        end++;
      } while (depth > 0);
      indices.push(text.slice(open + 1, end - 1));
    }
    const isInside = index < (found.at(-1)?.end ?? 0);
    if (indices.length < lengths.length || lengths.length === 0 || isInside) return undefined;
    found.push({ start: index, end, indices });
  }
  return found;
}

const word = (name: string) => new RegExp(`(?<![.\\w@])${name}\\b`, 'g');

/** An array of arrays as one: its elements are where they were, but the way there is by one index. */
export function flattened(text: string, name: string, type: string): string {
  const { lengths } = nestOf(type);
  let result = text;
  for (const { start, end, indices } of accessesOf(text, name, type)!.reverse()) {
    const index = indices.reduce((flat, at, i) => (i === 0 ? `(${at})` : `(${flat} * (${lengths[i]}) + (${at}))`), '');
    result = `${result.slice(0, start)}${name}[${index}]${result.slice(end)}`;
  }
  return result;
}

/** What tells which variables in workgroup memory may be one: arrays of one element, of several the first, the second, … */
export function keysOf({ shared, byElement }: InWorkgroup): string[] {
  const seen = new Map<string, number>();
  return shared.map((type, i) => {
    const of = byElement[i] ? nestOf(type).leaf : (ARRAY.exec(type)?.[1] ?? `one ${type}`);
    const n = seen.get(of) ?? 0;
    seen.set(of, n + 1);
    return `${of} ${n}`;
  });
}

export interface Shared {
  readonly type: string;
  /** It stands for arrays of arrays of several forms, and so is one array of their elements. */
  readonly isFlat: boolean;
}

/** The variables in workgroup memory of several kernels that never use them at a time: each as large as the largest wants it. */
export function sharedBy(kernels: readonly InWorkgroup[]): Map<string, Shared> {
  const types = new Map<string, string[]>();
  for (const kernel of kernels) {
    keysOf(kernel).forEach((key, i) => {
      types.set(key, [...(types.get(key) ?? []), kernel.shared[i]!]);
    });
  }
  const largest = (all: readonly string[]) => all.reduce((a, b) => (bytesOfType(b) > bytesOfType(a) ? b : a));
  return new Map(
    [...types].map(([key, all]) => {
      const type = largest(all);
      const isFlat = new Set(all.map((one) => ARRAY.exec(one)?.[1])).size > 1;
      const { leaf } = nestOf(type);
      return [
        key,
        isFlat ? { type: `array<${leaf}, ${bytesOfType(type) / bytesOfType(leaf)}>`, isFlat } : { type, isFlat },
      ];
    }),
  );
}

const BYTES: Readonly<Record<string, number>> = { f32: 4, u32: 4, i32: 4, f16: 2 };

/** Bytes of a type that is written out, such as `array<vec4f, 16 * 64 / 4>`. */
export function bytesOfType(type: string): number {
  const name = type.trim();
  const array = ARRAY.exec(name);
  if (array) return bytesOfType(array[1]!) * count(array[2]!);
  const vector = /^vec([24])(?:([fu])|<(\w+)>)$/.exec(name);
  const element = vector?.[2] ? `${vector[2]}32` : (vector?.[3] ?? name);
  const bytes = BYTES[element];
  if (bytes === undefined) throw new ShaderError(`how many bytes a ${type} has is not known`);
  return bytes * Number(vector?.[1] ?? 1);
}

/** The value of a constant expression of numbers. */
export const count = (text: string): number => constantValue(text, () => undefined);

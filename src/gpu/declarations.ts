// What a shader file declares, read once a file: its constants, what lies in workgroup memory, its entry point. And what its
// constant expressions are worth, for whoever sets constants: loops are written out by that, and workgroups and memory counted.
import { ShaderError } from '../errors.ts';

export interface EntryPoint {
  /** From its attributes to its opening brace. */
  readonly text: string;
  /** Threads of a workgroup along each axis: constant expressions. */
  readonly size: readonly string[];
  readonly parameters: readonly { readonly builtin: string; readonly name: string; readonly type: string }[];
  /** Whether these are all that it is given. */
  readonly isWhole: boolean;
}

export interface Declarations {
  /** Constants and aliases with what stands for them in the file. */
  readonly values: ReadonlyMap<string, string>;
  /** Variables in workgroup memory. */
  readonly shared: readonly { readonly line: string; readonly name: string; readonly type: string }[];
  /** Of all that stands at the top, functions included. */
  readonly names: readonly string[];
  readonly entry: EntryPoint | undefined;
  /** Its threads meet at barriers, or share memory or registers: they need their workgroup as it is. */
  readonly isBound: boolean;
}

const ENTRY = /@compute\s+@workgroup_size\(([^)]*)\)\s+fn main\(([^)]*(?:\([^)]*\)[^)]*)*)\) \{/;
const PARAMETER = /@builtin\((\w+)\) (\w+): (\w+)/g;
const SHARED = /^var<workgroup> (\w+): ([^;]+);/gm;
const VALUE = /^(?:const|alias) (\w+)(?:: \w+)? = ([^;]+);/gm;
const NAME = /^(?:(?:@group\(\d+\) @binding\(\d+\) )?var<[^>]*>|const|alias|fn|struct) (\w+)/gm;

const known = new Map<string, Declarations>();

export function declarationsOf(source: string): Declarations {
  let found = known.get(source);
  if (!found) {
    // An app's ops may have a text for each of their shapes.
    if (known.size >= 256) known.clear();
    found = {
      values: new Map([...source.matchAll(VALUE)].map(([, name, value]) => [name!, value!])),
      shared: [...source.matchAll(SHARED)].map(([line, name, type]) => ({ line, name: name!, type: type! })),
      names: [...source.matchAll(NAME)].map(([, name]) => name!),
      entry: entryOf(source),
      isBound: /Barrier\(|var<workgroup>|subgroup/.test(source),
    };
    known.set(source, found);
  }
  return found;
}

function entryOf(source: string): EntryPoint | undefined {
  const found = ENTRY.exec(source);
  if (!found) return undefined;
  const [text, size, list] = found as unknown as [string, string, string];
  const parameters = [...list.matchAll(PARAMETER)].map(([, builtin, name, type]) => ({
    builtin: builtin!,
    name: name!,
    type: type!,
  }));
  const isWhole = parameters.length === list.split('@builtin').length - 1;
  return { text, size: size.split(',').map((part) => part.trim()), parameters, isWhole };
}

/** The number that a literal is, as 1 or 0 where it is a truth value; NaN for another word. */
export function numberOf(literal: string): number {
  if (literal === 'true' || literal === 'false') return literal === 'true' ? 1 : 0;
  return Number(literal.replace(/u$/, ''));
}

/**
 * The value of a sum, product or quotient of whole numbers and constants, such as `(TILE_M + 3u) / 4u`.
 *
 * @param valueOf the value of a name; NaN or undefined where it is none of a constant
 * @throws ShaderError if it is made of anything else
 */
export function constantValue(expression: string, valueOf: (name: string) => number | undefined): number {
  const tokens = expression.match(/\w+|\S/g) ?? [];
  let at = 0;
  const fail = (token = 'its end') => new ShaderError(`«${expression.trim()}» is no constant: it has ${token}`);
  const factor = (): number => {
    const token = tokens[at++];
    if (token === undefined) throw fail();
    if (token === '(') {
      const inner = sum();
      if (tokens[at++] !== ')') throw fail();
      return inner;
    }
    const value = valueOf(token) ?? numberOf(token);
    if (!Number.isFinite(value)) throw fail(token);
    return value;
  };
  const product = (): number => {
    let value = factor();
    for (let token = tokens[at]; token === '*' || token === '/'; token = tokens[at]) {
      at++;
      value = token === '*' ? value * factor() : Math.floor(value / factor());
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    for (let token = tokens[at]; token === '+' || token === '-'; token = tokens[at]) {
      at++;
      value += token === '+' ? product() : -product();
    }
    return value;
  };
  const value = sum();
  if (at < tokens.length) throw fail(tokens[at]);
  return value;
}

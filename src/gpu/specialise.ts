// Makes one shader out of a .wgsl file: replaces constants and hook bodies by name, unrolls marked loops, and adds the
// buffer declarations and library functions that the hooks use. Nothing else in the file changes.
import { ShaderError } from '../errors.ts';
import { constantValue, numberOf } from './constants.ts';
import { closing } from './library.ts';

export interface Specialisation {
  readonly constants?: Readonly<Record<string, number | boolean>>;
  /** Bodies of hook functions, without the braces. */
  readonly hooks?: Readonly<Record<string, string>>;
  /** Types by the names of their `alias` declarations. */
  readonly aliases?: Readonly<Record<string, string>>;
  readonly declarations?: string;
  /** Texts of functions that hooks call. */
  readonly functions?: readonly string[];
}

type Constants = Readonly<Record<string, number | boolean>>;

/** Replaces the values of `const` declarations; lines stay where they are. */
function setConstants(source: string, constants: Constants): string {
  const left = new Set(Object.keys(constants));
  const text = source.replace(
    /^([ \t]*const (\w+): (\w+) = )[^;]*;/gm,
    (declaration, head, name: string, type: string) => {
      if (!left.delete(name)) return declaration;
      const value = constants[name]!;
      if ((type === 'u32' || type === 'i32') && !Number.isInteger(value) && typeof value !== 'boolean') {
        throw new ShaderError(`constant ${name} is ${type}, got ${value}`);
      }
      return `${head}${value};`;
    },
  );
  const [missing] = left;
  if (missing !== undefined) throw new ShaderError(`the shader declares no constant ${missing}`);
  return text;
}

/** Replaces the value of a `const` declaration; lines stay where they are. */
export function setConstant(source: string, name: string, value: number | boolean): string {
  return setConstants(source, { [name]: value });
}

function setAlias(source: string, name: string, type: string): string {
  const pattern = new RegExp(`^(alias ${name} = )[^;]*;`, 'm');
  if (!pattern.test(source)) throw new ShaderError(`the shader declares no alias ${name}`);
  return source.replace(pattern, `$1${type};`);
}

/** A shader in pieces, the bodies of some of its functions left out. */
interface Template {
  readonly directives: string;
  /** Text, a hook's name, text, a hook's name, …, text. */
  readonly pieces: readonly string[];
}

/** Cuts the bodies of hooks out of a shader. */
function cutHooks(source: string, names: readonly string[]): string[] {
  const found = names.map((name) => {
    const start = new RegExp(`^fn ${name}\\(`, 'm').exec(source);
    if (!start) throw new ShaderError(`the shader declares no hook ${name}`);
    const open = source.indexOf('{', start.index);
    return { name, open, end: closing(source, open) };
  });
  found.sort((a, b) => a.open - b.open);
  let at = 0;
  const pieces = found.flatMap(({ name, open, end }) => {
    const before = source.slice(at, open + 1);
    at = end - 1;
    return [before, name];
  });
  return [...pieces, source.slice(at)];
}

const LOOP = /for \(var (\w+) = (\w+)u?; \1 < ([^;]+); \1(\+\+| \+= \w+)\) \{ \/\/ unroll/;

/** Numbers, and 0 or 1 for a boolean. */
function constantsOf(source: string): Map<string, number> {
  const result = new Map<string, number>();
  for (const [, name, value] of source.matchAll(/^const (\w+): \w+ = (\w+);/gm)) {
    const parsed = numberOf(value!);
    if (Number.isFinite(parsed)) result.set(name!, parsed);
  }
  return result;
}

const ELSE = /^ else (?:if \([^{]*\) )?\{/;

/**
 * Leaves of an `if` whose condition is a constant, or compares one with a number, only the block that is taken: what is
 * never run need not be unrolled, sent to the driver, and read there.
 */
function choose(source: string, constants: ReadonlyMap<string, number>): string {
  if (constants.size === 0) return source;
  const pattern = new RegExp(`\\bif \\((${[...constants.keys()].join('|')})(?: == (\\d+)u?)?\\) `);
  let text = source;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [head, name, number = 1] = match;
    const open = match.index + head.length;
    const blockEnd = closing(text, open);
    let end = blockEnd;
    for (let next = ELSE.exec(text.slice(end)); next; next = ELSE.exec(text.slice(end))) {
      end = closing(text, end + next[0].length - 1);
    }
    const isTaken = constants.get(name!) === Number(number);
    const taken = isTaken ? text.slice(open, blockEnd) : text.slice(blockEnd, end).replace(/^ else /, '');
    text = text.slice(0, match.index) + taken + text.slice(end);
  }
  return text;
}

/** Writes out every loop marked `// unroll`, outermost first. The marked loop is the same shader, only slower. */
function unroll(source: string, constants: ReadonlyMap<string, number>): string {
  const parts: string[] = [];
  let rest = source;
  for (let match = LOOP.exec(rest); match; match = LOOP.exec(rest)) {
    const [head, variable, start, bound, step] = match;
    const open = match.index + head.indexOf('{');
    const end = closing(rest, open);
    const body = rest.slice(open + 1, end - 1).replace(/^ \/\/ unroll/, '');
    if (new RegExp(`\\b(let|var|const) ${variable}\\b`).test(body)) {
      throw new ShaderError(`cannot unroll the loop over ${variable}: it declares another ${variable}`);
    }
    // The variable, and not a component of its name.
    const name = new RegExp(`(?<![.\\w])${variable}\\b`, 'g');
    const valueOf = (expression: string) => {
      try {
        return constantValue(expression, (name) => constants.get(name));
      } catch (error) {
        throw new ShaderError(`cannot unroll up to ${(error as Error).message}`, { cause: error });
      }
    };
    const increment = step === '++' ? 1 : valueOf(step!.replace('+=', ''));
    const copies: string[] = [];
    for (let i = valueOf(start!), end = valueOf(bound!); i < end; i += increment) {
      copies.push(`{${unroll(body.replace(name, `${i}u`), constants)}}`);
    }
    parts.push(rest.slice(0, match.index), copies.join('\n'));
    rest = rest.slice(end);
  }
  return parts.join('') + rest;
}

/** A shuffle from a lane that is known once loops are written out is a broadcast, which drivers do in an instruction. */
function broadcasts(source: string): string {
  return source.replace(/subgroupShuffle\((.*), ([\du+*/%() A-Z_]+)\);/g, 'subgroupBroadcast($1, $2);');
}

const DIRECTIVE = /^(enable|requires|diagnostic)\b[^;]*;$/gm;

/** Text with its choices between constants made, and its marked loops written out. */
function writtenOut(text: string, constants: ReadonlyMap<string, number>): string {
  return broadcasts(unroll(choose(text, constants), constants));
}

/** Results that are asked for again and again, of any number of arguments that make a key; the latest hundreds are kept. */
function remember<T>(make: () => T, key: string, known: Map<string, T>): T {
  let result = known.get(key);
  if (result === undefined) {
    if (known.size >= 256) known.clear();
    result = make();
    known.set(key, result);
  }
  return result;
}

const templates = new Map<string, Template>();
const libraries = new Map<string, string>();

/** A shader with all that does not depend on what its hooks do: many kernels of a model share it. */
function templateOf(source: string, { constants = {}, hooks = {}, aliases = {} }: Specialisation): Template {
  let text = setConstants(source, constants);
  for (const [name, type] of Object.entries(aliases)) text = setAlias(text, name, type);
  // Directives stand before all else.
  const directives = text.match(DIRECTIVE)?.join('\n') ?? '';
  const values = constantsOf(text);
  const pieces = cutHooks(text.replace(DIRECTIVE, ''), Object.keys(hooks));
  return {
    directives,
    pieces: pieces.map((piece, i) => (i % 2 ? piece : writtenOut(piece, values))),
  };
}

/**
 * The WGSL of a kernel.
 *
 * @param source a complete shader
 * @throws ShaderError if the source lacks a constant or hook that is named
 */
export function specialise(source: string, what: Specialisation): string {
  const { constants, hooks = {}, aliases, declarations, functions = [] } = what;
  const key = [source, JSON.stringify([constants, aliases, Object.keys(hooks)])].join('\n');
  const { directives, pieces } = remember(() => templateOf(source, what), key, templates);
  const brought = functions.join('\n\n');
  const called = brought && remember(() => writtenOut(brought, constantsOf(brought)), brought, libraries);
  for (const [, name] of brought.matchAll(/^(?:fn|struct|const|alias)\s+(\w+)/gm)) {
    const declares = new RegExp(`^(fn|struct|const|alias) ${name}\\b`, 'm');
    if (!pieces.some((piece, i) => i % 2 === 0 && declares.test(piece))) continue;
    throw new ShaderError(`the kernel declares ${name} itself: a function that an op brings along needs another name`);
  }
  const body = pieces.map((piece, i) => (i % 2 ? `${hooks[piece]}\n` : piece)).join('');
  return [directives, declarations, called, body].filter(Boolean).join('\n\n');
}

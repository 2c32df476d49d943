// Makes one shader out of a .wgsl file: replaces constants and hook bodies by name, unrolls marked loops, and adds the
// buffer declarations and library functions that the hooks use. Nothing else in the file changes.
import { ShaderError } from '../errors.ts';
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

/** Replaces the value of a `const` declaration; lines stay where they are. */
export function setConstant(source: string, name: string, value: number | boolean): string {
  const pattern = new RegExp(`^(const ${name}: (\\w+) = )[^;]*;`, 'm');
  const match = pattern.exec(source);
  if (!match) throw new ShaderError(`the shader declares no constant ${name}`);
  const integer = match[2] === 'u32' || match[2] === 'i32';
  if (integer && !Number.isInteger(value) && typeof value !== 'boolean') {
    throw new ShaderError(`constant ${name} is ${match[2]}, got ${value}`);
  }
  return source.replace(pattern, `$1${value};`);
}

function setAlias(source: string, name: string, type: string): string {
  const pattern = new RegExp(`^(alias ${name} = )[^;]*;`, 'm');
  if (!pattern.test(source)) throw new ShaderError(`the shader declares no alias ${name}`);
  return source.replace(pattern, `$1${type};`);
}

function setHook(source: string, name: string, body: string): string {
  const start = new RegExp(`^fn ${name}\\(`, 'm').exec(source);
  if (!start) throw new ShaderError(`the shader declares no hook ${name}`);
  const open = source.indexOf('{', start.index);
  return `${source.slice(0, open)}{${body}\n}${source.slice(closing(source, open))}`;
}

const LOOP = /for \(var (\w+) = (\w+)u?; \1 < ([^;]+); \1(\+\+| \+= \w+)\) \{ \/\/ unroll/;

/** The value of a product or quotient of numbers and constants, such as `TILE_M / 4u`. */
function evaluate(expression: string, constants: ReadonlyMap<string, number>): number {
  const tokens = expression.trim().split(/\s+/);
  const number = (token: string) => {
    const value = constants.get(token) ?? numberOf(token);
    if (!Number.isFinite(value)) throw new ShaderError(`cannot unroll up to «${expression}»: ${token} is not constant`);
    return value;
  };
  let value = number(tokens[0]!);
  for (let i = 1; i < tokens.length; i += 2) {
    const operand = number(tokens[i + 1]!);
    if (tokens[i] === '*') value *= operand;
    else if (tokens[i] === '/') value = Math.floor(value / operand);
    else if (tokens[i] === '+') value += operand;
    else throw new ShaderError(`cannot unroll up to «${expression}»`);
  }
  return value;
}

/** Numbers, and 0 or 1 for a boolean. */
function constantsOf(source: string): Map<string, number> {
  const result = new Map<string, number>();
  for (const [, name, value] of source.matchAll(/^const (\w+): \w+ = (\w+);/gm)) {
    const parsed = numberOf(value === 'false' ? '0' : value === 'true' ? '1' : value!);
    if (Number.isFinite(parsed)) result.set(name!, parsed);
  }
  return result;
}

function numberOf(literal: string): number {
  return Number(literal.replace(/u$/, ''));
}

const ELSE = /^ else (?:if \([^{]*\) )?\{/;

/**
 * Leaves of an `if` whose condition is a constant, or compares one with a number, only the block that is taken: what is
 * never run need not be unrolled, sent to the driver, and read there.
 */
function choose(source: string, constants: ReadonlyMap<string, number>): string {
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
  let text = source;
  for (let match = LOOP.exec(text); match; match = LOOP.exec(text)) {
    const [head, variable, start, bound, step] = match;
    const open = match.index + head.indexOf('{');
    const end = closing(text, open);
    const body = text.slice(open + 1, end - 1).replace(/^ \/\/ unroll/, '');
    const name = new RegExp(`\\b${variable}\\b`, 'g');
    const increment = step === '++' ? 1 : evaluate(step!.replace('+=', ''), constants);
    const copies: string[] = [];
    for (let i = evaluate(start!, constants); i < evaluate(bound!, constants); i += increment) {
      copies.push(`{${body.replace(name, `${i}u`)}}`);
    }
    text = text.slice(0, match.index) + copies.join('\n') + text.slice(end);
  }
  return text;
}

/** A shuffle from a lane that is known once loops are written out is a broadcast, which drivers do in an instruction. */
function broadcasts(source: string): string {
  return source.replace(/subgroupShuffle\((.*), ([\du+*/%() A-Z_]+)\);/g, 'subgroupBroadcast($1, $2);');
}

const DIRECTIVE = /^(enable|requires|diagnostic)\b[^;]*;$/gm;

/**
 * The WGSL of a kernel.
 *
 * @param source a complete shader
 * @throws ShaderError if the source lacks a constant or hook that is named
 */
export function specialise(source: string, what: Specialisation): string {
  let text = source;
  for (const [name, value] of Object.entries(what.constants ?? {})) text = setConstant(text, name, value);
  for (const [name, body] of Object.entries(what.hooks ?? {})) text = setHook(text, name, body);
  for (const [name, type] of Object.entries(what.aliases ?? {})) text = setAlias(text, name, type);
  const functions = what.functions?.join('\n\n');
  for (const [, name] of functions?.matchAll(/^(?:fn|struct|const|alias)\s+(\w+)/gm) ?? []) {
    if (new RegExp(`^(fn|struct|const|alias) ${name}\\b`, 'm').test(text))
      throw new ShaderError(
        `the kernel declares ${name} itself: a function that an op brings along needs another name`,
      );
  }
  // Directives stand before all else.
  const directives = text.match(DIRECTIVE)?.join('\n') ?? '';
  const body = text.replace(DIRECTIVE, '');
  const whole = [directives, what.declarations, functions, body].filter(Boolean).join('\n\n');
  const constants = constantsOf(whole);
  return broadcasts(unroll(choose(whole, constants), constants));
}

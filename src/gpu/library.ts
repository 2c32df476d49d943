// Functions of WGSL that come along with the ops that use them: which declarations of a text a kernel needs.
import { ShaderError } from '../errors.ts';

/** The index just past the brace that closes the one at `open`. */
export function closing(source: string, open: number): number {
  let depth = 0;
  for (let i = open; i < source.length; i++) {
    if (source[i] === '/' && source[i + 1] === '/') {
      i = source.indexOf('\n', i);
      if (i < 0) break;
    } else if (source[i] === '{') depth++;
    else if (source[i] === '}' && --depth === 0) return i + 1;
  }
  throw new ShaderError(`unbalanced braces after «${source.slice(open, open + 40)}»`);
}

const parsed = new Map<string, Map<string, string>>();

/** The functions, constants and structures that a text declares, by name, without the comments in front of them. */
export function declarationsOf(library: string): Map<string, string> {
  let result = parsed.get(library);
  if (result) return result;
  result = new Map();
  for (const { 0: head, 1: kind, 2: name, index } of library.matchAll(/^[ \t]*(fn|struct|const|alias)\s+(\w+)/gm)) {
    const isBlock = kind === 'fn' || kind === 'struct';
    const open = library.indexOf('{', index);
    const end = isBlock ? closing(library, open) : library.indexOf(';', index) + 1;
    result.set(name!, library.slice(index + head.search(/\S/), end));
  }
  parsed.set(library, result);
  return result;
}

const namesOf = (text: string) => new Set(text.match(/(?<![.\w])[a-zA-Z_]\w*/g));

const mentioned = new Map<string, Set<string>>();

/** The names in a declaration, which every expression that uses it asks for again. */
function namesIn(declaration: string): Set<string> {
  let names = mentioned.get(declaration);
  if (!names) {
    names = namesOf(declaration);
    mentioned.set(declaration, names);
  }
  return names;
}

/** Those that a text of WGSL mentions, and those that they mention, in the library's order. */
export function neededBy(text: string, library: string): [name: string, text: string][] {
  const all = declarationsOf(library);
  const wanted = new Set<string>();
  const visit = (names: Iterable<string>) => {
    for (const name of names) {
      if (!all.has(name) || wanted.has(name)) continue;
      wanted.add(name);
      visit(namesIn(all.get(name)!));
    }
  };
  visit(namesOf(text));
  return [...all].filter(([name]) => wanted.has(name));
}

/** What kernels take of libraries, each declaration once: of one name but another text, under another name. */
export class Declarations {
  private readonly texts = new Map<string, string>();

  /** Adds what an expression needs of a library, and gives the expression, with other names where others had them first. */
  use(expression: string, library: string): string {
    const needed = neededBy(expression, library);
    for (let n = 0; ; n++) {
      const renamed = n === 0 ? (text: string) => text : renaming(needed, n);
      const parts = needed.map(([name, text]) => [renamed(name), renamed(text)] as const);
      if (parts.some(([name, text]) => (this.texts.get(name) ?? text) !== text)) continue;
      for (const [name, text] of parts) this.texts.set(name, text);
      return renamed(expression);
    }
  }

  get all(): readonly string[] {
    return [...this.texts.values()];
  }
}

function renaming(declarations: readonly (readonly [string, string])[], n: number): (text: string) => string {
  const pattern = new RegExp(`(?<![.\\w])(${declarations.map(([name]) => name).join('|')})\\b`, 'g');
  return (text) => text.replace(pattern, `$1_${n}`);
}

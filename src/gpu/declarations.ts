// What a shader file declares, read once a file: its constants, what lies in workgroup memory, its entry point.

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

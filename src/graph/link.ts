// Several kernels as one shader: side by side, each with workgroups of its own, or in turn, by one workgroup.
//
// Each kernel's shader stays as it is, its names with a number behind, and its entry point becomes a function that is told which
// workgroup and which thread it is. A workgroup finds its kernel by comparing its number with constants, so that all its threads
// take the same branch, and barriers stand where all of them come by.
import type { Kernel } from '../ops/tensor.ts';
import {
  accessesOf,
  count,
  flattened,
  type InWorkgroup,
  keysOf,
  SHARED,
  type Shared,
  sharedBy,
} from './workgroup_memory.ts';

export type Arrangement = 'side by side' | 'in turn';

/** What can be read off a kernel before its hooks are written. */
export interface Outline extends InWorkgroup {
  /** Threads of a workgroup. */
  readonly threads: number;
  readonly workgroups: readonly [number, number, number];
  /** Whether its threads need their workgroup as it is: they meet at barriers, or share memory. */
  readonly isBound: boolean;
  /** Whether it may be linked at all: its entry point asks for nothing that a part cannot be told. */
  readonly isLinkable: boolean;
}

type Source = Pick<Kernel, 'source' | 'constants' | 'aliases' | 'workgroups'>;

const ENTRY = /@compute\s+@workgroup_size\(([^)]*)\)\s+fn main\(([^)]*(?:\([^)]*\)[^)]*)*)\) \{/;
const PARAMETER = /@builtin\((\w+)\) (\w+): (\w+)/g;
const DECLARED = /^(?:(?:@group\(\d+\) @binding\(\d+\) )?var<[^>]*>|const|alias|fn|struct) (\w+)/gm;

/** What a part is told, by the name of the builtin that it asked for. */
const TOLD: Readonly<Record<string, string>> = {
  workgroup_id: 'vec3u',
  num_workgroups: 'vec3u',
  local_invocation_index: 'u32',
  local_invocation_id: 'vec3u',
};

function entryOf(source: string) {
  const found = ENTRY.exec(source);
  if (!found) return undefined;
  const [text, size, list] = found as unknown as [string, string, string];
  const parameters = [...list.matchAll(PARAMETER)].map(([, builtin, name, type]) => ({ builtin, name, type }));
  const isWhole = parameters.length === list.split('@builtin').length - 1;
  return { text, size: size.split(',').map((part) => part.trim()), parameters, isWhole };
}

/** Values of a shader's constants and aliases, as a kernel sets them. */
function valuesOf({ source, constants, aliases = {} }: Source): Map<string, string> {
  const values = new Map<string, string>();
  for (const [, name, value] of source.matchAll(/^(?:const|alias) (\w+)(?:: \w+)? = ([^;]+);/gm))
    values.set(name!, value!);
  for (const [name, value] of Object.entries({ ...constants, ...aliases })) values.set(name, String(value));
  return values;
}

/** A text with the values of constants and aliases in place of their names. */
function written(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(/[A-Za-z_]\w*/g, (name) => {
    const value = values.get(name);
    return value === undefined ? name : /^\w+$/.test(value) ? value : written(value, values);
  });
}

const sizeOf = (axis: string, values: ReadonlyMap<string, string>) => count(written(axis, values));

export function outlineOf(kernel: Source): Outline {
  const { source, workgroups } = kernel;
  const values = valuesOf(kernel);
  const entry = entryOf(source);
  const threads = entry?.size.reduce((product, axis) => product * sizeOf(axis, values), 1) ?? 0;
  return {
    threads,
    workgroups,
    isBound: /Barrier\(|var<workgroup>|subgroup/.test(source),
    shared: [...source.matchAll(SHARED)].map(([, , type]) => written(type!, values)),
    byElement: [...source.matchAll(SHARED)].map(([, name, type]) => accessesOf(source, name!, type!) !== undefined),
    isLinkable: entry?.isWhole === true && entry.parameters.every(({ builtin, type }) => TOLD[builtin!] === type),
  };
}

/** The workgroups of a number of kernels side by side: a part may have several of its own in one of the dispatch. */
function partWorkgroups({ threads, workgroups }: Outline, together: number): number {
  return Math.ceil((product(workgroups) * threads) / together);
}

const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1);

/** Threads of a dispatch of such kernels: those of the ones that need their workgroup as it is, or `most`. */
export function threadsOf(outlines: readonly Outline[], arrangement: Arrangement, most: number): number {
  const bound = outlines.find(({ isBound }) => isBound);
  if (bound) return bound.threads;
  return arrangement === 'in turn' ? most : Math.max(...outlines.map(({ threads }) => threads));
}

/**
 * One kernel of several.
 *
 * @param most threads that one workgroup may have
 * @param grid spreads workgroups over two dimensions where one takes too few
 */
export function link(
  kernels: readonly Kernel[],
  arrangement: Arrangement,
  most: number,
  grid: (workgroups: number) => [number, number, number],
): Kernel {
  const outlines = kernels.map(outlineOf);
  const threads = threadsOf(outlines, arrangement, most);
  const shared = new Map([...sharedBy(outlines)].map(([key, one], i) => [key, { ...one, name: `shared${i}` }]));
  const declared = [...shared.values()].map(({ name, type }) => `var<workgroup> ${name}: ${type};`);
  const parts = kernels.map((kernel, i) => partOf(kernel, `_${i}`, outlines[i]!, shared));
  const calls = outlines.map((outline, i) => callOf(kernels[i]!, outline, `main_${i}`));
  const total = outlines.reduce((sum, outline) => sum + partWorkgroups(outline, threads), 0);
  const main = arrangement === 'in turn' ? inTurn(outlines, calls, threads) : sideBySide(outlines, calls, threads);
  const merged = <T>(pick: (part: Part) => Readonly<Record<string, T>>) =>
    Object.assign({}, ...parts.map(pick)) as Record<string, T>;
  return {
    source: [...declared, ...parts.map(({ source }) => source), main].join('\n'),
    constants: merged(({ constants }) => constants),
    hooks: merged(({ hooks }) => hooks),
    aliases: merged(({ aliases }) => aliases),
    workgroups: arrangement === 'in turn' ? [1, 1, 1] : grid(total),
    flops: kernels.reduce((sum, { flops }) => sum + flops, 0),
  };
}

type Part = Required<Pick<Kernel, 'source' | 'constants' | 'hooks' | 'aliases'>>;

/** A kernel under other names. */
function partOf(
  kernel: Kernel,
  suffix: string,
  outline: Outline,
  shared: ReadonlyMap<string, Shared & { name: string }>,
): Part {
  const source = kernel.source.replace(/^[ \t]*\/\/.*\n/gm, '').replace(/\n{2,}/g, '\n');
  const names = new Map([...source.matchAll(DECLARED)].map(([, name]) => [name!, `${name}${suffix}`]));
  let text = source;
  const keysOfOwn = keysOf(outline);
  [...source.matchAll(SHARED)].forEach(([line, name, type], i) => {
    const one = shared.get(keysOfOwn[i]!)!;
    text = text.replace(line, '');
    if (one.isFlat) text = flattened(text, name!, type!);
    names.set(name!, one.name);
  });
  const { text: entry, parameters } = entryOf(text)!;
  const told = parameters.map(({ name, type }) => `${name}: ${type}`).join(', ');
  text = text.replace(entry, `fn main(${told}) {`);
  const pattern = new RegExp(`(?<![.\\w@])(${[...names.keys()].join('|')})\\b`, 'g');
  const renamed = (code: string) => code.replace(pattern, (name) => names.get(name)!);
  const keys = <T>(record: Readonly<Record<string, T>>, value: (it: T) => T = (it) => it) =>
    Object.fromEntries(Object.entries(record).map(([name, it]) => [names.get(name) ?? name, value(it)]));
  return {
    source: renamed(text),
    constants: keys(kernel.constants),
    hooks: keys(kernel.hooks, renamed),
    aliases: keys(kernel.aliases ?? {}),
  };
}

/** What calls a part, given WGSL for the number of its workgroup and of its thread. */
function callOf(kernel: Kernel, { workgroups: [x, y, z] }: Outline, name: string) {
  const { size, parameters } = entryOf(kernel.source)!;
  const values = valuesOf(kernel);
  const [sizeX = 1, sizeY = 1] = size.map((axis) => sizeOf(axis, values));
  return (group: string, thread: string) => {
    const flat = y * z === 1;
    const told: Readonly<Record<string, string>> = {
      workgroup_id: flat
        ? `vec3u(${group}, 0u, 0u)`
        : `vec3u(${group} % ${x}u, ${group} / ${x}u % ${y}u, ${group} / ${x * y}u)`,
      num_workgroups: `vec3u(${x}u, ${y}u, ${z}u)`,
      local_invocation_index: thread,
      local_invocation_id: `vec3u(${thread} % ${sizeX}u, ${thread} / ${sizeX}u % ${sizeY}u, ${thread} / ${sizeX * sizeY}u)`,
    };
    return `${name}(${parameters.map(({ builtin }) => told[builtin!]).join(', ')});`;
  };
}

type Call = ReturnType<typeof callOf>;

function sideBySide(outlines: readonly Outline[], calls: readonly Call[], threads: number): string {
  let first = 0;
  const branches = outlines.map((outline, i) => {
    const own = partWorkgroups(outline, threads);
    const at = first === 0 ? 'at' : `at - ${first}u`;
    first += own;
    const body =
      outline.threads === threads
        ? `let group = ${at}; ${calls[i]!('group', 'local')}`
        : `let i = (${at}) * ${threads}u + local; if (i < ${product(outline.workgroups) * outline.threads}u) { let group = i / ${outline.threads}u; ${calls[i]!('group', `(i % ${outline.threads}u)`)} }`;
    return `if (at < ${first}u) { ${body} }`;
  });
  return `
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) ids: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = id.y * ids.x + id.x;
  ${branches.join('\n  else ')}
}
`;
}

function inTurn(outlines: readonly Outline[], calls: readonly Call[], threads: number): string {
  const steps = outlines.map((outline, i) => {
    const groups = product(outline.workgroups);
    if (outline.isBound) {
      const call = calls[i]!('group', 'local');
      return groups === 1
        ? `{ let group = 0u; ${call} }`
        : `for (var group = 0u; group < ${groups}u; group++) { ${call} workgroupBarrier(); }`;
    }
    const all = groups * outline.threads;
    const call = calls[i]!('group', `(i % ${outline.threads}u)`);
    return `for (var i = local; i < ${all}u; i += ${threads}u) { let group = i / ${outline.threads}u; ${call} }`;
  });
  return `
@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) local: u32) {
  ${steps.join('\n  storageBarrier();\n  workgroupBarrier();\n  ')}
}
`;
}

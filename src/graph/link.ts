// Several kernels as one shader: side by side, each with workgroups of its own, or in turn, by one workgroup.
//
// Each kernel's shader stays as it is, its names with a number behind, and its entry point becomes a function that is told which
// workgroup and which thread it is. A workgroup finds its kernel by comparing its number with constants, so that all its threads
// take the same branch, and barriers stand where all of them come by.
import { constantValue } from '../gpu/constants.ts';
import { declarationsOf } from '../gpu/declarations.ts';
import type { Kernel } from '../ops/tensor.ts';

export type Arrangement = 'side by side' | 'in turn';

/** A variable in workgroup memory. */
export interface Shared {
  /** Its type, with numbers in place of constants. */
  readonly type: string;
  /** Of an array, the type of its elements. */
  readonly element: string;
  /** NaN where that is not known. */
  readonly bytes: number;
}

/** What is known of a kernel before its hooks are written. */
export interface Outline {
  /** Threads of a workgroup. */
  readonly threads: number;
  readonly workgroups: readonly [number, number, number];
  /** Whether its threads need their workgroup as it is: they meet at barriers, or share memory. */
  readonly isBound: boolean;
  readonly shared: readonly Shared[];
  /** Whether it may be linked at all: its entry point asks for nothing that a part cannot be told, and its memory is known. */
  readonly isLinkable: boolean;
}

type Source = Pick<Kernel, 'source' | 'constants' | 'aliases' | 'workgroups'>;

/** What a part is told, by the name of the builtin that it asked for. */
const TOLD: Readonly<Record<string, string>> = {
  workgroup_id: 'vec3u',
  num_workgroups: 'vec3u',
  local_invocation_index: 'u32',
  local_invocation_id: 'vec3u',
};

/** The values of a kernel's constants: those that it sets, and what the file says of others. */
function valuesOf({ source, constants }: Source): (name: string) => number | undefined {
  const { values } = declarationsOf(source);
  return function valueOf(name): number | undefined {
    const set = constants[name];
    if (set !== undefined) return Number(set);
    const text = values.get(name);
    return text === undefined ? undefined : constantValue(text, valueOf);
  };
}

const BYTES: Readonly<Record<string, number>> = { f32: 4, u32: 4, i32: 4, f16: 2 };

/** What a kernel has in workgroup memory. */
function sharedOf(kernel: Source): Shared[] {
  const { shared, values } = declarationsOf(kernel.source);
  const valueOf = valuesOf(kernel);
  const written = (name: string): Shared => {
    const type = kernel.aliases?.[name] ?? values.get(name) ?? name;
    const [, inside, length] = /^array<(.*), ([^<>]+)>$/.exec(type) ?? [];
    if (inside) {
      const inner = written(inside);
      const count = constantValue(length!, valueOf);
      return { type: `array<${inner.type}, ${count}>`, element: inner.type, bytes: inner.bytes * count };
    }
    const [, lanes = 1, letter, scalar] = /^vec([24])(?:([fu])|<(\w+)>)$/.exec(type) ?? [];
    const bytes = BYTES[letter ? `${letter}32` : (scalar ?? type)] ?? NaN;
    return { type, element: type, bytes: bytes * Number(lanes) };
  };
  return shared.map(({ type }) => written(type));
}

export function outlineOf(kernel: Source): Outline {
  const { entry, isBound } = declarationsOf(kernel.source);
  const shared = sharedOf(kernel);
  const isTold = entry?.isWhole === true && entry.parameters.every(({ builtin, type }) => TOLD[builtin] === type);
  return {
    threads: entry ? sizesOf(kernel).reduce((product, axis) => product * axis, 1) : 0,
    workgroups: kernel.workgroups,
    isBound,
    shared,
    isLinkable: isTold && !shared.some(({ bytes }) => Number.isNaN(bytes)),
  };
}

/** Threads of a workgroup along each axis. */
function sizesOf(kernel: Source): number[] {
  const valueOf = valuesOf(kernel);
  return declarationsOf(kernel.source).entry!.size.map((axis) => constantValue(axis, valueOf));
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
  const shared = sharedBy(outlines);
  const names = new Map([...shared.keys()].map((key, i) => [key, `shared${i}`]));
  const declared = [...shared].map(([key, { type }]) => `var<workgroup> ${names.get(key)}: ${type};`);
  const parts = kernels.map((kernel, i) => partOf(kernel, `_${i}`, names));
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

/** What tells which variables in workgroup memory may be one: arrays of one element, of several the first, the second, … */
function keysOf(shared: readonly Shared[]): string[] {
  const seen = new Map<string, number>();
  return shared.map(({ element }) => {
    const n = seen.get(element) ?? 0;
    seen.set(element, n + 1);
    return `${element} ${n}`;
  });
}

/** The variables in workgroup memory of several kernels that never use them at a time: each as large as the largest wants it. */
export function sharedBy(outlines: readonly Outline[]): Map<string, Shared> {
  const all = new Map<string, Shared>();
  for (const { shared } of outlines) {
    keysOf(shared).forEach((key, i) => {
      const before = all.get(key);
      if (!before || before.bytes < shared[i]!.bytes) all.set(key, shared[i]!);
    });
  }
  return all;
}

/** A kernel under other names. */
function partOf(kernel: Kernel, suffix: string, shared: ReadonlyMap<string, string>): Part {
  const { names: all, shared: own, entry } = declarationsOf(kernel.source);
  const names = new Map(all.map((name) => [name, `${name}${suffix}`]));
  let text = kernel.source.replace(/^[ \t]*\/\/.*\n/gm, '').replace(/\n{2,}/g, '\n');
  const keysOfOwn = keysOf(sharedOf(kernel));
  own.forEach(({ line, name }, i) => {
    text = text.replace(line, '');
    names.set(name, shared.get(keysOfOwn[i]!)!);
  });
  const { text: head, parameters } = entry!;
  const told = parameters.map(({ name, type }) => `${name}: ${type}`).join(', ');
  text = text.replace(head, `fn main(${told}) {`);
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
  const { parameters } = declarationsOf(kernel.source).entry!;
  const [sizeX = 1, sizeY = 1] = sizesOf(kernel);
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
    return `${name}(${parameters.map(({ builtin }) => told[builtin]).join(', ')});`;
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

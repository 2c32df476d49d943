// The form in which a group uses its kernel's variant: all that decides which code a driver gets, but for sizes.
import type { DType, Tensor } from '../ops/tensor.ts';
import { topological } from './graph.ts';
import { baseOf, type Group, isSource } from './schedule.ts';

/** What a kernel op reads an operand of, and how. */
export interface Operand {
  readonly dtype: DType;
  /** Types of the elements in memory that it is made of. */
  readonly stored: readonly DType[];
  /** Number of axes. */
  readonly rank: number;
  /** The views that it is read through, or other ops that are computed where it is loaded. */
  readonly through: readonly string[];
}

export interface Form {
  readonly attrs: string;
  readonly operands: readonly Operand[];
  /** Element types of what is stored. */
  readonly results: readonly DType[];
  /** The results are stored as the op computes them, and nothing else is. */
  readonly isBare: boolean;
  /** All of it, and which op it is. */
  readonly key: string;
}

const ids = new WeakMap<object, number>();
let nextId = 0;

/** A number for an object, always the same one: names tell ops apart for people alone. */
export function idOf(object: object): number {
  const id = ids.get(object) ?? nextId++;
  ids.set(object, id);
  return id;
}

const distinct = <T extends string>(texts: readonly T[]) => [...new Set(texts)].sort();

function operandOf(x: Tensor, reads: Group['reads']): Operand {
  const leaves: DType[] = [];
  const inMemory = (node: Tensor) => reads.has(node) || isSource(node);
  const leaf = (node: Tensor) => {
    if (!inMemory(node)) return false;
    leaves.push(node.dtype);
    return true;
  };
  const through = topological([x], leaf).map(({ op }) => op.name);
  return { dtype: x.dtype, stored: distinct(leaves), rank: x.shape.length, through: distinct(through) };
}

/** How a group with a kernel op uses it. */
export function formOf({ kernelOps, outputs, reads }: Group): Form {
  const [{ op, attrs: given }] = kernelOps as [Tensor];
  const computed = new Set(kernelOps.flatMap((node) => node.all.map(baseOf)));
  const attrs = JSON.stringify(given);
  const operands = kernelOps.flatMap(({ inputs }) => inputs.map((x) => operandOf(x, reads)));
  const results = outputs.map(({ dtype }) => dtype);
  const isBare = outputs.every((node) => computed.has(baseOf(node)));
  const key = JSON.stringify([idOf(op), attrs, kernelOps.length, operands, results, isBare]);
  return { attrs, operands, results, isBare, key };
}

/** For people: `transposeB, f32 through patches, f32, stored through other ops`. */
export function describeForm({ attrs, operands, isBare }: Form): string {
  const flags = Object.entries((JSON.parse(attrs) ?? {}) as object).flatMap(([name, value]) =>
    value === false ? [] : [value === true ? name : `${name} ${JSON.stringify(value)}`],
  );
  const read = operands.map(({ stored, rank, through }) => {
    const type = `${stored.join(' and ')} of rank ${rank}`;
    return through.length ? `${type} through ${through.join(', ')}` : type;
  });
  return [...flags, ...read, ...(isBare ? [] : ['with other ops behind it'])].join('; ');
}

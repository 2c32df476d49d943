// The text of a Schedule, for people and for tests: a line for each dispatch, and what it reads, computes and stores.
import { type Tensor, typeOf } from '../ops/tensor.ts';
import { topological } from './graph.ts';
import { type Group, isSource, type Schedule } from './schedule.ts';

/** Names of all nodes below some roots: `%3`, or what a source is called. */
export function namesOf(roots: readonly Tensor[]): Map<Tensor, string> {
  const nodes = topological(roots);
  let next = 0;
  const nameOf = (node: Tensor) => {
    if (!isSource(node)) return `%${next++}`;
    const { name, variable } = node.attrs as { name?: string; variable?: { name: string } };
    return name ?? variable!.name;
  };
  return new Map(nodes.map((node) => [node, nameOf(node)]));
}

export function schedulesRoots({ groups }: Schedule): Tensor[] {
  return groups.flatMap(({ outputs }) => outputs);
}

/** What a group computes, in an order in which it may: `matmul+add+relu`. */
export function titleOf({ kernelOps, outputs, reads, inPlaceConcat, members, arrangement }: Group): string {
  if (members) return `${arrangement}: ${members.map(titleOf).join(' | ')}`;
  if (inPlaceConcat) return 'pack, in place';
  const nodes = topological(outputs, (node) => reads.has(node) || isSource(node));
  const names = nodes.filter((node) => kernelOps.includes(node) || !node.op.traits?.view).map(({ op }) => op.name);
  return names.filter((name) => name !== 'result').join('+') || 'copy';
}

/**
 * A dispatch a line: what it computes, and by which variant; then what it reads (= where each thread reads only elements
 * that it may overwrite), and what it stores, with the reason why that is materialised.
 */
export function printSchedule(schedule: Schedule): string {
  return linesOf(schedule).join('\n');
}

/** What each group is called beside others: the number of its dispatch, from 1; a pack in place is none. */
export function numbersOf({ groups }: Schedule): (number | undefined)[] {
  let next = 1;
  return groups.map(({ inPlaceConcat }) => (inPlaceConcat ? undefined : next++));
}

/** The text of each dispatch. */
export function linesOf(schedule: Schedule): string[] {
  const { groups, targets, why } = schedule;
  const names = namesOf(schedulesRoots(schedule));
  const numbers = numbersOf(schedule);
  const lineOf = (group: Group): string => {
    const reads = [...group.reads].map(([node, aligned]) => `${aligned ? '=' : ''}${names.get(node)}`);
    const variant = group.variant ? ` by ${group.variant.name}` : '';
    if (!group.members) return `${titleOf(group)}${variant} (${reads.join(', ')})`;
    const members = group.members.map((member) => `\n  - ${lineOf(member).replaceAll('\n', '\n  ')}`);
    return `${group.members.length} ${group.arrangement} (${reads.join(', ')})${members.join('')}`;
  };
  return groups.map((group, i) => {
    const stores = group.outputs.map((node) => {
      const place = targets.get(node);
      return `  ${names.get(node)} ${typeOf(node)}${place ? ` → ${place.name}` : ''}: ${why.get(node)}`;
    });
    return [`${numbers[i] ?? '-'} ${lineOf(group)}`, ...stores].join('\n');
  });
}

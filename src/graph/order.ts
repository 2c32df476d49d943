// Which groups wait for which, an order that is kept while groups are merged, and the order in which they run.
import type { Block, Variable } from '../ops/source.ts';
import { variableOp } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import type { Group } from './schedule.ts';

/** Groups by their neighbours: those that must run before, and those that must run after. */
export interface Dependencies<G extends Group> {
  readonly before: Map<G, Set<G>>;
  readonly after: Map<G, Set<G>>;
}

/** A group waits for those whose results it reads, and for those who still need what it overwrites. */
export function dependencies<G extends Group>(
  groups: readonly G[],
  targets: ReadonlyMap<Tensor, Variable>,
): Dependencies<G> {
  const before = new Map<G, Set<G>>(groups.map((group) => [group, new Set()]));
  const after = new Map<G, Set<G>>(groups.map((group) => [group, new Set()]));
  const waits = (second: G, first: G) => {
    if (first === second) return;
    before.get(second)!.add(first);
    after.get(first)!.add(second);
  };
  const makers = new Map(groups.flatMap((group) => group.outputs.map((node) => [node, group] as const)));
  const readers = new Map<Block, { group: G; variable: Variable }[]>();
  for (const group of groups) {
    for (const node of group.reads.keys()) {
      const maker = makers.get(node);
      if (maker) waits(group, maker);
      if (node.op !== variableOp) continue;
      const { variable } = node.attrs as { variable: Variable };
      const list = readers.get(variable.place());
      if (list) list.push({ group, variable });
      else readers.set(variable.place(), [{ group, variable }]);
    }
  }
  for (const [node, target] of targets) {
    for (const { group, variable: read } of readers.get(target.place()) ?? []) {
      const isApart = read.offset + read.words <= target.offset || target.offset + target.words <= read.offset;
      if (!isApart) waits(makers.get(node)!, group);
    }
  }
  return { before, after };
}

/** The least of what was put in comes out first. */
export class Heap<T> {
  private readonly items: { readonly item: T; readonly key: number }[] = [];

  get size(): number {
    return this.items.length;
  }

  push(item: T, key: number): void {
    const { items } = this;
    let at = items.push({ item, key }) - 1;
    while (at > 0 && items[(at - 1) >> 1]!.key > items[at]!.key) at = this.swap(at, (at - 1) >> 1);
  }

  pop(): T | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (!top || items.length === 0) return top?.item;
    items[0] = last!;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const least = items[left + 1] && items[left + 1]!.key < items[left]!.key ? left + 1 : left;
      if (!items[least] || items[least]!.key >= items[at]!.key) return top.item;
      at = this.swap(at, least);
    }
  }

  private swap(from: number, to: number): number {
    const { items } = this;
    [items[from], items[to]] = [items[to]!, items[from]!];
    return to;
  }
}

/** Where each node stands in the graph; groups are ranked by the last of what they store. */
export function rankBy(order: readonly Tensor[]): (group: Group) => number {
  const position = new Map(order.map((node, i) => [node, i]));
  return ({ outputs }) => outputs.reduce((most, node) => Math.max(most, position.get(node) ?? 0), 0);
}

/** The same, where groups may have become part of others: by the last of what a group stores, as it was placed before. */
export function rankByPlace(groups: readonly Group[]): (group: Group) => number {
  const places = new Map(groups.flatMap(({ outputs }, i) => outputs.map((node) => [node, i] as const)));
  return ({ outputs }) => outputs.reduce((most, node) => Math.max(most, places.get(node)!), 0);
}

/**
 * Kahn's algorithm; of the groups that may come next, the one that stands first in the graph. Groups that wait for one
 * another in a circle are left out, and so are those behind them.
 */
export function sorted<G extends Group>(
  groups: readonly G[],
  { before, after }: Dependencies<G>,
  rank: (group: Group) => number,
): G[] {
  const waiting = new Map(groups.map((group) => [group, before.get(group)!.size]));
  const ready = new Heap<G>();
  for (const group of groups) if (waiting.get(group) === 0) ready.push(group, rank(group));
  const result: G[] = [];
  for (let group = ready.pop(); group; group = ready.pop()) {
    result.push(group);
    for (const next of after.get(group)!) {
      const left = waiting.get(next)! - 1;
      waiting.set(next, left);
      if (left === 0) ready.push(next, rank(next));
    }
  }
  return result;
}

/**
 * A topological order of groups that stays one while groups are merged. A merge is found to close a circle, and the order is
 * mended, by looking at the groups between the two alone (after Pearce and Kelly, A dynamic topological sort algorithm for
 * directed acyclic graphs, 2006).
 */
export class TopologicalOrder<G extends Group> {
  private readonly place: Map<G, number>;
  private readonly before: Map<G, Set<G>>;
  private readonly after: Map<G, Set<G>>;

  /** @param groups in an order in which they may run */
  constructor(groups: readonly G[], { before, after }: Dependencies<G>) {
    this.before = before;
    this.after = after;
    this.place = new Map(groups.map((group, i) => [group, i]));
    this.size = groups.length;
  }

  /** Places are below this. */
  readonly size: number;

  placeOf(group: G): number {
    return this.place.get(group)!;
  }

  /** Groups from one on, in one direction, that lie between it and another. */
  private between(from: G, to: G, neighbours: Map<G, Set<G>>): Set<G> {
    const low = Math.min(this.place.get(from)!, this.place.get(to)!);
    const high = Math.max(this.place.get(from)!, this.place.get(to)!);
    const seen = new Set<G>();
    const stack = [from];
    for (let at = stack.pop(); at; at = stack.pop()) {
      for (const next of neighbours.get(at)!) {
        const place = this.place.get(next)!;
        if (seen.has(next) || next === to || place < low || place > high) continue;
        seen.add(next);
        stack.push(next);
      }
    }
    return seen;
  }

  /** A third group that waits for one of two and that the other waits for: then these cannot be one. */
  obstacle(a: G, b: G): G | undefined {
    const [first, second] = this.place.get(a)! < this.place.get(b)! ? [a, b] : [b, a];
    const later = this.between(first, second, this.after);
    for (const group of this.before.get(second)!) if (later.has(group)) return group;
    return undefined;
  }

  /** Puts one group in place of two between which nothing stands. */
  merge(a: G, b: G, merged: G): void {
    const [first, second] = this.place.get(a)! < this.place.get(b)! ? [a, b] : [b, a];
    const later = this.between(first, second, this.after);
    const earlier = this.between(second, first, this.before);
    const inOrder = (groups: Iterable<G>) => [...groups].sort((x, y) => this.place.get(x)! - this.place.get(y)!);
    const slots = [...later, ...earlier, first, second].map((group) => this.place.get(group)!).sort((x, y) => x - y);
    const moved = [...inOrder(earlier), merged, ...inOrder(later)];
    // Of the two slots in the middle, the merged group takes the first.
    const free = slots.filter((_, i) => i !== earlier.size + 1);
    moved.forEach((group, i) => {
      this.place.set(group, free[i]!);
    });
    for (const edges of [this.before, this.after]) {
      const others = edges === this.before ? this.after : this.before;
      const all = new Set([...edges.get(a)!, ...edges.get(b)!]);
      all.delete(a);
      all.delete(b);
      edges.set(merged, all);
      for (const neighbour of all) {
        const back = others.get(neighbour)!;
        back.delete(a);
        back.delete(b);
        back.add(merged);
      }
    }
    for (const gone of [a, b]) {
      this.place.delete(gone);
      this.before.delete(gone);
      this.after.delete(gone);
    }
  }
}

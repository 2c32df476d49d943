// Decides which nodes are stored and which are computed inside the kernel that needs them.
//
// A group becomes one dispatch: at most one heavy op (a product, or reductions that go through the same elements), the
// pointwise nodes that feed it, and the pointwise nodes of its own size behind it. Pointwise nodes are stored only where something outside their group reads
// them. Groups are merged as long as no cycle arises, no kernel would need an element that another of its threads
// computes, and no buffer would be bound twice in ways that WebGPU forbids.
import { patchesOp } from '../ops/patches.ts';
import type { Block, Variable } from '../ops/source.ts';
import { inputOp, variableOp } from '../ops/source.ts';
import { elementType, flopsOf, resultOp, sameShape, Tensor, type Variant } from '../ops/tensor.ts';
import { packOp, reshapeOp, stopGradientOp, transposeOp } from '../ops/view.ts';
import { type Graph, rootsOf, topological } from './graph.ts';

/** One dispatch to be. */
export interface Group {
  /** The product, or one or more reductions of one kind and shape; without any, a chain of elementwise ops. */
  readonly heavies: readonly Tensor[];
  /** What it stores. */
  readonly outputs: readonly Tensor[];
  /** The stored tensors that it reads; true where every thread reads only the elements that it may overwrite. */
  readonly reads: ReadonlyMap<Tensor, boolean>;
  /** A pack whose parts are written in place by others: memory without a dispatch. */
  readonly container: boolean;
  /** How it is computed, of the heavy op's variants: chosen by `chooseVariants`. */
  readonly variant?: Variant | undefined;
}

export interface Schedule {
  /** In an order in which they may run. */
  readonly groups: readonly Group[];
  /** Values that are computed straight into a variable. */
  readonly targets: ReadonlyMap<Tensor, Variable>;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** The tensor whose memory holds a value: a reshape moves nothing. */
export function stored(node: Tensor): Tensor {
  let at = node;
  while (at.op === reshapeOp) at = at.inputs[0]!;
  return at;
}

export function isSource(node: Tensor): boolean {
  return node.op === inputOp || node.op === variableOp;
}

const isHeavy = (node: Tensor) => node.op.variants !== undefined;
const isIsolated = (node: Tensor) => node.op.traits?.isolated === true;

/** Operations an element above which computing it again is dearer than storing it. */
const CHEAP = 3;

/** Whether one kernel can compute both. */
const joinable = (a: Tensor, b: Tensor) =>
  a.op.traits?.joins === true &&
  a.op === b.op &&
  JSON.stringify(a.attrs) === JSON.stringify(b.attrs) &&
  a.inputs.every((input, i) => sameShape(input.shape, b.inputs[i]!.shape));

class Draft {
  heavies: readonly Tensor[];
  outputs: Tensor[];
  container = false;
  reads = new Map<Tensor, boolean>();
  legal = true;

  constructor(heavies: readonly Tensor[], outputs: Tensor[]) {
    this.heavies = heavies;
    this.outputs = outputs;
  }

  get size(): number {
    return this.outputs[0]!.size;
  }
}

class Fuser {
  private readonly order: Tensor[];
  private readonly position = new Map<Tensor, number>();
  private readonly users = new Map<Tensor, Tensor[]>();
  /** The group that stores a node. */
  private readonly home = new Map<Tensor, Draft>();
  private readonly targets = new Map<Tensor, Variable>();
  private readonly outputs: Record<string, Tensor> = {};
  private readonly persistent = new Set<Tensor>();
  private drafts: Draft[] = [];
  /** Stored so that no kernel binds too many buffers. */
  private readonly forced = new Set<Tensor>();
  private readonly maxBuffers: number;

  constructor(graph: Graph, maxBuffers: number) {
    this.maxBuffers = maxBuffers;
    const copies: Tensor[] = [];
    const copy = (node: Tensor) => {
      const result = new Tensor(
        stopGradientOp,
        [node],
        {},
        node.shape,
        node.dtype === 'f16' ? 'f16' : elementType(node.dtype),
        node.path,
      );
      copies.push(result);
      return result;
    };
    for (const [name, node] of Object.entries(graph.outputs)) {
      // A source is not the program's to give away, and nor is a constant's memory.
      const value = stored(node);
      this.outputs[name] = isSource(value) ? copy(value) : value;
      this.persistent.add(this.outputs[name]!);
    }
    for (const { variable, value } of graph.updates) {
      const node = stored(value);
      const target = isSource(node) || this.targets.has(node) || node.op === packOp ? copy(node) : node;
      this.targets.set(target, variable);
    }
    this.order = topological([...rootsOf(graph), ...copies]);
    this.order.forEach((node, i) => {
      for (const one of [node, ...node.all]) this.position.set(one, i);
      for (const input of new Set(node.inputs)) {
        const list = this.users.get(input);
        if (list) list.push(node);
        else this.users.set(input, [node]);
      }
    });
  }

  run(): Schedule {
    for (;;) {
      this.place();
      const relief = this.tooManyBuffers();
      if (!relief) break;
      this.forced.add(relief);
    }
    this.checkTargets();
    this.merge();
    return { groups: this.sorted(), targets: this.targets, outputs: this.outputs };
  }

  /** Gives every node that must be stored a group of its own. */
  private place(): void {
    this.home.clear();
    this.drafts = [];
    const must = new Set<Tensor>([...this.forced, ...this.persistent, ...this.targets.keys()]);
    const seen = new Set<Tensor>();
    // A reduction's loop is written out, lane by lane: what reads several elements for one would be there so often that
    // drivers take minutes over it, or give up.
    const storeBulky = (node: Tensor): void => {
      if (seen.has(node) || must.has(node) || isSource(node)) return;
      seen.add(node);
      if (node.op.traits?.gathers) must.add(node);
      else node.inputs.forEach(storeBulky);
    };
    for (const node of this.order) {
      if (isHeavy(node) || isIsolated(node)) must.add(node);
      if (node.op.traits?.rereads || node.op === packOp) {
        for (const input of node.inputs) {
          const operand = node.op === packOp ? stored(input) : this.operandOf(input);
          if (!this.isView(operand) || node.op === packOp) must.add(operand);
        }
      }
      if (node.op.traits?.opaque) {
        for (const one of [...node.inputs.map(stored), ...node.all]) if (!isSource(one)) must.add(one);
      }
      if (node.op === packOp) must.add(node);
      if (isHeavy(node) && !node.op.traits?.rereads) for (const input of node.inputs) storeBulky(input);
    }
    const homes = new Map<Tensor, Set<Draft>>();
    /** What a larger tensor repeats. */
    const spreads = new Set<Tensor>();
    for (const node of [...this.order].reverse()) {
      if (isSource(node)) continue;
      if (node.op === resultOp) {
        // It is stored by what makes it.
        homes.set(node, new Set());
        continue;
      }
      const users = (this.users.get(node) ?? []).filter((user) => homes.has(user));
      const where = new Set(
        users.flatMap((user) => [...(this.home.has(user) ? [this.home.get(user)!] : homes.get(user)!)]),
      );
      const spread = users.some((user) =>
        user.op === reshapeOp ? spreads.has(user) : !isHeavy(user) && user.size > node.size,
      );
      if (spread) spreads.add(node);
      const repeated = where.size > 1 || spread;
      const { cost, leaves } = this.inlineCost(node, must);
      // What is spread over a larger tensor from several others takes up buffers of a kernel that may need them.
      // What is behind a reshape is stored itself, if at all.
      const dear = node.op !== reshapeOp && (cost > CHEAP || (spread && leaves > 1));
      if (must.has(node) || (repeated && node.size > 0 && dear)) {
        const draft = new Draft(isHeavy(node) ? [node] : [], [...node.all]);
        for (const one of [node, ...node.all]) this.home.set(one, draft);
        this.drafts.push(draft);
        homes.set(node, new Set([draft]));
      } else if (where.size > 0 || users.length > 0) {
        homes.set(node, where);
      } else {
        homes.set(node, new Set());
      }
    }
    this.drafts.reverse();
    for (const draft of this.drafts) {
      const [node] = draft.outputs;
      if (node!.op === packOp) draft.container = this.canPlaceParts(node!);
    }
    for (const draft of this.drafts) this.analyse(draft);
    // A part whose kernel also reads the container would bind one buffer in two ways: then the pack is copied together.
    for (const draft of this.drafts) {
      if (!draft.container || draft.outputs[0]!.inputs.every((part) => this.home.get(stored(part))!.legal)) continue;
      draft.container = false;
    }
    for (const draft of this.drafts) this.analyse(draft);
  }

  /** If some group reads more tensors than a kernel can bind: the node in it whose storing helps most. */
  private tooManyBuffers(): Tensor | undefined {
    const leaves = (root: Tensor) =>
      topologicalUntil(root, (node) => node !== root && (isSource(node) || this.home.has(node)));
    const countOf = (root: Tensor) =>
      [...leaves(root)].filter((node) => node !== root && (isSource(node) || this.home.has(node))).length;
    for (const { container, outputs, reads } of this.drafts) {
      if (container || reads.size + outputs.length <= this.maxBuffers) continue;
      let best: Tensor | undefined;
      let most = 1;
      for (const node of leaves(outputs[0]!)) {
        if (node === outputs[0] || isSource(node) || this.home.has(node) || node.op === reshapeOp) continue;
        const count = countOf(node);
        if (count > most && count < this.maxBuffers) [best, most] = [node, count];
      }
      if (best) return best;
    }
    return undefined;
  }

  private isView(node: Tensor): boolean {
    if (isSource(node) || isHeavy(node)) return true;
    return (
      node.op.traits?.view === true &&
      (node.op.wide?.(node) ?? true) &&
      node.inputs.every((input) => this.isView(input))
    );
  }

  /**
   * What must be stored, unless it is a view, for a product to read it: below the views of an operand, so that many
   * elements of the view may come from one that is stored.
   */
  private operandOf(node: Tensor): Tensor {
    let at = stored(node);
    while ((at.op === transposeOp || at.op === patchesOp) && at.op.wide!(at)) at = stored(at.inputs[0]!);
    return at;
  }

  private canPlaceParts(node: Tensor): boolean {
    const parts = node.inputs.map(stored);
    return (
      new Set(parts).size === parts.length &&
      parts.every(
        (part) =>
          this.home.has(part) &&
          part.dtype !== 'f16' &&
          !this.targets.has(part) &&
          !this.persistent.has(part) &&
          part.op !== packOp,
      )
    );
  }

  /** What computing a node where it is needed costs an element, and how many stored tensors that reads. */
  private inlineCost(node: Tensor, must: ReadonlySet<Tensor>): { cost: number; leaves: number } {
    let cost = 0;
    let leaves = 0;
    const seen = new Set<Tensor>();
    const visit = (at: Tensor) => {
      if (cost > CHEAP || seen.has(at)) return;
      seen.add(at);
      if (isSource(at) || (at !== node && must.has(at))) {
        leaves++;
        return;
      }
      cost += flopsOf(at);
      at.inputs.forEach(visit);
    };
    visit(node);
    return { cost, leaves };
  }

  /** Finds what a group reads, and whether it may exist at all. */
  private analyse(draft: Draft): void {
    draft.reads = new Map();
    draft.legal = true;
    const own = new Set(draft.outputs);
    const read = (node: Tensor, aligned: boolean) => {
      draft.reads.set(node, aligned && (draft.reads.get(node) ?? true));
    };
    if (draft.container) {
      for (const part of draft.outputs[0]!.inputs) read(stored(part), false);
      return;
    }
    const { size } = draft;
    const seen = new Map<Tensor, boolean>();
    const visit = (node: Tensor, aligned: boolean) => {
      const before = seen.get(node);
      if (before === false || before === aligned) return;
      seen.set(node, aligned);
      const heavy = draft.heavies.includes(node);
      if (heavy || own.has(node)) {
        if (!aligned) draft.legal = false;
        if (heavy) return;
      } else if (isSource(node) || this.home.has(node)) {
        read(node, aligned);
        return;
      }
      for (const input of node.inputs) visit(input, aligned && node.op.traits?.aligned === true && input.size === size);
    };
    for (const output of draft.outputs)
      if (!draft.heavies.includes(output) && output.op !== resultOp) visit(output, true);
    // Operands are read all over, before and while others store.
    for (const operand of draft.heavies.flatMap(({ inputs }) => inputs)) {
      visitOperand(
        operand,
        (node) => isSource(node) || this.home.has(node),
        (node, aligned) => {
          if (this.home.get(node) === draft) draft.legal = false;
          read(node, aligned);
        },
      );
    }
    if (draft.outputs.some((output) => output.size !== size && output.op !== resultOp)) draft.legal = false;
    const buffers = new Set([...draft.reads.keys(), ...draft.outputs].map((node) => this.memory(node).key));
    // Outputs may take over the memory of inputs, but need not.
    if (draft.reads.size + draft.outputs.length > this.maxBuffers && buffers.size > this.maxBuffers)
      draft.legal = false;
    for (const output of draft.outputs) {
      const target = this.memory(output);
      for (const [input, aligned] of draft.reads) {
        const source = this.memory(input);
        if (source.key === target.key && !(aligned && source.range === target.range)) draft.legal = false;
      }
      for (const other of draft.outputs) {
        if (other !== output && this.memory(other).key === target.key && this.memory(other).range === target.range) {
          draft.legal = false;
        }
      }
    }
  }

  /** Which buffer a stored tensor will lie in, and where, as far as that is settled. */
  private memory(node: Tensor): { key: Block | Tensor; range: string } {
    const variable = node.op === variableOp ? (node.attrs as { variable: Variable }).variable : this.targets.get(node);
    if (variable) return { key: variable.place(), range: `${variable.offset}+${variable.words}` };
    const users = this.users.get(node) ?? [];
    for (const user of users.concat(
      users.filter(({ op }) => op === reshapeOp).flatMap((view) => this.users.get(view) ?? []),
    )) {
      if (user.op === packOp && this.home.get(user)?.container) return { key: user, range: `part ${node.id}` };
    }
    return { key: node, range: 'all' };
  }

  /** An update that cannot be computed in place is computed beside and copied at the end. */
  private checkTargets(): void {
    for (const [node, variable] of [...this.targets]) {
      const draft = this.home.get(node)!;
      if (draft.legal && node.op !== packOp && !this.cyclic()) continue;
      if (node.op === stopGradientOp && node.inputs.length === 1 && this.home.has(stored(node.inputs[0]!))) continue;
      this.targets.delete(node);
      const copy = new Tensor(stopGradientOp, [node], {}, node.shape, node.dtype, node.path);
      this.users.set(node, [...(this.users.get(node) ?? []), copy]);
      this.position.set(copy, this.position.size);
      this.targets.set(copy, variable);
      const copier = new Draft([], [copy]);
      this.home.set(copy, copier);
      this.drafts.push(copier);
      this.analyse(draft);
      this.analyse(copier);
    }
  }

  /** What must run before a group: those whose results it reads, and those who still need what it overwrites. */
  private dependencies(): Map<Draft, Set<Draft>> {
    const readers = new Map<Block, { draft: Draft; node: Tensor }[]>();
    const result = new Map<Draft, Set<Draft>>(this.drafts.map((draft) => [draft, new Set()]));
    for (const draft of this.drafts) {
      for (const node of draft.reads.keys()) {
        const maker = this.home.get(node);
        if (maker && maker !== draft) result.get(draft)!.add(maker);
        if (node.op === variableOp) {
          const storage = (node.attrs as { variable: Variable }).variable.place();
          const list = readers.get(storage);
          if (list) list.push({ draft, node });
          else readers.set(storage, [{ draft, node }]);
        }
      }
    }
    for (const [node, variable] of this.targets) {
      const writer = this.home.get(node)!;
      for (const { draft, node: read } of readers.get(variable.place()) ?? []) {
        const other = (read.attrs as { variable: Variable }).variable;
        const apart = other.offset + other.words <= variable.offset || variable.offset + variable.words <= other.offset;
        if (draft !== writer && !apart) result.get(writer)!.add(draft);
      }
    }
    return result;
  }

  private cyclic(): boolean {
    return this.sorted().length < this.drafts.length;
  }

  /** Kahn's algorithm; of the groups that may come next, the one that stands first in the graph. */
  private sorted(): Draft[] {
    const waiting = this.dependencies();
    const rank = (draft: Draft) => Math.max(...draft.outputs.map((node) => this.position.get(node)!));
    const left = [...this.drafts].sort((a, b) => rank(a) - rank(b));
    const done = new Set<Draft>();
    const result: Draft[] = [];
    while (left.length) {
      const next = left.findIndex((draft) => [...waiting.get(draft)!].every((other) => done.has(other)));
      if (next < 0) break;
      const [draft] = left.splice(next, 1);
      done.add(draft!);
      result.push(draft!);
    }
    return result;
  }

  private merge(): void {
    for (let changed = true; changed; ) {
      changed = false;
      const order = this.sorted();
      for (const second of order) {
        if (second.container || isIsolated(second.outputs[0]!)) continue;
        // The latest possible partner first: it has the most of what the second needs.
        const partners = order
          .slice(0, order.indexOf(second))
          .reverse()
          .concat(order.slice(order.indexOf(second) + 1));
        const first = partners.find((draft) => this.related(draft, second) && this.tryMerge(draft, second));
        if (first) {
          changed = true;
          break;
        }
      }
    }
  }

  private related(first: Draft, second: Draft): boolean {
    if (first.container || first.size !== second.size || isIsolated(first.outputs[0]!)) return false;
    if (second.heavies.length > 0) return this.siblings(first, second);
    const feeds = first.outputs.some((node) => second.reads.has(node));
    if (first.heavies.length > 0) return feeds;
    return feeds || [...first.reads].some(([node, aligned]) => second.reads.get(node) !== undefined && aligned);
  }

  /** Whether two groups' reductions may share a kernel, and gain by it: a tensor read once for both, or one reader less. */
  private siblings(first: Draft, second: Draft): boolean {
    if (first.heavies.length === 0 || !joinable(first.heavies[0]!, second.heavies[0]!)) return false;
    const readsBoth = ({ reads }: Draft) =>
      [first, second].every(({ outputs }) => outputs.some((node) => reads.has(node)));
    return [...first.reads.keys()].some((node) => second.reads.has(node)) || this.drafts.some(readsBoth);
  }

  private tryMerge(first: Draft, second: Draft): boolean {
    const merged = new Draft([...first.heavies, ...second.heavies], [...first.outputs, ...second.outputs]);
    const before = this.drafts;
    const rehome = (draft: Draft, nodes: readonly Tensor[]) => {
      for (const node of nodes) this.home.set(node, draft);
    };
    rehome(merged, merged.outputs);
    this.drafts = before.filter((draft) => draft !== first && draft !== second);
    this.drafts.push(merged);
    // What only the group itself reads need not be stored.
    const needed = merged.outputs.filter(
      (node) => this.persistent.has(node) || this.targets.has(node) || this.readOutside(node, merged),
    );
    for (const node of merged.outputs) if (!needed.includes(node)) this.home.delete(node);
    for (const heavy of merged.heavies) this.home.set(heavy, merged);
    merged.outputs = needed;
    if (needed.length > 0) {
      this.analyse(merged);
      if (merged.legal && this.sorted().length === this.drafts.length) return true;
    }
    for (const draft of [first, second]) rehome(draft, [...draft.outputs, ...draft.heavies]);
    this.drafts = before;
    return false;
  }

  private readOutside(node: Tensor, draft: Draft): boolean {
    return this.drafts.some((other) => other !== draft && other.reads.has(node));
  }
}

/** Visits the stored tensors that an operand of a heavy op is computed from. */
function visitOperand(
  node: Tensor,
  isStored: (node: Tensor) => boolean,
  read: (node: Tensor, aligned: boolean) => void,
): void {
  for (const at of topologicalUntil(node, isStored)) if (isStored(at)) read(at, false);
}

function topologicalUntil(root: Tensor, stop: (node: Tensor) => boolean): Set<Tensor> {
  const seen = new Set<Tensor>();
  const visit = (node: Tensor) => {
    if (seen.has(node)) return;
    seen.add(node);
    if (!stop(node)) node.inputs.forEach(visit);
  };
  visit(root);
  return seen;
}

/**
 * Groups the nodes of a graph into dispatches.
 *
 * @param maxBuffers storage buffers that one kernel may bind
 */
export function fuse(graph: Graph, maxBuffers = 8): Schedule {
  return new Fuser(graph, maxBuffers).run();
}

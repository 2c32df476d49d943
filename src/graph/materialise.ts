// The first pass of fusion: which nodes lie in memory, and why. All others are computed inside of the kernels that need them.
import { flopsOf, type Op, resultOp, type Tensor } from '../ops/tensor.ts';
import { concatOp, packOp, padOp, reshapeOp } from '../ops/view.ts';
import type { Graph } from './graph.ts';
import { type FusionGroup, groupOf, MAX_NODES, Memory } from './legality.ts';
import type { Recompute } from './recompute.ts';
import { baseOf, hasKernel, isIsolated, isSource, reach } from './schedule.ts';
import { copyParts, type Settled, settle } from './settle.ts';

/** Operations an element above which computing it again costs more than storing it. */
const CHEAP = 3;
/** Nodes that may be computed for one, of a kernel that has too many. */
const SHARE = MAX_NODES / 4;

/** Groups of one node each (or of all results of one): what is materialised. */
export interface Materialised extends Settled {
  readonly groups: readonly FusionGroup[];
  /** Of each group, the node that it is for. */
  readonly nodes: readonly Tensor[];
  /** Packs that are written in place. */
  readonly packs: ReadonlySet<Tensor>;
  readonly memory: Memory;
  readonly why: Map<Tensor, string>;
}

/**
 * Decides what of a graph is materialised, so that no kernel binds more than `maxBuffers` tensors.
 *
 * @param recompute what may be computed again, where that saves a dispatch; nothing by default
 */
export function materialise(graph: Graph, maxBuffers: number, recompute?: Recompute): Materialised {
  const forced = new Map<Tensor, string>();
  let current = graph;
  let settled = settle(current);
  for (;;) {
    const why = required(settled, forced, recompute);
    const result = group(settled, why, maxBuffers, recompute);
    const relief = tooMuch(result);
    for (const [node, reason] of relief) forced.set(node, reason);
    if (relief.size > 0) continue;
    const large = result.groups.filter(({ outputs: [node], inPlaceConcat, refusal }) => {
      return node!.op === packOp && !inPlaceConcat && refusal?.kind === 'buffers';
    });
    if (large.length === 0) return result;
    // A kernel cannot bind so many parts: those that are in the way of writing them in place are copied there.
    const packs = new Map(large.map(({ outputs: [pack] }) => [pack!, partsInTheWay(result, pack!)]));
    current = copyParts(current, (pack, part) => packs.get(pack)?.has(part) === true);
    settled = settle(current);
    forced.clear();
  }
}

/** What is in memory whatever it is used for. */
function required(
  { order, outputs, targets }: Settled,
  forced: ReadonlyMap<Tensor, string>,
  recompute: Recompute | undefined,
): Map<Tensor, string> {
  const why = new Map(forced);
  const passed = new Set<Tensor>();
  const must = (node: Tensor, reason: string) => {
    if (!isSource(node) && !why.has(node)) why.set(node, reason);
  };
  for (const node of Object.values(outputs)) must(node, 'an output');
  for (const [node, { name }] of targets) must(node, `the new value of ${name}`);
  for (const node of order) {
    const { op, inputs } = node;
    if (node.results) for (const result of node.all) must(result, 'a result of a kernel');
    else if (hasKernel(node) || (isIsolated(node) && !isSource(node) && node.op !== reshapeOp))
      must(node, 'the result of a kernel');
    if (op === packOp) must(node, 'a pack');
    for (const input of inputs) {
      if (op === packOp) must(baseOf(input), 'part of a pack');
      else if (op.traits?.opaque) must(baseOf(input), `bound by ${op.name}`);
      else if (op.traits?.loads) must(baseOf(input), `read from memory by ${op.name}`);
      else if (op.traits?.rereads && !isView(operandOf(input))) {
        const operand = operandOf(input);
        const again = recompute?.operand(operand, node);
        for (const stored of again?.stored ?? []) must(stored, `expensive, and read many times by ${op.name}`);
        if (!again) must(operand, `read many times by ${op.name}`);
      }
    }
    // A reduction's loop is written out, lane by lane: what reads several elements for one would be there so often that
    // drivers take minutes over it, or give up.
    if (!hasKernel(node) || op.traits?.rereads || op.traits?.opaque) continue;
    const gathers = (at: Tensor) => at.op.traits?.gathers === true;
    for (const at of reach(inputs, (at) => passed.has(at) || why.has(at) || isSource(at) || gathers(at))) {
      passed.add(at);
      if (gathers(at)) must(at, `too long for the loop of ${op.name}`);
    }
  }
  return why;
}

/** Whether an operand of a matmul can be read as it is: a view of what lies in memory. */
function isView(root: Tensor): boolean {
  const isKept = (node: Tensor) => isSource(node) || hasKernel(node) || node.op === resultOp;
  const passes = (node: Tensor) => node.op.traits?.view === true && (node.op.wide?.(node) ?? true);
  return [...reach([root], (node) => isKept(node) || !passes(node))].every((node) => isKept(node) || passes(node));
}

/**
 * What must be materialised, unless it is a view, for a matmul to read it: below the views of an operand, so that many
 * elements of the view may come from one that is in memory.
 */
function operandOf(node: Tensor): Tensor {
  let at = baseOf(node);
  while (at.op.wide?.(at)) at = baseOf(at.inputs[0]!);
  return at;
}

/** Adds what several groups need, or a larger tensor repeats, where computing it again costs more than storing it. */
function group(settled: Settled, why: Map<Tensor, string>, maxBuffers: number, recompute?: Recompute): Materialised {
  const { order } = settled;
  const users = new Map<Tensor, Tensor[]>();
  for (const node of order) {
    for (const input of new Set(node.inputs)) {
      const list = users.get(input);
      if (list) list.push(node);
      else users.set(input, [node]);
    }
  }
  const must = new Set(why.keys());
  /** The one materialised node that computes a node; `many` where there are several, undefined where there is none. */
  const places = new Map<Tensor, Tensor | 'many' | undefined>();
  /** What a larger tensor repeats. */
  const broadcasts = new Set<Tensor>();
  const members: Tensor[] = [];
  for (const node of [...order].reverse()) {
    if (isSource(node)) continue;
    const readers = (users.get(node) ?? []).filter((user) => places.has(user));
    let place: Tensor | 'many' | undefined;
    for (const user of readers) {
      const at = places.get(user);
      if (at) place = place === undefined || place === at ? at : 'many';
    }
    const isBroadcast = readers.some((user) =>
      user.op === reshapeOp ? broadcasts.has(user) : !hasKernel(user) && user.size > node.size && !surrounds(user),
    );
    if (isBroadcast) broadcasts.add(node);
    const isRepeated = place === 'many' || isBroadcast;
    let isKept = must.has(node);
    // What is behind a reshape is materialised itself, if at all.
    if (!isKept && isRepeated && node.size > 0 && node.op !== reshapeOp && !node.results) {
      const { flops, leaves } = inlineCost(node, must);
      // What is broadcast over a larger tensor from several others takes up buffers of a kernel that may need them.
      isKept = flops > CHEAP || (isBroadcast && leaves > 1);
      const again = isKept ? recompute?.shared(node, readers) : undefined;
      if (again?.stored.every((stored) => must.has(stored))) isKept = false;
      if (isKept) why.set(node, isBroadcast ? 'a larger tensor repeats it' : 'several kernels read it');
    }
    if (isKept || node.results) members.push(node);
    places.set(node, isKept || node.results ? (node.op === resultOp ? node.inputs[0]! : node) : place);
  }
  const nodes = members.reverse().filter(({ op }) => op !== resultOp);
  const packs = nodes.filter((node) => node.op === packOp && unfit(settled, node).length === 0);
  const result = assemble(settled, why, nodes, new Set(packs), maxBuffers);
  // A part whose kernel also reads the pack would bind one buffer in two ways: then the pack is copied together.
  const refused = new Set(result.groups.flatMap(({ refusal, outputs }) => (refusal ? outputs : [])));
  const whole = packs.filter((pack) => !pack.inputs.some((part) => refused.has(baseOf(part))));
  return whole.length < packs.length ? assemble(settled, why, nodes, new Set(whole), maxBuffers) : result;
}

/**
 * A group for each of some nodes.
 *
 * @param packs those that are written in place
 */
export function assemble(
  settled: Settled,
  why: Map<Tensor, string>,
  nodes: readonly Tensor[],
  packs: ReadonlySet<Tensor>,
  maxBuffers: number,
): Materialised {
  const parts = [...packs].flatMap((pack) => pack.inputs.map((part) => [baseOf(part), pack] as const));
  const memory = new Memory(settled.targets, new Map(parts), maxBuffers);
  const isMaterialised = (node: Tensor) => why.has(node);
  const groups = nodes.map((node) =>
    groupOf(memory, hasKernel(node) ? [node] : [], node.all, packs.has(node), isMaterialised),
  );
  return { ...settled, groups, nodes, packs, memory, why };
}

/** The parts of a pack, by number, that cannot be computed where they belong: among them those that belong to an earlier pack, too. */
function unfit({ order, outputs, targets }: Settled, pack: Tensor): number[] {
  const taken = new Set([...Object.values(outputs), ...targets.keys()]);
  for (const node of order) {
    if (node === pack) break;
    if (node.op === packOp) for (const input of node.inputs) taken.add(baseOf(input));
  }
  return pack.inputs.flatMap((input, i) => {
    const part = baseOf(input);
    const isBad = taken.has(part) || isSource(part) || part.dtype === 'f16' || part.op === packOp;
    taken.add(part);
    return isBad ? [i] : [];
  });
}

/** The parts of a pack, by number, without which it could be written in place. */
function partsInTheWay(materialised: Materialised, pack: Tensor): Set<number> {
  const found = new Set(unfit(materialised, pack));
  // A kernel that reads one part cannot write another.
  const parts = pack.inputs.map(baseOf);
  for (const { outputs: made, reads } of materialised.groups) {
    if (made[0] === pack || !parts.some((part) => reads.has(part))) continue;
    parts.forEach((part, i) => {
      if (made.includes(part)) found.add(i);
    });
  }
  return found;
}

/** Larger than what it is made of, and yet no element of that is in it twice. */
const surrounds = ({ op }: Tensor) => op === (padOp as Op) || op === (concatOp as Op);

/** What computing a node where it is needed costs an element, and how many materialised tensors that reads. */
function inlineCost(node: Tensor, must: ReadonlySet<Tensor>): { flops: number; leaves: number } {
  let flops = 0;
  let leaves = 0;
  const seen = new Set<Tensor>();
  const stack = [node];
  for (let at = stack.pop(); at && flops <= CHEAP; at = stack.pop()) {
    if (seen.has(at)) continue;
    seen.add(at);
    if (isSource(at) || (at !== node && must.has(at))) {
      leaves++;
      continue;
    }
    flops += flopsOf(at);
    for (let i = at.inputs.length - 1; i >= 0; i--) stack.push(at.inputs[i]!);
  }
  return { flops, leaves };
}

/** What to materialise, too, so that every kernel binds few enough buffers, and computes few enough nodes. */
function tooMuch({ groups, memory, why }: Materialised): Map<Tensor, string> {
  const relief = new Map<Tensor, string>();
  const isLeaf = (node: Tensor) => isSource(node) || why.has(node);
  for (const { outputs, inPlaceConcat, refusal, count } of groups) {
    const [root] = outputs as [Tensor];
    if (count > MAX_NODES) {
      for (const node of cuts(root, isLeaf)) relief.set(node, 'its kernel would be too long');
    } else if (!inPlaceConcat && refusal?.kind === 'buffers') {
      const best = widest(root, isLeaf, memory.maxBuffers);
      if (best) relief.set(best, 'its kernel would read too many tensors');
    }
  }
  return relief;
}

/** Of the nodes computed for `root`, the one that reads most materialised tensors, and can be a kernel of its own. */
function widest(root: Tensor, isLeaf: (node: Tensor) => boolean, maxBuffers: number): Tensor | undefined {
  const below = (node: Tensor) => reach([node], (at) => at !== node && isLeaf(at));
  let best: Tensor | undefined;
  let most = 1;
  for (const node of below(root)) {
    if (node === root || isLeaf(node) || node.op === reshapeOp) continue;
    const leaves = [...below(node)].filter((at) => at !== node && isLeaf(at)).length;
    if (leaves > most && leaves < maxBuffers) [best, most] = [node, leaves];
  }
  return best;
}

/** Cuts what is computed for `root` into shares: nodes below which about SHARE others are computed. */
function cuts(root: Tensor, isLeaf: (node: Tensor) => boolean): Tensor[] {
  const found: Tensor[] = [];
  const sizes = new Map<Tensor, number>();
  const done = new Set<Tensor>();
  const stack = [root];
  while (stack.length > 0) {
    const node = stack.at(-1)!;
    const inner = node.inputs.filter((input) => !isLeaf(input));
    const next = done.has(node) ? [] : inner.filter((input) => !sizes.has(input));
    done.add(node);
    stack.push(...next);
    if (next.length > 0) continue;
    stack.pop();
    if (sizes.has(node)) continue;
    const size = 1 + inner.reduce((sum, input) => sum + sizes.get(input)!, 0);
    const isCut = size >= SHARE && node !== root && node.op !== reshapeOp;
    if (isCut) found.push(node);
    sizes.set(node, isCut ? 0 : size);
  }
  return found;
}

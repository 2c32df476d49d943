// From a traced graph to specialised WGSL, without a device: simplify, split, fuse, choose variants, plan memory, lower.
// What only GPUs need is given to it: programs load that for them, and `plan.ts` has it at hand.
import { OptionError, UnsupportedError } from '../errors.ts';
import { specialise } from '../gpu/specialise.ts';
import { type AdapterTraits, show } from '../ops/tensor.ts';
import { fuse } from './fuse.ts';
import { type Graph, rootsOf, topological } from './graph.ts';
import { type Lowered, lower } from './lower.ts';
import { type MemoryPlan, planMemory } from './memory.ts';
import type { Recompute } from './recompute.ts';
import { type Group, isDispatch, type Schedule } from './schedule.ts';
import { simplify, splitReductions } from './simplify.ts';
import { checkSizes, checkSources } from './sizes.ts';
import { splitMatmuls } from './split.ts';
import { type ChooseVariant, chooseVariants } from './variants.ts';

/** What makes fewer dispatches, where a dispatch costs something and there are many workgroups at a time: on GPUs. */
export interface Passes {
  readonly recompute: Recompute;
  /** Puts dispatches of the same kernels together. */
  arrange(schedule: Schedule, adapter: AdapterTraits): Schedule;
}

export interface PlanOptions {
  /** Overrules the heuristics' choice of kernel variants. */
  readonly choose?: ChooseVariant | undefined;
  /** A last pass over the simplified graph: `mixedPrecision`, for mixed precision. */
  readonly transform?: ((graph: Graph) => Graph) | undefined;
  /** What is done for this kind of adapter besides. */
  readonly passes?: Passes | undefined;
}

/** What a graph becomes on an adapter, up to the text of its kernels. */
export interface Plan {
  readonly adapter: AdapterTraits;
  /** Simplified, with long matmuls and reductions cut, and typed as it is stored. */
  readonly graph: Graph;
  /** The dispatches, each with the variant of its kernel. */
  readonly schedule: Schedule;
  readonly memory: MemoryPlan;
}

export interface PlannedKernel {
  readonly group: Group;
  readonly lowered: Lowered;
  /** WGSL, as a driver gets it. */
  readonly code: string;
}

/** Buffers one kernel binds at most, however many the device allows: more gain nothing. */
const MAX_BUFFERS = 16;

/**
 * The graph as it is compiled.
 *
 * @throws OptionError for a graph that computes nothing, or updates a variable twice or by what does not fit it
 * @throws UnsupportedError for f16 where the adapter has none
 */
export function prepareGraph(graph: Graph, adapter: AdapterTraits, transform?: PlanOptions['transform']): Graph {
  check(graph);
  // Cutting leaves reshapes behind.
  const result = simplify(splitReductions(splitMatmuls(simplify(graph), adapter), adapter));
  const half = adapter.f16 ? undefined : topological(rootsOf(result)).find(({ dtype }) => dtype === 'f16');
  if (half) {
    throw new UnsupportedError(
      `${half.path ? `${half.path}: ` : ''}${half.op.name} is f16${show(half.shape)}, and this device has no shader-f16: leave it f32`,
    );
  }
  return transform?.(result) ?? result;
}

/**
 * Plans a graph for an adapter. Throws what `prepareGraph` throws.
 *
 * @throws OutOfMemoryError if a tensor is larger than the device allows
 */
export function planGraph(graph: Graph, adapter: AdapterTraits, { choose, transform, passes }: PlanOptions = {}): Plan {
  checkSources(graph, adapter.limits);
  const prepared = prepareGraph(graph, adapter, transform);
  const buffers = Math.min(MAX_BUFFERS, adapter.limits.maxStorageBuffersPerShaderStage);
  const fused = fuse(prepared, buffers, passes?.recompute);
  const chosen = chooseVariants(fused, adapter, choose);
  const schedule = passes?.arrange(chosen, adapter) ?? chosen;
  const memory = planMemory(schedule);
  checkSizes(memory, adapter.limits);
  return { adapter, graph: prepared, schedule, memory };
}

/** The kernels in the order in which they run; each is written when it is asked for. */
export function* kernelsOf({ schedule, memory, adapter }: Plan): Generator<PlannedKernel, void> {
  for (const group of schedule.groups) {
    if (!isDispatch(group)) continue;
    const lowered = lower(group, memory, adapter);
    yield { group, lowered, code: specialise(lowered.source, lowered) };
  }
}

function check(graph: Graph): void {
  if (rootsOf(graph).length === 0)
    throw new OptionError('there is nothing to compute: give compile outputs or updates');
  const seen = new Set<unknown>();
  for (const { variable, value } of graph.updates) {
    if (seen.has(variable)) throw new OptionError(`variable ${variable.name} is updated twice in one program`);
    seen.add(variable);
    const fits = value.dtype === variable.dtype && String(value.shape) === String(variable.shape);
    if (!fits) {
      throw new OptionError(
        `variable ${variable.name} is ${variable.dtype}${show(variable.shape)}, its update ${value.dtype}${show(value.shape)}`,
      );
    }
  }
  const changed = graph.updates.map(({ variable }) => variable).filter(({ words }) => words > 0);
  changed.sort((a, b) => a.place().id - b.place().id || a.offset - b.offset);
  changed.forEach((b, i) => {
    const a = changed[i - 1];
    if (a?.place() !== b.place() || a.offset + a.words <= b.offset) return;
    throw new OptionError(`updates of ${a.name} and ${b.name} overlap in memory: update the whole, or its parts`);
  });
}

// Plans for whatever adapter, with all kernels and passes at hand: in tests, for `profile --plan` and for the bench. Programs
// load those of their device (`runtime/kit.ts`), and then plan in the same way.
import { kernels } from '../ops/kernels_all.ts';
import type { AdapterTraits } from '../ops/tensor.ts';
import type { Graph } from './graph.ts';
import { passes } from './passes_gpu.ts';
import { type Plan, type PlanOptions, planGraph as planWith } from './planner.ts';

export { kernelsOf, type Plan, type PlannedKernel, prepareGraph } from './planner.ts';

/** Plans a graph for an adapter. Throws what the planner throws. */
export function planGraph(graph: Graph, adapter: AdapterTraits, options: Omit<PlanOptions, 'passes'> = {}): Plan {
  const traits = { ...adapter, kernels: adapter.kernels ?? kernels };
  return planWith(graph, traits, { ...options, passes: adapter.software ? undefined : passes });
}

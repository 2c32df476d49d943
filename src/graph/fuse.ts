// Groups the nodes of a graph into dispatches, in passes: what is materialised, which updates are copied, what is merged.
//
// A group becomes one dispatch: at most one kernel op, or reductions that go through the same elements, the pointwise nodes
// that feed it, and the pointwise nodes of its own size behind it.
import type { Graph } from './graph.ts';
import { materialise } from './materialise.ts';
import { merge } from './merge.ts';
import type { Recompute } from './recompute.ts';
import type { Schedule } from './schedule.ts';
import { copyUpdates } from './updates.ts';

/**
 * @param maxBuffers storage buffers that one kernel may bind; by default what every device allows
 * @param recompute what may be computed again, where that saves a dispatch; nothing by default
 */
export function fuse(graph: Graph, maxBuffers = 8, recompute?: Recompute): Schedule {
  return merge(copyUpdates(materialise(graph, maxBuffers, recompute)));
}

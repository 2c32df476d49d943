// Reductions by workgroups, which fold their threads' results in workgroup memory: what a GPU wants.
import logsumexp_fold from '../../shaders/include/logsumexp_fold.wgsl?raw';
import columnsText from '../../shaders/reduce/columns_workgroup.wgsl?raw';
import rowsText from '../../shaders/reduce/rows_workgroup.wgsl?raw';
import { include } from '../gpu/include.ts';
import { A_THREAD, isByRows, lengthOf, type ReduceAttrs, reduceKernel, texts } from './reduce.ts';
import type { Variant } from './tensor.ts';

const columns = /* @__PURE__ */ include(columnsText, texts);
const rows = /* @__PURE__ */ include(rowsText, { logsumexp_fold });

/** Results so few that nothing else hides what a thread waits for: 100 numbers take one 3 µs more than a workgroup, on an H200. */
const FEW = 4;

/** In the order of the rule's preference. */
export function workgroupReductions(kind: 'sum' | 'max' | 'logsumexp'): readonly Variant<ReduceAttrs>[] {
  const kernel: Variant<ReduceAttrs>['kernel'] = (node, writer) => reduceKernel(node, writer, kind, { rows, columns });
  return [
    {
      name: 'one workgroup a result',
      possible: isByRows,
      // A GPU hides the latency of memory by threads, and a thread a row is too few of them, too far apart.
      heuristic: (node, { software }) => !software && lengthOf(node) >= (node.size <= FEW ? 8 : 32) * A_THREAD,
      kernel,
    },
    {
      name: 'one workgroup for columns',
      possible: (node) => !isByRows(node),
      heuristic: (node, { software }) => !software && lengthOf(node) >= 2 * A_THREAD,
      kernel,
    },
  ];
}

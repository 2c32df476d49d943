// Cuts matmuls with few results and much to sum into a stack of matmuls, whose results are summed by a second pass:
// split-K in a fixed order, for weight gradients above all, where what is summed over is every pixel of the batch.
import { type MatmulAttrs, matmulOp } from '../ops/matmul.ts';
import { parallelismOf } from '../ops/parallelism.ts';
import { sum } from '../ops/reduce.ts';
import { type AdapterTraits, apply, type Tensor } from '../ops/tensor.ts';
import { reshape, transpose } from '../ops/view.ts';
import { type Graph, rewrite } from './graph.ts';

/** Results that keep one thread busy: a register tile of a medium size. */
const TILE = 16;
/** The least that a part sums: below that, writing and reading its results is no longer small beside the work. */
const SHORTEST = 128;
/** On a GPU, where threads of a workgroup share out the sum: rows and columns of a tile, and the least that is worth a part. */
const WORKGROUP_TILE = 32;
const SHORTEST_GPU = 512;

/** In how many equal parts, of whole vec4s, to cut a sum of `length`; as near to `target` as its divisors allow. */
function partsOf(length: number, target: number, shortest: number): number {
  let best = 1;
  const distance = (parts: number) => Math.abs(Math.log(parts / target));
  for (let parts = 1; parts * shortest <= length; parts++) {
    if (length % (4 * parts) === 0 && distance(parts) < distance(best)) best = parts;
  }
  return best;
}

/** As many matmuls as keep an adapter busy, of what would not by itself. */
export function splitMatmuls(graph: Graph, adapter: Pick<AdapterTraits, 'software' | 'vendor'>): Graph {
  const { threads, cores } = parallelismOf(adapter);
  return rewrite(graph, (node) => {
    if (node.op !== matmulOp || node.shape.length !== 2 || node.size === 0) return node;
    const [a, b] = node.inputs as [Tensor, Tensor];
    const { transposeA, transposeB } = node.attrs as MatmulAttrs;
    const length = a.shape[transposeA ? 0 : 1]!;
    const groups = node.shape.reduce((all, dim) => all * Math.ceil(dim / WORKGROUP_TILE), 1);
    const parts = adapter.software
      ? partsOf(length, (threads * TILE) / node.size, SHORTEST)
      : partsOf(length, cores / groups, SHORTEST_GPU);
    if (parts === 1) return node;
    // Stored with what is summed over outermost, a matrix falls apart by itself; otherwise its rows are cut.
    const cut = (x: Tensor, outermost: boolean) =>
      outermost
        ? reshape(x, [parts, length / parts, x.shape[1]!])
        : transpose(reshape(x, [x.shape[0]!, parts, length / parts]), [1, 0, 2]);
    const stack = apply(matmulOp, [cut(a, transposeA), cut(b, !transposeB)], node.attrs, node.path);
    return sum(stack, { axis: 0 });
  });
}

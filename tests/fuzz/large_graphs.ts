// Graphs of sizes that reach for the limits of a dispatch, and of none; nothing is allocated for them.
import type { Graph } from '../../src/graph/graph.ts';
import { argmax } from '../../src/ops/argmax.ts';
import { conv2d } from '../../src/ops/conv.ts';
import { add, exp, mul } from '../../src/ops/elementwise.ts';
import { matmul } from '../../src/ops/matmul.ts';
import { max, sum } from '../../src/ops/reduce.ts';
import { input } from '../../src/ops/source.ts';
import type { Shape, Tensor } from '../../src/ops/tensor.ts';
import { concat, padTo } from '../../src/ops/view.ts';

const of = (result: Tensor): Graph => ({ outputs: { result }, updates: [] });
const x = (shape: Shape, name = 'x') => input(name, shape);

export const largeGraphs: Readonly<Record<string, () => Graph>> = {
  'five million elements': () => of(exp(x([5_000_001]))),
  'sums of 70,000 rows': () => of(sum(x([70_000, 256]), { axis: 1 })),
  'maxima of 70,001 columns': () => of(max(x([64, 70_001]), { axis: 0 })),
  'a sum of five million': () => of(sum(x([5_000_000]))),
  'argmax of 5,000,000 rows': () => of(argmax(x([5_000_000, 2]))),
  'a batch of 70,000 matmuls': () => of(matmul(x([70_000, 4, 4]), x([70_000, 4, 4], 'y'))),
  'a batch of 70,000 matmuls, matrix by vectors': () => of(matmul(x([70_000, 8, 8]), x([70_000, 8, 1], 'y'))),
  'a matmul of 600,000 rows and one column': () => of(matmul(x([600_000, 16]), x([16, 1], 'y'))),
  'a matmul of 600,000 rows': () => of(matmul(x([600_000, 16]), x([16, 20], 'y'))),
  'a matmul of 600,000 columns': () => of(matmul(x([16, 16]), x([16, 600_000], 'y'))),
  '4096 matmuls of 8×8×8': () => of(matmul(x([4096, 8, 8]), x([4096, 8, 8], 'y'))),
  '1024 matmuls of 12×64×12': () => of(matmul(x([1024, 12, 64]), x([1024, 64, 12], 'y'))),
  'a 1×1 convolution of 128×32×64×64 to 3': () => of(conv2d(x([128, 32, 64, 64]), x([3, 32, 1, 1], 'w'))),
  // It was bound with four bytes, and declared with sixteen.
  'a pad of nothing': () => of(mul(padTo(x([0]), [8], [2]), 2)),
  'a sum over forty inputs': () =>
    of(Array.from({ length: 40 }, (_, i) => x([33, 5], `x${i}`)).reduce((a, b) => add(mul(a, 0.5), b))),
  'a concatenation of forty inputs': () =>
    of(
      exp(
        concat(
          Array.from({ length: 40 }, (_, i) => x([3, 5], `x${i}`)),
          1,
        ),
      ),
    ),
};

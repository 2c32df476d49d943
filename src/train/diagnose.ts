// Finds where NaN or infinity came from: computes a graph again and looks at every node.
import type { Gpu } from '../gpu/gpu.ts';
import { topological } from '../graph/graph.ts';
import { isFinite, sub } from '../ops/elementwise.ts';
import { sum } from '../ops/reduce.ts';
import type { Tensor } from '../ops/tensor.ts';
import { compile } from '../runtime/compile.ts';

/** Nodes looked at by one program: each has a kernel of its own, and drivers compile them all at once. */
const NODES = 24;

/** The first node, in the order of computation, that is not finite, in words; undefined if all are. */
export async function firstNotFinite(gpu: Gpu, roots: readonly Tensor[]): Promise<string | undefined> {
  const nodes = topological(roots).filter(({ dtype, size }) => dtype === 'f32' && size > 0);
  for (let start = 0; start < nodes.length; start += NODES) {
    const some = nodes.slice(start, start + NODES);
    const counts = some.map((node, i) => [String(i), sum(sub(1, isFinite(node)))] as const);
    const program = await compile(gpu, { outputs: Object.fromEntries(counts) });
    try {
      program.run();
      const values = await Promise.all(some.map((_, i) => program.read(String(i))));
      const index = values.findIndex(([count]) => count !== 0);
      if (index >= 0) return describe(some[index]!, values[index]![0]!);
    } finally {
      program.destroy();
    }
  }
  return undefined;
}

function describe({ op, path, shape, size }: Tensor, count: number): string {
  const where = path ? ` in ${path}` : '';
  const what = op.name === 'variable' ? `the variable ${path}` : `${op.name}${where}`;
  return `${what} (${count} of ${size} elements of [${shape.join(', ')}])`;
}

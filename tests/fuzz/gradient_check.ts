// Holds the gradients of a random graph against central differences of the evaluator, which knows no gradients.
import { gradients } from '../../src/graph/autodiff.ts';
import { type Graph, topological } from '../../src/graph/graph.ts';
import { mul } from '../../src/ops/elementwise.ts';
import { sum } from '../../src/ops/reduce.ts';
import { input } from '../../src/ops/source.ts';
import { elementType, type Tensor } from '../../src/ops/tensor.ts';
import { Evaluator } from './evaluate.ts';
import type { Picker } from './picker.ts';
import type { Case } from './random_graph.ts';
import { isSmooth } from './random_steps.ts';
import { describe } from './run_case.ts';

/** Elements that were compared, and those where the loss bends within a step. */
export interface Compared {
  compared: number;
  bent: number;
}

/** Σ over the last float output, weighted, and the sources that it may be differentiated by. */
function lossOf({ graph, numbers }: Case, p: Picker): { loss: Tensor; sources: Tensor[] } | undefined {
  const values = Object.values(graph.outputs).filter(({ dtype, size }) => dtype === 'f32' && size > 0);
  if (values.length === 0) return undefined;
  const value = values[p.int(values.length)]!;
  const weights = input('weights', value.shape);
  (numbers as Record<string, ArrayLike<number>>).weights = Array.from({ length: value.size }, (_, i) =>
    Math.cos(3 * i + 1),
  );
  const loss = sum(mul(value, weights));
  const order = topological([loss]);
  // These are differentiated as what they are not.
  if (order.some(({ op, dtype }) => op.name === 'stopGradient' || dtype === 'f16') || !isSmooth(loss)) return undefined;
  const sources = order.filter(
    ({ op, shape, dtype }) => op.name === 'input' && dtype === 'f32' && shape !== weights.shape,
  );
  return { loss, sources };
}

/** A central difference of the loss by one element; undefined where the loss bends or jumps within a step of it. */
function slopeAt(loss: Tensor, made: Case, name: string, i: number): number | undefined {
  const at = (step: number) => {
    const data = Float64Array.from(made.numbers[name]!);
    data[i]! += step;
    return new Evaluator({ ...made.numbers, [name]: data }, new Map(), { samples: 1 }).value(loss).samples[0]![0]!;
  };
  const slope = (step: number) => (at(step) - at(-step)) / (2 * step);
  const sides = [1, -1].map((side) => (at(side * 2e-5) - at(0)) / (side * 2e-5));
  const [near, far] = [slope(1e-5), slope(3e-5)];
  const scale = Math.max(1e-3, Math.abs(near), Math.abs(at(0)) * 1e-4);
  const smooth = Math.abs(near - far) < 1e-4 * scale && Math.abs(sides[0]! - sides[1]!) < 1e-2 * scale;
  return smooth && Number.isFinite(near) ? near : undefined;
}

/** @throws Error for a gradient that is not the slope */
export function checkGradients(made: Case, p: Picker, count: Compared): void {
  const found = lossOf(made, p);
  if (!found) return;
  const { loss, sources } = found;
  const all = gradients(loss, sources);
  for (const [k, source] of sources.entries()) {
    if (String(all[k]!.shape) !== String(source.shape)) throw new Error(`the gradient by ${source} is ${all[k]}`);
    const { name } = source.attrs as { name: string };
    if (elementType(source.dtype) !== 'f32' || source.size === 0) continue;
    const exact = new Evaluator(made.numbers, new Map(), { samples: 1 }).value(all[k]!).samples[0]!;
    for (const i of [0, Math.floor(source.size / 2), source.size - 1]) {
      const slope = slopeAt(loss, made, name, i);
      if (slope === undefined) {
        count.bent++;
        continue;
      }
      count.compared++;
      const error = Math.abs(exact[i]! - slope) / Math.max(1e-2, Math.abs(slope));
      if (error < 2e-3) continue;
      const graph: Graph = { outputs: { loss, [`gradient of ${name}`]: all[k]! }, updates: [] };
      throw new Error(
        `the gradient by ${name}[${i}] is ${exact[i]}, and should be ${slope}\n${describe({ ...made, graph })}`,
      );
    }
  }
}

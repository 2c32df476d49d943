// Random graphs: sources, steps that each apply an op (or a few) to what is there, then outputs and updates. Whatever a step
// needs of a shape, `fit` makes by views, so that views of views arise by themselves. Values stay small: every node knows
// a bound, and is scaled down where it grows. Steps are in random_steps.ts.
import { type Graph, topological } from '../../src/graph/graph.ts';
import { add, mul, toF16 } from '../../src/ops/elementwise.ts';
import type { Variable } from '../../src/ops/source.ts';
import type { DType, Tensor } from '../../src/ops/tensor.ts';
import { reshape } from '../../src/ops/view.ts';
import { Builder, type HostArray, type Kind } from './builder.ts';
import type { Inputs } from './evaluate.ts';
import { Picker, type Recipe } from './picker.ts';
import { STEPS, type StepName } from './random_steps.ts';

/** A graph with all that a run of it takes. */
export interface Case {
  readonly graph: Graph;
  /** As a program takes them. */
  readonly inputs: Readonly<Record<string, HostArray>>;
  /** As the evaluator takes them. */
  readonly numbers: Inputs;
  readonly variables: readonly Variable[];
  /** Outputs that go to buffers of the app. */
  readonly toBuffers: readonly string[];
  /** Runs in a row, each from what the last left. */
  readonly runs: number;
  /** Steps in one run. */
  readonly stepsInARun: number;
}

const DTYPES: readonly DType[] = ['f32', 'f32', 'f32', 'f32', 'u32', 'u32', 'u8'];

/** The graph that a recipe says. */
export function build(kind: Kind, recipe: Recipe): Case {
  const builder = new Builder(kind);
  for (const numbers of recipe.sources) {
    const p = new Picker(numbers);
    builder.source(p, p.pick(kind.half ? [...DTYPES, 'f16', 'f16'] : DTYPES));
  }
  for (const numbers of recipe.steps) {
    const p = new Picker(numbers);
    STEPS[p.pick(kind.steps) as StepName](builder, p);
  }
  return finish(builder, new Picker(recipe.ends));
}

function finish(builder: Builder, p: Picker): Case {
  const { floats, integers, bytes, inputs, numbers, variables, packs, kind } = builder;
  const all = [...floats, ...integers, ...bytes];
  const used = new Set(topological(all).flatMap(({ inputs: below }) => below));
  const sinks = all.filter((node) => !used.has(node));
  const chosen = sinks.slice(-7);
  // Something inside, something twice, and a view of an output.
  if (p.chance(3)) chosen.push(p.pick(all));
  if (p.chance(4)) chosen.push(p.pick(chosen));
  if (p.chance(4)) {
    const view = p.pick(chosen);
    chosen.push(reshape(view, [view.size]));
  }
  const updates = updatesOf(builder, p);
  const outputs = Object.fromEntries(chosen.map((node, i) => [`o${i}`, node]));
  const read = new Set(
    topological([...chosen, ...updates.map(({ value }) => value)]).map(
      ({ attrs }) => (attrs as { name?: string }).name,
    ),
  );
  const wholes = packs.map(({ whole }) => whole);
  return {
    graph: { outputs, updates },
    inputs: Object.fromEntries(Object.entries(inputs).filter(([name]) => read.has(name))),
    numbers,
    variables: [...variables, ...wholes],
    toBuffers: Object.keys(outputs).filter(() => p.chance(5)),
    runs: kind.variables > 0 ? 2 : 1,
    stepsInARun: p.pick([1, 1, 2]),
  };
}

function updatesOf(builder: Builder, p: Picker): Graph['updates'] {
  const { variables, packs, floats, integers, bytes } = builder;
  const inPacks = new Set(packs.flatMap(({ parts }) => parts));
  const targets = [
    ...variables.filter((variable) => !inPacks.has(variable)),
    // The whole, or some of its parts.
    ...packs.flatMap(({ whole, parts }) => (p.chance(2) ? [whole] : parts.filter(() => !p.chance(3)))),
  ];
  const valueFor = ({ dtype, shape, tensor }: Variable): Tensor | undefined => {
    if (dtype === 'u32') return integers.length ? builder.fit(p.pick(integers), shape, p) : undefined;
    // Bytes are only moved.
    if (dtype === 'u8') {
      const found = bytes.filter(({ size }) => size === tensor.size);
      return found.length ? reshape(p.pick(found), shape) : undefined;
    }
    const value = builder.fit(
      p.chance(4) ? p.pick(floats) : floats.at(-1 - p.int(Math.min(4, floats.length)))!,
      shape,
      p,
    );
    if (dtype === 'f16') return toF16(value);
    return value.dtype === 'f16' ? mul(value, 1) : p.chance(3) ? add(mul(tensor, 0.5), value) : value;
  };
  const updates: { variable: Variable; value: Tensor }[] = [];
  for (const [i, variable] of targets.entries()) {
    if (p.chance(4)) continue;
    const next = targets[i + 1];
    // A swap of two of a shape.
    if (next && next.dtype === variable.dtype && next.size === variable.size && p.chance(2)) {
      updates.push({ variable, value: reshape(next.tensor, variable.shape) });
      continue;
    }
    const value = valueFor(variable);
    if (value) updates.push({ variable, value });
  }
  return updates;
}

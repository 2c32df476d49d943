// The evaluator itself: it knows every op, agrees with the references beside the ops, and its central differences agree with
// the gradients of random graphs. All in Node, without a device.
import { expect, test } from 'vitest';
import { gradients } from '../../src/graph/autodiff.ts';
import { type Graph, topological } from '../../src/graph/graph.ts';
import { mul } from '../../src/ops/elementwise.ts';
import { sum } from '../../src/ops/reduce.ts';
import { ops } from '../../src/ops/registry.ts';
import { input } from '../../src/ops/source.ts';
import { apply, elementType, type Tensor } from '../../src/ops/tensor.ts';
import { checkOf } from '../../src/testing/samples.ts';
import { randomFrom, randomValues } from '../numbers.ts';
import { MINUTES, search, TIMEOUT } from './budget.ts';
import { difference, emptyTally } from './compare.ts';
import { Evaluator } from './evaluate.ts';
import { KINDS } from './kinds.ts';
import { Picker, recipes } from './picker.ts';
import { build, type Case } from './random_graph.ts';
import { describe } from './run_case.ts';

/** Ops of text and of likelihoods, which random graphs do not hold: `tests/ops.test.ts` checks each in a graph of its own. */
const APART = [
  ...['attention', 'attentionQueryGradient', 'attentionKeyGradient'],
  ...['maskedAttention', 'maskedAttentionQueryGradient', 'maskedAttentionKeyGradient'],
  ...['layerNorm', 'layerNormGradient', 'rmsNorm', 'rmsNormGradient', 'rotary', 'geluTanh', 'geluTanhSlope'],
  ...['embedding', 'segmentSum', 'sortIndices', 'sample', 'discretizedLogisticNll', 'logisticMixtureNll', 'toU32'],
  ...['categoricalNll', 'logGammaRatio', 'digammaDifference', 'betaBinomialNll'],
];
const held = ops.filter(({ name }) => !APART.includes(name));
const sampled = held.map((op) => ({ op, ...checkOf(op) })).filter(({ samples, reference }) => samples && reference);

test.each(sampled.map((one) => [one.op.name, one] as const))('%s is what its reference says', (_, one) => {
  const { op, samples, reference } = one;
  const random = randomFrom(5);
  for (const { inputs, attrs } of samples!) {
    const data = inputs.map((spec) => randomValues(spec, random));
    const tensors = inputs.map(({ shape, dtype }, i) => input(`x${i}`, shape, dtype));
    const result = apply(op, tensors, attrs);
    const named = Object.fromEntries(data.map((values, i) => [`x${i}`, values]));
    const value = new Evaluator(named, new Map()).value(result);
    const arrays = inputs.map(({ shape }, i) => ({ shape, data: Float64Array.from(data[i]!) }));
    // Rounded, as the evaluator's constants are.
    const expected = reference!(arrays, attrs, result.shape) as Float64Array;
    expect(difference(expected, value, emptyTally())).toBeUndefined();
  }
});

test('random graphs hold every op of the registry', () => {
  const seen = new Set<string>();
  const random = randomFrom(11);
  const list = (length: number) => Array.from({ length }, () => Math.floor(random() * 65536));
  for (let i = 0; i < 150; i++) {
    const recipe = {
      sources: [list(16), list(16), list(16)],
      steps: Array.from({ length: 30 }, () => list(32)),
      ends: list(48),
    };
    const { graph } = build([KINDS.general, KINDS.half, KINDS.indices][i % 3]!, recipe);
    for (const { op } of topological([...Object.values(graph.outputs)])) seen.add(op.name);
  }
  expect(held.map(({ name }) => name).filter((name) => !seen.has(name) && name !== 'result')).toEqual([]);
});

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
  if (order.some(({ op, dtype }) => op.name === 'stopGradient' || dtype === 'f16')) return undefined;
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

let compared = 0;
let bent = 0;

test(
  'gradients are central differences',
  async () => {
    const kind = {
      ...KINDS.general,
      variables: 0,
      most: 120,
      steps: KINDS.general.steps.filter((name) => name !== 'half'),
    };
    await search('gradients are central differences', recipes(12), { runs: MINUTES > 0 ? 200 : 120 }, (recipe) => {
      const made = build(kind, recipe);
      const found = lossOf(made, new Picker(recipe.ends.slice(24)));
      if (!found) return;
      const { loss, sources } = found;
      const all = gradients(loss, sources);
      for (const [k, source] of sources.entries()) {
        expect(all[k]!.shape).toEqual(source.shape);
        const { name } = source.attrs as { name: string };
        if (elementType(source.dtype) !== 'f32' || source.size === 0) continue;
        const exact = new Evaluator(made.numbers, new Map(), { samples: 1 }).value(all[k]!).samples[0]!;
        for (const i of [0, Math.floor(source.size / 2), source.size - 1]) {
          const slope = slopeAt(loss, made, name, i);
          if (slope === undefined) {
            bent++;
            continue;
          }
          compared++;
          const error = Math.abs(exact[i]! - slope) / Math.max(1e-2, Math.abs(slope));
          if (!(error < 2e-3)) {
            const graph: Graph = { outputs: { loss, [`gradient of ${name}`]: all[k]! }, updates: [] };
            throw new Error(
              `the gradient by ${name}[${i}] is ${exact[i]}, and should be ${slope}\n${describe({ ...made, graph })}`,
            );
          }
        }
      }
    });
    console.log(`gradients: ${compared} elements compared, ${bent} where the loss bends`);
    expect(compared).toBeGreaterThan(bent);
  },
  TIMEOUT,
);

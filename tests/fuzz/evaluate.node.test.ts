// The evaluator itself: it knows every op, agrees with the references beside the ops, and its central differences agree with
// the gradients of random graphs. All in Node, without a device.
import { expect, test } from 'vitest';
import { topological } from '../../src/graph/graph.ts';
import { ops } from '../../src/ops/registry.ts';
import { input } from '../../src/ops/source.ts';
import { applyAll } from '../../src/ops/tensor.ts';
import { checkOf } from '../../src/testing/samples.ts';
import { randomFrom, randomValues } from '../numbers.ts';
import { MINUTES, search, TIMEOUT } from './budget.ts';
import { difference, emptyTally } from './compare.ts';
import { Evaluator } from './evaluate.ts';
import { checkGradients } from './gradient_check.ts';
import { KINDS } from './kinds.ts';
import { Picker, recipes } from './picker.ts';
import { build } from './random_graph.ts';
import { checkSimplified } from './simplify_check.ts';

/**
 * What is drawn by chance among equals hangs on the last bit; random graphs do not hold likelihoods of bytes by logits and by α and β, nor
 * what is there to keep memory small (tests/checkpointing.node.test.ts). `tests/ops.test.ts` checks these in graphs of their own.
 */
const APART = [
  ...['sample', 'categoricalNll', 'logGammaRatio', 'digammaDifference', 'betaBinomialNll'],
  ...['linearCrossEntropy', 'after'],
];
const held = ops.filter(({ name }) => !APART.includes(name));
const sampled = held.map((op) => ({ op, ...checkOf(op) })).filter(({ samples, reference }) => samples && reference);

test.each(sampled.map((one) => [one.op.name, one] as const))('%s is what its reference says', (_, one) => {
  const { op, samples, reference } = one;
  const random = randomFrom(5);
  for (const { inputs, attrs } of samples!) {
    const data = inputs.map((spec) => randomValues(spec, random));
    const tensors = inputs.map(({ shape, dtype }, i) => input(`x${i}`, shape, dtype));
    const results = applyAll(op, tensors, attrs);
    const named = Object.fromEntries(data.map((values, i) => [`x${i}`, values]));
    const evaluator = new Evaluator(named, new Map());
    const arrays = inputs.map(({ shape }, i) => ({ shape, data: Float64Array.from(data[i]!) }));
    // Rounded, as the evaluator's constants are.
    const expected = [reference!(arrays, attrs, results[0]!.shape)].flat() as Float64Array[];
    results.forEach((result, r) => {
      expect(difference(expected[r]!, evaluator.value(result), emptyTally()), `result ${r}`).toBeUndefined();
    });
  }
});

test('random graphs hold every op of the registry', () => {
  const seen = new Set<string>();
  const random = randomFrom(11);
  const list = (length: number) => Array.from({ length }, () => Math.floor(random() * 65536));
  for (let i = 0; i < 200; i++) {
    const recipe = {
      sources: [list(16), list(16), list(16)],
      steps: Array.from({ length: 30 }, () => list(32)),
      ends: list(48),
    };
    const { graph } = build([KINDS.general, KINDS.half, KINDS.indices, KINDS.text][i % 4]!, recipe);
    for (const { op } of topological([...Object.values(graph.outputs)])) seen.add(op.name);
  }
  const missing = held.map(({ name }) => name).filter((name) => !seen.has(name) && name !== 'result');
  expect(missing, 'drawn by no step of random_steps.ts that kinds.ts names').toEqual([]);
});

test(
  'gradients are central differences',
  async () => {
    const kind = {
      ...KINDS.general,
      variables: 0,
      most: 120,
      steps: [...KINDS.general.steps, ...KINDS.text.steps].filter((name) => name !== 'half'),
    };
    const count = { compared: 0, bent: 0 };
    await search('gradients are central differences', recipes(12), { runs: MINUTES > 0 ? 200 : 120 }, (recipe) =>
      checkGradients(build(kind, recipe), new Picker(recipe.ends.slice(24)), count),
    );
    console.log(`gradients: ${count.compared} elements compared, ${count.bent} where the loss bends`);
    expect(count.compared).toBeGreaterThan(count.bent);
  },
  TIMEOUT,
);

test(
  'what a graph is simplified to, for whatever adapter, computes the same',
  async () => {
    const kinds = [KINDS.general, KINDS.indices, KINDS.updates, KINDS.images, KINDS.text];
    const tally = emptyTally();
    let at = 0;
    await search('simplified graphs', recipes(20), { runs: MINUTES > 0 ? 200 : 25 }, (recipe) => {
      checkSimplified(build(kinds[at++ % kinds.length]!, recipe), new Picker(recipe.ends.slice(40)), tally);
    });
    console.log(`simplified: ${tally.tensors} tensors, ${tally.elements} elements (${tally.undecided} undecided)`);
    expect(tally.elements).toBeGreaterThan(1000);
  },
  TIMEOUT,
);

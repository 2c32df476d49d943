// The judge of the bench's transformer, in float64: it must find what is wrong, and nothing wrong with what is right.
import { expect, test } from 'vitest';
import { gptLosses, lossAndGradients, lossOf, weightValues, written } from '../src/bench/gpt/reference.ts';
import { gptTask, writeTask } from '../src/bench/gpt/task.ts';
import { verify } from '../src/bench/verify.ts';

const sizes = { vocabulary: 11, context: 7, layers: 2, heads: 2, width: 8 };
const optimizer = { lr: 1e-2, beta2: 0.99, weightDecay: 0.1, maxNorm: 0.5 };
const step = () => gptTask({ sizes, batch: 3, optimizer });
const writing = () => writeTask(true, sizes, { prompt: 2, count: 5 });

test('gradients in float64 are those of the loss', () => {
  const { weights, batches } = step();
  const values = weightValues({ weights });
  lossAndGradients(sizes, values, batches[0]);
  const loss = () => lossOf([], sizes, values, batches[0]);
  for (const [name, { data, grad }] of values) {
    for (const at of [0, data.length >> 1, data.length - 1]) {
      const value = data[at]!;
      const [high, low] = [1e-5, -1e-5].map((by) => {
        data[at] = value + by;
        return loss();
      });
      data[at] = value;
      expect(grad[at], `${name}, ${at}`).toBeCloseTo((high! - low!) / 2e-5, 7);
    }
  }
});

test('a step whose losses are not those of the reference is wrong', async () => {
  const task = step();
  const [first, second] = gptLosses(task);
  const judge = (...losses: number[]) =>
    verify(
      task,
      losses.map((loss) => ({ values: [loss] })),
    );
  expect(await judge(first, second)).toBeUndefined();
  expect(await judge(first * 1.001, second)).toMatch(/for the first loss/);
  expect(await judge(first, second * 1.001)).toMatch(/for the loss after the first step/);
  // The step itself makes more of a difference than rounding may.
  const still = { ...task, optimizer: { ...optimizer, lr: 0 } };
  expect(Math.abs(gptLosses(still)[1] / second - 1)).toBeGreaterThan(0.005);
});

test('a text of which one token is another is wrong', async () => {
  const task = writing();
  const tokens = written(task);
  expect(new Set(tokens).size).toBeGreaterThan(1);
  expect(await verify(task, [{ values: tokens }])).toBeUndefined();
  const other = tokens.with(-1, (tokens.at(-1)! + 1) % 11);
  expect(await verify(task, [{ values: other }])).toMatch(/^wrong: token .* at 4$/);
  expect(await verify(task, [{ values: tokens.slice(1) }])).toBe('wrong: 4 tokens instead of 5');
});

// Glia and jax-js at the bench's convolutions, at the step of its convolutional VAE, and jax-js at a transformer: what they
// compute is right, and what the engines measure is therefore the same work.
import { beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../src/bench/engines.ts';
import { gptTask, writeTask } from '../src/bench/gpt/task.ts';
import { convNetwork, halving } from '../src/bench/network.ts';
import { firstOutcomes, verify } from '../src/bench/verify.ts';
import { convTask, type Engine, type Task, trainTask } from '../src/bench/workloads.ts';

async function problemWith(engine: Engine, task: Task): Promise<string | undefined> {
  const prepared = await engine.prepare(task);
  const outcomes = await firstOutcomes(task, prepared);
  prepared.destroy();
  return verify(task, outcomes);
}

test('jax-js makes a step of a gpt, and writes', async () => {
  const sizes = { vocabulary: 11, context: 7, layers: 1, heads: 2, width: 8 };
  const optimizer = { lr: 1e-2, beta2: 0.99, weightDecay: 0.1, maxNorm: 0.5 };
  const engine = await startEngine('jax-wasm');
  expect(await problemWith(engine, gptTask({ sizes, batch: 2, optimizer }))).toBeUndefined();
  expect(await problemWith(engine, writeTask(true, sizes, { prompt: 2, count: 5 }))).toBeUndefined();
});

describe.each(['glia', 'jax-wasm'] as const)('%s', (name) => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await startEngine(name);
  });

  const problemOf = (task: Task) => problemWith(engine, task);

  test.each(['forward', 'input', 'weight'] as const)('a convolution: %s', async (form) => {
    expect(await problemOf(convTask(form, halving([8, 7, 6], 12), 3))).toBeUndefined();
  });

  test('a step of a convolutional VAE', async () => {
    expect(await problemOf(trainTask(convNetwork({ size: 14, widths: [6, 8], latent: 3 }), 5))).toBeUndefined();
  });
});

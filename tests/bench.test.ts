// Glia and jax-js at the bench's convolutions and at the step of its convolutional VAE: what they compute is right, and
// what the engines measure is therefore the same work.
import { beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../src/bench/engines.ts';
import { convNetwork, halving } from '../src/bench/network.ts';
import { verify } from '../src/bench/verify.ts';
import { convTask, type Engine, type Task, trainTask } from '../src/bench/workloads.ts';

describe.each(['glia', 'jax-wasm'] as const)('%s', (name) => {
  let engine: Engine;

  beforeAll(async () => {
    engine = await startEngine(name);
  });

  const problemOf = async (task: Task) => {
    const prepared = await engine.prepare(task);
    const outcomes = [await prepared.once(), await prepared.once()];
    prepared.destroy();
    return verify(task, outcomes);
  };

  test.each(['forward', 'input', 'weight'] as const)('a convolution: %s', async (form) => {
    expect(await problemOf(convTask(form, halving([8, 7, 6], 12), 3))).toBeUndefined();
  });

  test('a step of a convolutional VAE', async () => {
    expect(await problemOf(trainTask(convNetwork({ size: 14, widths: [6, 8], latent: 3 }), 5))).toBeUndefined();
  });
});

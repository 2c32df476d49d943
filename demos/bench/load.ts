// A fresh page with one engine, ?engine=NAME: how long it takes from the page's start to the end of the first train
// step of the default VAE, and how much memory on the GPU its steps take. What is awaited is `firstStep`.

import { startEngine } from '../../src/bench/engines.ts';
import { BufferCount, STEPS } from '../../src/bench/memory.ts';
import type { EngineName, FirstStep } from '../../src/bench/results.ts';
import { verify } from '../../src/bench/verify.ts';
import { defaultStep } from '../../src/bench/workloads.ts';

async function measure(): Promise<FirstStep> {
  const memory = new BufferCount();
  const name = new URLSearchParams(location.search).get('engine') as EngineName;
  try {
    const began = performance.now();
    const task = defaultStep();
    const made = performance.now() - began;
    const engine = await startEngine(name);
    const prepared = await engine.prepare(task);
    const first = await prepared.once();
    // Counted from the start of the navigation; that the data are made first is not the engine's time.
    const ms = performance.now() - made;
    const second = await prepared.once();
    await prepared.run(STEPS);
    const bytes = memory.peak;
    const error = await verify(task, [first, second]);
    return error ? { error } : { ms, bytes };
  } catch (error) {
    return { error: `failed: ${(error as Error).message}` };
  }
}

Object.assign(globalThis, { firstStep: measure() });

// A fresh page with one engine at one workload, ?engine=NAME&work=ID: how long it takes from the page's start to the end of
// the first run, and how much memory on the GPU it takes. What is awaited is `firstStep`.

import { startEngine } from '../../src/bench/engines.ts';
import { BufferCount, runForMemory } from '../../src/bench/memory.ts';
import type { EngineName, FirstStep } from '../../src/bench/results.ts';
import { verify } from '../../src/bench/verify.ts';
import { taskOf } from '../../src/bench/workloads.ts';

async function measure(): Promise<FirstStep> {
  const memory = new BufferCount();
  const asked = new URLSearchParams(location.search);
  try {
    const began = performance.now();
    const task = taskOf(asked.get('work')!);
    const made = performance.now() - began;
    const engine = await startEngine(asked.get('engine') as EngineName);
    const prepared = await engine.prepare(task);
    let ms = 0;
    const once = async () => {
      const outcome = await prepared.once();
      // Counted from the start of the navigation; that the data are made first is not the engine's time.
      ms ||= performance.now() - made;
      return outcome;
    };
    const outcomes = await runForMemory(task, { ...prepared, once });
    const bytes = memory.peak;
    const error = await verify(task, outcomes);
    return error ? { error } : { ms, bytes };
  } catch (error) {
    return { error: `failed: ${(error as Error).message}` };
  }
}

Object.assign(globalThis, { firstStep: measure() });

// A fresh page with one engine, ?engine=NAME: how long it takes from the page's start to the end of the first train
// step of the default VAE, and how much memory on the GPU its steps take. What is awaited is `firstStep`.
import type { EngineName, FirstStep } from '../../src/cli/bench/results.ts';
import { startEngine } from './engines.ts';
import { verify } from './verify.ts';
import { defaultStep } from './workloads.ts';

/** Steps after which no engine allocates anything that it did not before. */
const STEPS = 5;

/** Most bytes in buffers that were alive at a time. Buffers to read back by are left out: they are the reader's. */
let peak = 0;
let alive = 0;

function countBuffers(): void {
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    // MAP_READ
    if (descriptor.usage & 0x01) return buffer;
    alive += descriptor.size;
    peak = Math.max(peak, alive);
    const { destroy } = buffer;
    buffer.destroy = () => {
      alive -= descriptor.size;
      buffer.destroy = destroy;
      destroy.call(buffer);
    };
    return buffer;
  };
}

async function measure(): Promise<FirstStep> {
  countBuffers();
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
    const bytes = peak;
    const error = await verify(task, [first, second]);
    return error ? { error } : { ms, bytes };
  } catch (error) {
    return { error: `failed: ${(error as Error).message}` };
  }
}

Object.assign(globalThis, { firstStep: measure() });

// The bench without a page: in Node, on the WebGPU implementation that it is given, started by `npm run bench -- --node`.

import { startEngine } from './engines.ts';
import { createEngine } from './glia.ts';
import { measure } from './measure.ts';
import { BufferCount, STEPS } from './memory.ts';
import { type Cell, ENGINES, type EngineName, MEMORY, type NodeBench, type Row } from './results.ts';
import { verify } from './verify.ts';
import { defaultStep, type Engine, workloadsFor } from './workloads.ts';

/**
 * Starts the engines that run here.
 *
 * @param gpu what `navigator.gpu` is, too: the others ask there
 */
export async function startBench(gpu: GPU, names: readonly EngineName[]): Promise<NodeBench> {
  // Before an engine makes its first buffer.
  const memory = new BufferCount();
  const glia = await createEngine({ gpu });
  const workloads = workloadsFor(glia);
  const engines = new Map<EngineName, Engine>([['glia', glia]]);
  const leftOut = new Map<EngineName, string>();
  for (const name of names.filter((name) => name !== 'glia')) {
    try {
      if (name === 'tfjs') throw new Error('its package is made for browsers');
      engines.set(name, await startEngine(name));
    } catch (error) {
      leftOut.set(name, (error as Error).message.split('\n')[0]!);
    }
  }
  return {
    adapter: glia.adapter ?? '',
    ceilings: await glia.ceilings!(),
    software: glia.software ?? false,
    ids: [...workloads.map(({ id }) => id), MEMORY.id],
    engines: [...engines.keys()],
    leftOut,
    async *rows({ only, rounds }, tell) {
      const chosen = (id: string) => only?.includes(id) ?? true;
      // Measured first, while each has done nothing else, and shown last, as in Chrome.
      const last = chosen(MEMORY.id) ? await measureMemory(engines, memory, tell) : undefined;
      yield* measure({ engines, workloads: workloads.filter(({ id }) => chosen(id)), rounds, tell });
      if (last) yield last;
    },
  };
}

async function measureMemory(
  engines: ReadonlyMap<EngineName, Engine>,
  memory: BufferCount,
  tell: (what: string) => void,
): Promise<Row> {
  const cells: { [name in EngineName]?: Cell } = {};
  const task = defaultStep();
  for (const [name, engine] of engines) {
    // WebAssembly has no memory on the GPU.
    if (name === 'jax-wasm') continue;
    tell(`${MEMORY.name}: ${ENGINES[name]}`);
    memory.reset();
    try {
      const prepared = await engine.prepare(task);
      const outcomes = [await prepared.once(), await prepared.once()];
      await prepared.run(STEPS);
      const samples = [memory.peak / 1e6];
      const problem = await verify(task, outcomes);
      cells[name] = problem ? { error: problem } : { samples };
      prepared.destroy();
    } catch (error) {
      cells[name] = { error: `failed: ${(error as Error).message}` };
    }
  }
  return { ...MEMORY, cells };
}

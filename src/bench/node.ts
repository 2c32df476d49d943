// The bench without a page: in Node, on the WebGPU implementation that it is given, started by `npm run bench -- --node`.

import { startEngine } from './engines.ts';
import { createEngine } from './glia.ts';
import { measure } from './measure.ts';
import { BufferCount, runForMemory } from './memory.ts';
import { type Cell, ENGINES, type EngineName, type NodeBench, type Row } from './results.ts';
import { verify } from './verify.ts';
import { type Engine, MEMORIES, type MemoryWorkload, taskOf, workloadsFor } from './workloads.ts';

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
    ids: [...workloads, ...MEMORIES].map(({ id }) => id),
    engines: [...engines.keys()],
    leftOut,
    async *rows({ only, rounds }, tell) {
      const chosen = (id: string) => only?.includes(id) ?? true;
      // Measured first, while each has done nothing else, and shown last, as in Chrome.
      const last: Row[] = [];
      for (const one of MEMORIES) if (chosen(one.id)) last.push(await measureMemory(one, engines, memory, tell));
      yield* measure({ engines, workloads: workloads.filter(({ id }) => chosen(id)), rounds, tell });
      yield* last;
    },
  };
}

async function measureMemory(
  { id, name: title, workload }: MemoryWorkload,
  engines: ReadonlyMap<EngineName, Engine>,
  memory: BufferCount,
  tell: (what: string) => void,
): Promise<Row> {
  const cells: { [name in EngineName]?: Cell } = {};
  const task = taskOf(workload);
  for (const [name, engine] of engines) {
    // WebAssembly has no memory on the GPU.
    if (name === 'jax-wasm') continue;
    tell(`${title}: ${ENGINES[name]}`);
    memory.reset();
    try {
      const prepared = await engine.prepare(task);
      const outcomes = await runForMemory(task, prepared);
      const samples = [memory.peak / 1e6];
      const problem = await verify(task, outcomes);
      cells[name] = problem ? { error: problem } : { samples };
      prepared.destroy();
    } catch (error) {
      cells[name] = { error: `failed: ${(error as Error).message}` };
    }
  }
  return { id, name: title, unit: 'MB', cells };
}

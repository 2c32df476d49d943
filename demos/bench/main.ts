// The bench's page: started by a person with the button, or by `npm run bench`, which is told every row.

import { startEngine } from '../../src/bench/engines.ts';
import { measure } from '../../src/bench/measure.ts';
import {
  type BenchOptions,
  ENGINES,
  type EngineName,
  type FirstStep,
  MEMORY,
  PAGE_ENGINES,
  type Row,
  TELL,
} from '../../src/bench/results.ts';
import { type Engine, type Workload, workloadsFor } from '../../src/bench/workloads.ts';
import { Table } from './table.ts';

const ROUNDS = 5;

const part = (id: string) => document.getElementById(id)!;
const started = new Map<EngineName, Engine | Error>();

async function engineOf(name: EngineName): Promise<Engine | Error> {
  const engine = started.get(name) ?? (await startEngine(name).catch((error: Error) => error));
  started.set(name, engine);
  return engine;
}

async function allWorkloads(): Promise<readonly Workload[]> {
  const glia = await engineOf('glia');
  return workloadsFor(glia instanceof Error ? { software: true } : glia);
}

/** What the command needs to know before it starts. @throws if there is no WebGPU */
export async function describe(): Promise<{ adapter: string; ids: string[] }> {
  const glia = await engineOf('glia');
  if (glia instanceof Error) throw glia;
  return { adapter: glia.adapter ?? '', ids: (await allWorkloads()).map(({ id }) => id) };
}

/** Measures, tells the command if there is one, and shows it all in the page. */
export async function run({ engines, only, rounds }: BenchOptions): Promise<void> {
  const tell = (globalThis as { [TELL]?: (row: Row | string) => void })[TELL];
  const progress = (what: string) => {
    part('status').textContent = what;
    tell?.(what);
  };
  const workloads = (await allWorkloads()).filter(({ id }) => only?.includes(id) ?? true);
  const table = emptyTable(engines, workloads, !tell);
  part('rounds').textContent = String(rounds);
  const made = new Map<EngineName, Engine | Error>();
  for (const name of engines) {
    progress(`starting ${ENGINES[name]}`);
    made.set(name, await engineOf(name));
  }
  for await (const row of measure({ engines: made, workloads, rounds, tell: progress })) {
    table.fill(row);
    tell?.(row);
  }
  if (!tell) table.fill(await measureMemory(engines, progress));
  progress('');
}

function emptyTable(engines: readonly EngineName[], workloads: readonly Workload[], memory: boolean): Table {
  const rows: Row[] = workloads.map(({ id, name }) => ({ id, name, unit: 'ms', cells: {} }));
  return new Table(part('head'), part('rows'), engines, memory ? [...rows, MEMORY] : rows);
}

/** In a frame of its own, an engine allocates for this work alone. */
async function measureMemory(engines: readonly EngineName[], progress: (what: string) => void): Promise<Row> {
  const cells: { [name in EngineName]?: Row['cells'][name] } = {};
  for (const name of engines) {
    if (name === 'jax-wasm') continue;
    progress(`${MEMORY.name}: ${ENGINES[name]}`);
    const frame = document.createElement('iframe');
    frame.hidden = true;
    frame.src = `./load.html?engine=${name}`;
    const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
    document.body.append(frame);
    await loaded;
    const found = await (frame.contentWindow as unknown as { firstStep: Promise<FirstStep> }).firstStep;
    cells[name] = found.error === undefined ? { samples: [found.bytes / 1e6] } : { error: found.error };
    frame.remove();
  }
  return { ...MEMORY, cells };
}

async function greet(): Promise<void> {
  const button = part('start') as HTMLButtonElement;
  part('rounds').textContent = String(ROUNDS);
  emptyTable(PAGE_ENGINES, await allWorkloads(), true);
  try {
    part('adapter').textContent = (await describe()).adapter;
  } catch (error) {
    part('adapter').textContent = (error as Error).message;
    return;
  }
  button.disabled = false;
  button.addEventListener('click', async () => {
    button.disabled = true;
    await run({ engines: PAGE_ENGINES, rounds: ROUNDS }).catch((error) => {
      part('status').textContent = String(error);
    });
    button.disabled = false;
  });
}

void greet();

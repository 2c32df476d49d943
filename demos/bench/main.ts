// The benchmark's page: started by a person with the button, or by `npm run bench`, which is told every row.
import 'uplot/dist/uPlot.min.css';
import { startEngine } from '../../src/bench/engines.ts';
import { measure } from '../../src/bench/measure.ts';
import {
  type BenchOptions,
  ENGINES,
  type EngineName,
  type FirstStep,
  number,
  PAGE_ENGINES,
  type Row,
  TELL,
  toJson,
} from '../../src/bench/results.ts';
import { type Engine, MEMORIES, type MemoryWorkload, type Workload, workloadsFor } from '../../src/bench/workloads.ts';
import type { Ceilings } from '../../src/runtime/ceilings.ts';
import { download } from '../../src/view/download.ts';
import { BenchRoofline } from './roofline.ts';
import { Table } from './table.ts';

const ROUNDS = 3;

const part = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;
const started = new Map<EngineName, Engine | Error>();
let measured: { ceilings: Ceilings; engines: readonly EngineName[]; rows: Row[] } | undefined;
const roofline = new BenchRoofline(part('roof'), part('roofline'), part('detail'));

async function engineOf(name: EngineName): Promise<Engine | Error> {
  const engine = started.get(name) ?? (await startEngine(name).catch((error: Error) => error));
  started.set(name, engine);
  return engine;
}

async function glia(): Promise<Engine> {
  const engine = await engineOf('glia');
  if (engine instanceof Error) throw engine;
  return engine;
}

/** What the command needs to know before it starts. @throws if there is no WebGPU */
export async function describe(): Promise<{ adapter: string; ceilings: Ceilings; ids: string[] }> {
  const engine = await glia();
  const ids = workloadsFor(engine).map(({ id }) => id);
  return { adapter: engine.adapter ?? '', ceilings: await ceilingsOf(engine), ids };
}

let ceilings: Promise<Ceilings> | undefined;

/** Measured once a page. */
function ceilingsOf(engine: Engine): Promise<Ceilings> {
  ceilings ??= engine.ceilings!();
  return ceilings;
}

/** Measures, tells the command if there is one, and shows it all in the page. */
export async function run({ engines, only, rounds }: BenchOptions, stop?: AbortSignal): Promise<void> {
  const tell = (globalThis as { [TELL]?: (row: Row | string) => void })[TELL];
  const progress = (what: string) => {
    part('status').textContent = what;
    tell?.(what);
  };
  const own = await glia();
  const workloads = workloadsFor(own).filter(({ id }) => only?.includes(id) ?? true);
  part('rounds').textContent = String(rounds);
  progress('measuring what the adapter can do at best');
  const best = await ceilingsOf(own);
  showCeilings(best);
  // A person who compares wants to know of memory, too; the command measures it in fresh pages.
  const memories = !tell && engines.length > 1 ? MEMORIES : [];
  const table = emptyTable(engines, [...workloads, ...memories], best);
  const made = new Map<EngineName, Engine | Error>();
  for (const name of engines) {
    progress(`starting ${ENGINES[name]}`);
    made.set(name, await engineOf(name));
  }
  const rows: Row[] = [];
  measured = { ceilings: best, engines, rows };
  const add = (row: Row) => {
    rows.push(row);
    offerResults();
    table.fill(row);
    roofline.show(best, rows);
    part<HTMLProgressElement>('progress').value = rows.length / (workloads.length + memories.length);
  };
  for await (const row of measure({ engines: made, workloads, rounds, tell: progress, stop })) {
    add(row);
    tell?.(row);
  }
  for (const one of memories) if (!stop?.aborted) add(await measureMemory(one, engines, progress));
  progress(tell ? '' : stop?.aborted ? `Stopped after ${rows.length} rows.` : 'Done.');
}

function emptyTable(
  engines: readonly EngineName[],
  workloads: readonly (Workload | MemoryWorkload)[],
  best?: Ceilings,
): Table {
  const rows = workloads.map((one): Row => {
    return { id: one.id, name: one.name, unit: 'work' in one ? 'ms' : 'MB', cells: {} };
  });
  return new Table(part('head'), part('rows'), { engines, rows, ceilings: best });
}

function showCeilings({ gigaflops, gigabytesPerSecond }: Ceilings): void {
  const of = (name: string, value: string) => {
    const pair = document.createElement('div');
    pair.append(
      Object.assign(document.createElement('dt'), { textContent: name }),
      Object.assign(document.createElement('dd'), { textContent: value }),
    );
    return pair;
  };
  part('ceilings').replaceChildren(
    of('arithmetic in registers', `${number(gigaflops)} GFLOP/s`),
    of('memory, by copying', `${number(gigabytesPerSecond)} GB/s`),
  );
}

/** In a frame of its own, an engine allocates for this work alone. */
async function measureMemory(
  { id, name: title, workload }: MemoryWorkload,
  engines: readonly EngineName[],
  progress: (what: string) => void,
): Promise<Row> {
  const cells: { [name in EngineName]?: Row['cells'][name] } = {};
  for (const name of engines) {
    if (name === 'jax-wasm') continue;
    progress(`${title}: ${ENGINES[name]}`);
    const frame = document.createElement('iframe');
    frame.hidden = true;
    frame.src = `./load.html?engine=${name}&work=${workload}`;
    const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
    document.body.append(frame);
    await loaded;
    const found = await (frame.contentWindow as unknown as { firstStep: Promise<FirstStep> }).firstStep;
    cells[name] = found.error === undefined ? { samples: [found.bytes / 1e6] } : { error: found.error };
    frame.remove();
  }
  return { id, name: title, unit: 'MB', cells };
}

/** A box for each engine that a person may compare with. */
function offerPeers(): void {
  for (const name of PAGE_ENGINES.filter((engine) => engine !== 'glia')) {
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', value: name });
    const label = document.createElement('label');
    label.append(box, ENGINES[name]);
    part('peers').append(label);
  }
}

const chosenEngines = (): EngineName[] => {
  const boxes = [...part('peers').querySelectorAll<HTMLInputElement>('input:checked')];
  return ['glia', ...boxes.map(({ value }) => value as EngineName)];
};

const json = () => {
  const adapter = part('adapter').textContent ?? '';
  return toJson({ about: { adapter, browser: navigator.userAgent }, rounds: ROUNDS, ...measured! });
};

function offerResults(): void {
  const [copy, save] = [part<HTMLButtonElement>('copy'), part<HTMLButtonElement>('save')];
  copy.disabled = save.disabled = false;
  copy.onclick = async () => {
    await navigator.clipboard.writeText(json());
    part('status').textContent = 'Copied.';
  };
  save.onclick = () => download('glia-benchmark.json', json(), 'application/json');
}

async function greet(): Promise<void> {
  const button = part<HTMLButtonElement>('start');
  const peers = part<HTMLFieldSetElement>('peers');
  part('rounds').textContent = String(ROUNDS);
  offerPeers();
  let own: Engine;
  try {
    own = await glia();
  } catch (error) {
    part('adapter').textContent = (error as Error).message;
    part('results').hidden = true;
    return;
  }
  part('adapter').textContent = own.adapter ?? '';
  const list = () =>
    emptyTable(chosenEngines(), [...workloadsFor(own), ...(chosenEngines().length > 1 ? MEMORIES : [])]);
  list();
  peers.addEventListener('change', list);
  button.disabled = false;
  let running: AbortController | undefined;
  button.addEventListener('click', async () => {
    if (running) {
      running.abort();
      button.disabled = true;
      return;
    }
    running = new AbortController();
    button.textContent = 'Stop';
    peers.disabled = true;
    await run({ engines: chosenEngines(), rounds: ROUNDS }, running.signal).catch((error) => {
      part('status').textContent = String(error);
    });
    running = undefined;
    button.textContent = 'Start';
    button.disabled = peers.disabled = false;
  });
}

void greet();

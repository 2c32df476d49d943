// What engines need in fresh pages, as an app would ship them: the time to the first train step, and memory on the GPU.
import type { Browser } from 'puppeteer';
import { build, preview } from 'vite';
import {
  BENCH_FOLDER,
  type Cell,
  ENGINES,
  type EngineName,
  type FirstStep,
  type Row,
  turns,
} from '../../bench/results.ts';
import { MEMORIES } from '../../bench/workloads.ts';

const PAGE = 'demos/bench/load.html';
const LOAD = { id: 'load', name: 'page load to end of first VAE step', workload: 'vae-128' };

/** Rows that are measured so. */
export const FRESH_IDS: readonly string[] = [LOAD.id, ...MEMORIES.map(({ id }) => id)];

export interface FreshPages {
  readonly engines: readonly EngineName[];
  /** Of `FRESH_IDS`. */
  readonly ids: readonly string[];
  readonly rounds: number;
  readonly tell: (what: string) => void;
}

const BUILD = { configFile: false, logLevel: 'error', base: `/${BENCH_FOLDER}/` } as const;

/** The page, in which every engine is a bundle of its own. */
export async function buildFreshPage(folder: string): Promise<void> {
  await build({
    ...BUILD,
    // What only tests of ops read falls away, as in what is published.
    define: { CHECKS: 'false' },
    build: { outDir: folder, emptyOutDir: false, target: 'es2022', rolldownOptions: { input: PAGE } },
  });
}

/** Builds the page, and opens it for each engine in turns. */
export async function* measureFresh(browser: Browser, { engines, ids, rounds, tell }: FreshPages): AsyncGenerator<Row> {
  const chosen = [LOAD, ...MEMORIES].filter(({ id }) => ids.includes(id));
  if (chosen.length === 0) return;
  tell('building the page of first steps');
  await buildFreshPage(BENCH_FOLDER);
  // A server that only hands out files: development's would cut Glia into a request a module.
  const server = await preview({
    ...BUILD,
    build: { outDir: BENCH_FOLDER },
    preview: { host: '127.0.0.1', port: 0 },
  });
  try {
    const url = new URL(PAGE, server.resolvedUrls?.local[0]).href;
    for (const workload of new Set(chosen.map((row) => row.workload))) {
      const rows = chosen.filter((row) => row.workload === workload);
      const results = new Map<EngineName, FirstStep[]>(engines.map((engine) => [engine, []]));
      // The memory of an op is the same each time.
      const turnsOfEach = workload === LOAD.workload ? rounds : 1;
      for (let round = 0; round < turnsOfEach; round++) {
        for (const [engine, found] of turns(results, round)) {
          tell(`${rows.at(-1)!.name}: round ${round + 1} of ${turnsOfEach}, ${ENGINES[engine]}`);
          found.push(await openPage(browser, `${url}?engine=${engine}&work=${workload}`));
        }
      }
      for (const { id, name } of rows) {
        const [unit, value] = id === LOAD.id ? ['ms' as const, timeOf] : ['MB' as const, memoryOf];
        const cells = Object.fromEntries([...results].map(([engine, found]) => [engine, cellOf(found, value)]));
        yield { id, name, unit, cells };
      }
    }
  } finally {
    await server.close();
  }
}

type Found = Extract<FirstStep, { ms: number }>;

const timeOf = ({ ms }: Found) => ms;
const memoryOf = ({ bytes }: Found) => bytes / 1e6;

/** A context of its own, so that nothing is in a cache. */
async function openPage(browser: Browser, url: string): Promise<FirstStep> {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    await page.goto(url);
    return (await page.evaluate('firstStep')) as FirstStep;
  } catch (error) {
    return { error: `failed: ${(error as Error).message.split('\n')[0]}` };
  } finally {
    await context.close();
  }
}

function cellOf(found: readonly FirstStep[], value: (found: Found) => number): Cell {
  const samples: number[] = [];
  for (const one of found) {
    if (one.error !== undefined) return { error: one.error };
    samples.push(value(one));
  }
  return { samples };
}

// How long a page takes to its first train step, and the memory that takes: fresh pages, as an app would ship them.
import type { Browser } from 'puppeteer';
import { build, preview } from 'vite';
import {
  BENCH_FOLDER,
  type Cell,
  ENGINES,
  type EngineName,
  type FirstStep,
  MEMORY,
  type Row,
  turns,
} from '../../bench/results.ts';

const PAGE = 'demos/bench/load.html';

/** Builds the page, in which every engine is a bundle of its own, and opens it for each engine in turns. */
export async function measureFirstSteps(
  browser: Browser,
  engines: readonly EngineName[],
  rounds: number,
  tell: (what: string) => void,
): Promise<Row[]> {
  // A server that only hands out files: development's would cut Glia into a request a module.
  const options = { configFile: false, logLevel: 'error', base: `/${BENCH_FOLDER}/` } as const;
  tell('building the page of first steps');
  await build({
    ...options,
    build: { outDir: BENCH_FOLDER, emptyOutDir: false, target: 'es2022', rolldownOptions: { input: PAGE } },
  });
  const server = await preview({
    ...options,
    build: { outDir: BENCH_FOLDER },
    preview: { host: '127.0.0.1', port: 0 },
  });
  const results = new Map<EngineName, FirstStep[]>(engines.map((engine) => [engine, []]));
  try {
    const url = new URL(PAGE, server.resolvedUrls?.local[0]).href;
    for (let round = 0; round < rounds; round++) {
      for (const [engine, found] of turns(results, round)) {
        tell(`first step: round ${round + 1} of ${rounds}, ${ENGINES[engine]}`);
        found.push(await openPage(browser, `${url}?engine=${engine}`));
      }
    }
  } finally {
    await server.close();
  }
  const row = (
    id: string,
    name: string,
    unit: Row['unit'],
    value: (found: Extract<FirstStep, { ms: number }>) => number,
  ) => ({
    id,
    name,
    unit,
    cells: Object.fromEntries([...results].map(([engine, found]) => [engine, cellOf(found, value)])),
  });
  return [
    row('load', 'page load to end of first VAE step', 'ms', ({ ms }) => ms),
    row(MEMORY.id, MEMORY.name, MEMORY.unit, ({ bytes }) => bytes / 1e6),
  ];
}

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

function cellOf(found: readonly FirstStep[], value: (found: Extract<FirstStep, { ms: number }>) => number): Cell {
  const samples: number[] = [];
  for (const one of found) {
    if (one.error !== undefined) return { error: one.error };
    samples.push(value(one));
  }
  return { samples };
}

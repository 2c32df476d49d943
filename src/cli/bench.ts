// `npm run bench`: Glia and other engines at the same work, in turns in one Chrome, and a table of what it took them.
import { writeFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import type { Browser } from 'puppeteer-core';
import type { ViteDevServer } from 'vite';
import { GliaError, OptionError } from '../errors.ts';
import { measureFirstSteps } from './bench/first-step.ts';
import { fetchTensorFlow } from './bench/peers.ts';
import { ENGINES, type EngineName, type Order, type Row, ratioToGlia, show, summarize, TELL } from './bench/results.ts';
import { launchBrowser } from './browser.ts';

const PAGE = 'demos/bench/';
const COMMAND = 'npm run bench --';
const PEERS: Record<string, readonly EngineName[]> = { jax: ['jax', 'jax-wasm'], tfjs: ['tfjs'], none: [] };
/** Rows that are measured in fresh pages, by the command itself. */
const FRESH = ['load', 'memory'];

interface Arguments extends Order {
  readonly json: string | undefined;
  readonly headed: boolean;
}

const EXAMPLES = `
Examples:
  npm run bench                                 everything, some minutes
  ${COMMAND} --only vae,memory            what begins with vae-, and memory
  ${COMMAND} --peers none --rounds 3      Glia alone
  ${COMMAND} --json bench.json            every sample, too`;

/** @returns undefined if help was asked for, and printed. @throws OptionError */
function parseArguments(args: readonly string[]): Arguments | undefined {
  const list = (text: string) => text.split(',').map((name) => name.trim());
  const command = new Command(COMMAND)
    .usage('[options]')
    .description('Measures Glia, jax-js and TensorFlow.js at the same work, in turns in one page of headless Chrome.')
    .option('--only <names>', 'workloads, by name or by the beginning of it up to a hyphen', list)
    .option('--rounds <n>', 'turns of each engine at each workload', Number, 5)
    .option('--peers <names>', 'whom to compare with: jax, tfjs, none', list, ['jax', 'tfjs'])
    .option('--json <file>', 'write every sample to a file')
    .option('--headed', 'show the browser')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  try {
    command.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new OptionError(`${error.message.replace(/^error: |\.$/g, '')}; ${COMMAND} --help lists the options`);
  }
  const { only, rounds, peers, json, headed = false } = command.opts();
  if (!Number.isInteger(rounds) || rounds < 1) throw new OptionError('--rounds must be a positive integer');
  const unknown = peers.find((name: string) => !PEERS[name]);
  if (unknown !== undefined) throw new OptionError(`--peers ${unknown}: there are ${Object.keys(PEERS).join(', ')}`);
  const chosen = peers.flatMap((name: string) => PEERS[name]);
  const engines = (Object.keys(ENGINES) as EngineName[]).filter((name) => name === 'glia' || chosen.includes(name));
  return { engines, only, rounds, json, headed };
}

export async function main(args: string[], { server }: { server: ViteDevServer }): Promise<number> {
  const asked = parseArguments(args);
  if (!asked) return 0;
  const without = asked.engines.includes('tfjs') && !(await fetchTensorFlow());
  const order = without ? { ...asked, engines: asked.engines.filter((name) => name !== 'tfjs') } : asked;
  isolate(server);
  await server.listen();
  const browser = await launchBrowser({ headed: order.headed });
  try {
    const report = new Report(order);
    await bench(browser, new URL(PAGE, server.resolvedUrls?.local[0]).href, order, report);
    report.end();
    return report.wrong ? 1 : 0;
  } finally {
    await browser.close();
  }
}

/** With these headers a page may use threads, as jax-js does on the CPU. */
function isolate(server: ViteDevServer): void {
  server.middlewares.stack.unshift({
    route: '',
    handle: (_: unknown, response: { setHeader(name: string, value: string): void }, next: () => void) => {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
      next();
    },
  });
}

async function bench(browser: Browser, url: string, order: Order, report: Report): Promise<void> {
  const page = await browser.newPage();
  await page.exposeFunction(TELL, (row: Row | string) =>
    typeof row === 'string' ? report.progress(row) : report.row(row),
  );
  await page.goto(url);
  const known = (await page.evaluate(`import('/${PAGE}main.ts').then((page) => page.describe())`)) as {
    adapter: string;
    ids: string[];
  };
  const ids = [...known.ids, ...FRESH];
  const selects = (name: string) => (id: string) => id === name || id.startsWith(`${name}-`);
  const unknown = order.only?.find((name) => !ids.some(selects(name)));
  if (unknown !== undefined) throw new OptionError(`--only ${unknown}: there are ${ids.join(', ')}`);
  const chosen = ids.filter((id) => order.only?.some((name) => selects(name)(id)) ?? true);
  report.begin(known.adapter, await browser.version());
  const inPage: Order = { ...order, only: chosen };
  const failure = await page.evaluate(
    `import('/${PAGE}main.ts').then((page) => page.run(${JSON.stringify(inPage)})).then(() => undefined, String)`,
  );
  if (failure) throw new GliaError(`the page failed: ${failure}`);
  await page.close();
  if (!FRESH.some((id) => chosen.includes(id))) return;
  // WebAssembly takes no part: it has no memory on the GPU.
  const engines = order.engines.filter((name) => name !== 'jax-wasm');
  const rows = await measureFirstSteps(browser, engines, order.rounds, (what) => report.progress(what));
  for (const row of rows) if (chosen.includes(row.id)) report.row(row);
}

/** Prints the rows as they come, and writes the file at the end. */
class Report {
  wrong = false;
  private readonly order: Arguments;
  private readonly rows: Row[] = [];
  private about = { adapter: '', browser: '' };

  constructor(order: Arguments) {
    this.order = order;
  }

  begin(adapter: string, browser: string): void {
    this.about = { adapter, browser };
    console.log(`${adapter}, ${browser}`);
    const { rounds } = this.order;
    console.log(
      `median (least–most) of ${rounds} rounds, of what is slow fewer; × as much as Glia in the same round\n`,
    );
    this.line(
      '',
      '',
      this.order.engines.map((name) => ENGINES[name]),
    );
  }

  private line(name: string, unit: string, cells: readonly string[]): void {
    const [glia = '', ...peers] = cells;
    const text = [name.padEnd(35), unit.padEnd(3), glia.padEnd(21), ...peers.map((cell) => cell.padEnd(29))];
    console.log(text.join(' ').trimEnd());
  }

  row(row: Row): void {
    this.progress('');
    this.rows.push(row);
    const notes: string[] = [];
    const cells = this.order.engines.map((engine) => {
      const { median, range, ratio, error } = show(row, engine);
      if (error) notes.push(`${ENGINES[engine]}: ${error}`);
      return error ? '–' : [median, range && `(${range})`, ratio].filter(Boolean).join(' ');
    });
    this.line(row.name, row.unit, cells);
    for (const note of notes) console.log(`  ${note}`);
    this.wrong ||= notes.some((note) => note.startsWith(ENGINES.glia));
  }

  /** One line that is overwritten, where somebody watches. */
  progress(what: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}`);
  }

  end(): void {
    this.progress('');
    const { json, rounds } = this.order;
    if (!json) return;
    const date = new Date().toISOString();
    const rows = this.rows.map((row) => ({ ...row, cells: this.order.engines.map((engine) => describe(row, engine)) }));
    writeFileSync(json, `${JSON.stringify({ date, ...this.about, rounds, rows }, null, 1)}\n`);
  }
}

/** A cell for programs to read. */
function describe(row: Row, engine: EngineName) {
  const cell = row.cells[engine];
  const name = ENGINES[engine];
  if (!cell || 'error' in cell) return { engine: name, ...cell };
  return { engine: name, ...summarize(cell.samples), ratio: ratioToGlia(row, engine), samples: cell.samples };
}

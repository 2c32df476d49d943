// `npm run bench`: Glia and other engines at the same work, in turns in one Chrome or in Node, and a table of what it
// took them.
import type { Browser } from 'puppeteer';
import type { ViteDevServer } from 'vite';
import { type BenchOptions, ENGINES, type EngineName, type Row, select, TELL } from '../bench/results.ts';
import { GliaError, OptionError } from '../errors.ts';
import type { Ceilings } from '../runtime/ceilings.ts';
import { createCommand, parse, refuseDriverAlone, resolvePath } from './arguments.ts';
import { benchCompiling } from './bench/compile.ts';
import { FRESH_IDS, measureFresh } from './bench/fresh_pages.ts';
import { benchInNode } from './bench/node.ts';
import { fetchTensorFlow } from './bench/peers.ts';
import { Report, type ReportOptions } from './bench/report.ts';
import { launchBrowser } from './browser.ts';
import { DRIVER_HELP } from './dawn/dawn.ts';
import { printWarnings } from './page.ts';

const PAGE = 'demos/bench/';
const PEERS: Record<string, readonly EngineName[]> = {
  jax: ['jax', 'jax-wasm'],
  tfjs: ['tfjs'],
  pytorch: ['pytorch', 'pytorch-graphs'],
  none: [],
};

interface Arguments extends ReportOptions {
  readonly headed: boolean;
  readonly node: boolean;
  readonly compile: boolean;
  readonly driver: string | undefined;
}

/** @param peers whether others are measured by default */
function examples(command: string, peers: boolean): string {
  const all = [
    ['', peers ? 'everything, some minutes' : 'Glia alone, two minutes on a GPU'],
    ['--only vae,memory', 'what begins with vae-, and memory'],
    ['--only gpt,attention,generate', 'transformers'],
    peers ? ['--peers none --rounds 3', 'Glia alone'] : ['--peers jax,tfjs', 'other engines beside it'],
    ['--json bench.json', 'every sample, too'],
    ['--node', "on this machine's GPU, or else on the CPU, without a browser"],
    ['--node --driver lavapipe', "on Mesa's driver for the CPU"],
    ['--compile', 'how long graphs take to become WGSL, without a device'],
  ].map(([given, what]) => [given ? `${command} -- ${given}` : command, what] as const);
  const width = Math.max(...all.map(([line]) => line.length));
  return ['\nExamples:', ...all.map(([line, what]) => `  ${line.padEnd(width)}   ${what}`)].join('\n');
}

const CEILINGS =
  'First it measures what the adapter can do at best, in arithmetic and in memory; % roof is the share of that which each reaches.';

/** @returns undefined if help was asked for, and printed. @throws OptionError */
function parseArguments(
  args: readonly string[],
  { command: name, peers: usual, rounds: turns }: Defaults,
): Arguments | undefined {
  const list = (text: string) => text.split(',').map((name) => name.trim());
  const command = createCommand(`${name} --`)
    .usage('[options]')
    .description(
      `${
        usual
          ? "Measures how fast Glia is on this machine's GPU, in headless Chrome, and other engines beside it where --peers names them"
          : 'Measures Glia, jax-js and TensorFlow.js at the same work, in turns in one page of headless Chrome'
      }; or, with --node, in Node on Dawn, and on a GPU PyTorch beside them, where python3 has it. ${CEILINGS}`,
    )
    .option('--only <names>', 'workloads, by name or by the beginning of it up to a hyphen', list)
    .option('--rounds <n>', 'turns of each engine at each workload', Number, turns)
    .option(
      '--peers <names>',
      `whom to compare with: jax, tfjs, pytorch, none; by default ${usual ? usual.join(', ') : 'those that run here'}`,
      list,
    )
    .option('--json <file>', 'write every sample to a file')
    .option('--headed', 'show the browser')
    .option('--node', 'in Node on Dawn, without a browser')
    .option(
      '--compile',
      'how long Glia takes from traced graphs to WGSL: perceptrons of 10 to 160 layers, the default VAE',
    )
    .option('--driver <name>', `with --node: ${DRIVER_HELP}`)
    .addHelpText('after', examples(name, !usual));
  if (!parse(command, args)) return undefined;
  const { only, rounds, json, headed = false, node = false, compile = false, driver } = command.opts();
  const peers = command.opts().peers ?? usual ?? ['jax', 'tfjs', ...(node ? ['pytorch'] : [])];
  if (compile) {
    const given = ['only', 'peers', 'json', 'headed', 'node'].find(
      (name) => command.getOptionValueSource(name) === 'cli',
    );
    if (given) throw new OptionError(`--compile needs no device and has no peers: leave out --${given}`);
  }
  if (headed && node) throw new OptionError('--headed shows the browser, and --node has none: leave one of them out');
  refuseDriverAlone({ node, driver });
  if (!node && peers.includes('pytorch')) throw new OptionError('--peers pytorch goes with --node');
  if (!Number.isInteger(rounds) || rounds < 1) throw new OptionError('--rounds must be a positive integer');
  const unknown = peers.find((name: string) => !PEERS[name]);
  if (unknown !== undefined) throw new OptionError(`--peers ${unknown}: there are ${Object.keys(PEERS).join(', ')}`);
  const chosen = peers.flatMap((name: string) => PEERS[name]);
  const engines = (Object.keys(ENGINES) as EngineName[]).filter((name) => name === 'glia' || chosen.includes(name));
  return { engines, only, rounds, json: json && resolvePath(json), headed, node, compile, driver };
}

/** What is done when nothing else is asked for: `npm run benchmark` is this command with others. */
export interface Defaults {
  readonly command: string;
  readonly peers?: readonly string[];
  readonly rounds: number;
}

export function main(args: string[]): Promise<number> {
  return runBench(args, { command: 'npm run bench', rounds: 5 });
}

export async function runBench(args: string[], defaults: Defaults): Promise<number> {
  const asked = parseArguments(args, defaults);
  if (!asked) return 0;
  if (asked.compile) {
    await benchCompiling(asked.rounds);
    return 0;
  }
  if (asked.node) return (await benchInNode(asked, asked.driver)) ? 0 : 1;
  const without = asked.engines.includes('tfjs') && !(await fetchTensorFlow());
  const options = without ? { ...asked, engines: asked.engines.filter((name) => name !== 'tfjs') } : asked;
  const { createServer } = await import('vite');
  const server = await createServer({
    logLevel: 'warn',
    // A measurement must not be reloaded because a file was saved.
    server: { host: '127.0.0.1', port: 0, hmr: false, ws: false, watch: null },
  });
  try {
    isolate(server);
    await server.listen();
    const browser = await launchBrowser({ headed: options.headed });
    try {
      const report = new Report(options);
      await bench(browser, server.resolvedUrls!.local[0]! + PAGE, options, report);
      report.end();
      return report.wrong ? 1 : 0;
    } finally {
      await browser.close();
    }
  } finally {
    await server.close();
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

async function bench(browser: Browser, url: string, options: BenchOptions, report: Report): Promise<void> {
  const page = await browser.newPage();
  printWarnings(page);
  await page.exposeFunction(TELL, (row: Row | string) =>
    typeof row === 'string' ? report.progress(row) : report.row(row),
  );
  await page.goto(url);
  const known = (await page.evaluate(`import('/${PAGE}main.ts').then((page) => page.describe())`)) as {
    adapter: string;
    ceilings: Ceilings;
    ids: string[];
  };
  const chosen = select([...known.ids, ...FRESH_IDS], options.only);
  report.begin({ adapter: known.adapter, browser: await browser.version() }, known.ceilings);
  const inPage: BenchOptions = { ...options, only: chosen };
  const failure = await page.evaluate(
    `import('/${PAGE}main.ts').then((page) => page.run(${JSON.stringify(inPage)})).then(() => undefined, String)`,
  );
  if (failure) throw new GliaError(`the page failed: ${failure}`);
  await page.close();
  // WebAssembly takes no part: it has no memory on the GPU.
  const engines = options.engines.filter((name) => name !== 'jax-wasm');
  const tell = (what: string) => report.progress(what);
  const fresh = measureFresh(browser, { engines, ids: chosen, rounds: options.rounds, tell });
  for await (const row of fresh) report.row(row);
}

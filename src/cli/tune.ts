// `npm run tune`: times the kernel variants for a model's own shapes, in Chrome, and shows the table.
import { Command, CommanderError } from 'commander';
import type { ViteDevServer } from 'vite';
import { OptionError } from '../errors.ts';
import type { TuneResult } from '../runtime/tune.ts';
import { flagOf, OPTIONS, parseOption, type TrainOptions } from '../train/options.ts';
import { launchBrowser } from './browser.ts';
import { fileStore } from './tune/file.ts';

/** Options of a model that its shapes depend on. */
const SHAPES = ['model', 'batch', 'hidden', 'latent', 'likelihood'] as const satisfies (keyof TrainOptions)[];

interface Arguments {
  readonly file: string;
  readonly again: boolean;
  readonly given: Partial<TrainOptions>;
}

function parse(args: string[]): Arguments | undefined {
  const command = new Command('npm run tune --')
    .description('Times the variants of every heavy kernel for the shapes of a model, and remembers the fastest.')
    .option('--file <path>', 'where the winners are remembered', 'runs/tuning.json')
    .option('--again', 'measure what is remembered, too', false)
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  for (const name of SHAPES) {
    const { flag, help } = flagOf(name);
    command.option(flag, help, String(OPTIONS[name].default));
  }
  try {
    command.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new OptionError(`${error.message.replace(/^error: /, '').replaceAll('\n', ' ')}; see npm run tune -- --help`);
  }
  const { file, again, ...rest } = command.opts();
  const given = Object.fromEntries(SHAPES.map((name) => [name, parseOption(name, rest[name])]));
  return { file, again, given };
}

export async function main(args: string[], { server }: { server: ViteDevServer }): Promise<number> {
  const parsed = parse(args);
  if (!parsed) return 0;
  const { file, again, given } = parsed;
  const store = fileStore(file);
  await server.listen();
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    await page.exposeFunction('gliaRecall', store.get);
    await page.exposeFunction('gliaRemember', store.set);
    await page.exposeFunction('gliaTuned', print);
    // Any file will do: WebGPU only wants the page to come from a local or secure address.
    await page.goto(new URL('package.json', server.resolvedUrls?.local[0]).href);
    const call = `import('/src/cli/tune/page.ts').then((page) => page.tuneModel(${JSON.stringify(given)}, ${again}))`;
    const key = await page.evaluate(call);
    console.log(`\nremembered in ${file}, for ${key}`);
    return 0;
  } finally {
    await browser.close();
  }
}

/** One op: its variants from the fastest on, the winner marked, and what the rule would have taken. */
function print({ signature, winner, rule, candidates }: TuneResult): void {
  console.log(`\n${signature}`);
  if (candidates.length === 0) console.log(`  ${winner} (remembered; --again measures anew)`);
  const best = Math.min(...candidates.map(({ ms }) => ms ?? Number.POSITIVE_INFINITY));
  for (const { name, ms, gigaflops, problem } of [...candidates].sort((a, b) => (a.ms ?? 1e9) - (b.ms ?? 1e9))) {
    const mark = name === winner ? '*' : ' ';
    const rate = gigaflops === undefined ? (problem ?? '') : `${gigaflops.toFixed(2).padStart(9)} GFLOP/s`;
    const time =
      ms === undefined
        ? ''.padStart(21)
        : `${ms.toFixed(3).padStart(10)} ms ${`${(ms / best).toFixed(2)}×`.padStart(7)}`;
    console.log(`${mark} ${name.padEnd(44)}${time} ${rate}${name === rule ? '   the rule' : ''}`);
  }
}

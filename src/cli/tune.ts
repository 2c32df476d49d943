// `npm run tune`: times the kernel variants for a model's own shapes, in Chrome or in Node, and shows the table.
import { Gpu } from '../gpu/gpu.ts';
import type { TuneResult } from '../runtime/tune.ts';
import { completeOptions, OPTIONS, type TrainOptions } from '../train/options.ts';
import {
  addRunOptions,
  createCommand,
  givenOptions,
  parse,
  refuseDriverAlone,
  resolvePath,
  showPath,
} from './arguments.ts';
import { DRIVER_HELP, startDawn } from './dawn/dawn.ts';
import { callOf, inPage } from './page.ts';
import type { PageServer } from './page_server.ts';
import { fileStore } from './tune/file.ts';
import type * as tunePage from './tune/page.ts';
import { type Checked, checkTuner, TOLERANCE, tuneModel } from './tune/work.ts';

interface Arguments {
  readonly file: string;
  readonly again: boolean;
  readonly check: boolean;
  readonly node: boolean;
  readonly driver: string | undefined;
  readonly given: Partial<TrainOptions>;
}

/** @returns undefined if help was asked for, and printed. @throws OptionError */
function parseArguments(args: readonly string[]): Arguments | undefined {
  const command = createCommand('npm run tune --')
    .usage('[options]')
    .description(
      'Times the variants of every op with kernels of its own for the shapes of a model, and remembers the fastest.',
    )
    .option('--file <path>', 'where the winners are remembered', 'runs/tuning.json')
    .option('--again', 'measure what is remembered, too', false)
    .option('--check', "measure all again, on the bench's shapes too: how near does the pick come to the best?", false)
    .option('--node', 'in Node on Dawn, without a browser', false)
    .option('--driver <name>', `with --node: ${DRIVER_HELP}`);
  addRunOptions(
    command,
    OPTIONS.filter(({ rule }) => !rule.ofRun),
  );
  if (!parse(command, args)) return undefined;
  const { file, again, check, node, driver } = command.opts();
  refuseDriverAlone({ node, driver });
  const given = completeOptions(givenOptions(command));
  return { file: resolvePath(file), again, check, node, driver, given };
}

export async function main(args: string[], { server }: { server: PageServer }): Promise<number> {
  const parsed = parseArguments(args);
  if (!parsed) return 0;
  const { file, check } = parsed;
  const checks: Checked[] = [];
  const checked = (result: Checked) => {
    checks.push(result);
    printCheck(result);
  };
  const key = await (parsed.node ? inNode(parsed, checked) : inChrome(parsed, server, checked));
  if (!check) console.log(`\nremembered in ${showPath(file)}, for ${key}`);
  const missed = checks.filter(({ pickMs, bestMs }) => pickMs > TOLERANCE * bestMs);
  if (check)
    console.log(`\n${key}: ${checks.length - missed.length} of ${checks.length} picks are as good as the best`);
  return missed.length > 0 ? 1 : 0;
}

async function inNode({ file, again, check, driver, given }: Arguments, checked: (result: Checked) => void) {
  const gpu = await Gpu.request({ gpu: await startDawn(driver) });
  if (!check) return tuneModel(gpu, given, { store: fileStore(file), again, onResult: print });
  console.log(gpu.name);
  await checkTuner(gpu, given, checked);
  return gpu.name;
}

function inChrome(
  { file, again, check, given }: Arguments,
  server: PageServer,
  checked: (result: Checked) => void,
): Promise<string> {
  const store = fileStore(file);
  return inPage<string>({
    ...{ server, headed: false, name: 'tune', during: 'variants were timed' },
    call: callOf<typeof tunePage>('run', given, again, check),
    functions: { gliaRecall: store.get, gliaRemember: store.set, gliaTuned: print, gliaChecked: checked },
  });
}

/** How near a pick came to the best, below the second measurement of all. */
function printCheck({ workload, pick, pickMs, bestMs, second }: Checked): void {
  print({ ...second, winner: pick }, `${workload}: `);
  const ratio = pickMs / bestMs;
  const verdict = pick === second.winner ? 'is the best' : `takes ${ratio.toFixed(2)} times as long as the best`;
  console.log(`  the pick ${verdict}${ratio > TOLERANCE ? `: more than ${TOLERANCE}` : ''}`);
}

/** One op: its variants from the fastest on, the winner marked, and what the rule would have taken. */
function print({ signature, winner, rule, candidates }: TuneResult, workload = ''): void {
  console.log(`\n${workload}${signature}`);
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

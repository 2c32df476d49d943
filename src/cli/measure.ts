// `npm run measure`: everything about this machine's GPU in one run of some minutes: whether all is right on it, and how fast.
import { Option } from 'commander';
import { OptionError } from '../errors.ts';
import { createCommand, parse, resolvePath, showPath } from './arguments.ts';
import { DRIVER_HELP, startDawn } from './dawn/dawn.ts';
import { pack, sizeOf } from './measure/pack.ts';
import { PHASE_NAMES, PHASES, type PhaseName } from './measure/phases.ts';
import { describeAdapter, runPhase } from './measure/run.ts';

const COMMAND = 'npm run measure --';
const PACKED = '.gpu';

const HELP = `
Phases, each into a JSON file of its name:
${PHASE_NAMES.map((name) => `  ${name.padEnd(13)}${PHASES[name].help}, ${PHASES[name].limit} s on a GPU`).join('\n')}

Examples:
  npm run measure                                all of it, in Node on Dawn, on this machine's GPU
  ${COMMAND} --phases gaps,variants
  ${COMMAND} --pack                       makes ${PACKED}/ for a bare x86-64 Linux machine with a GPU and no network;
                                                 there: OUT=results bash ${PACKED}/bare.sh all   (with PyTorch, too),
                                                 or bash ${PACKED}/bare.sh run train --node --model burda …`;

export async function main(args: string[]): Promise<number> {
  const list = (text: string) => text.split(',').map((name) => name.trim());
  const command = createCommand(COMMAND)
    .usage('[options]')
    .description('Checks and measures ops, kernel variants and training steps on a GPU, in Node on Dawn.')
    .option('--phases <names>', 'some of the phases, separated by commas', list)
    .option('--out <folder>', 'where the results go', 'runs/measure')
    .option('--driver <name>', DRIVER_HELP)
    .addOption(
      new Option('--pack [folder]', 'make a folder to carry to another machine, and measure nothing').preset(PACKED),
    )
    .addHelpText('after', HELP);
  if (!parse(command, args)) return 0;
  const { phases = PHASE_NAMES, out, driver, pack: packed } = command.opts();
  const unknown = phases.find((name: string) => !Object.hasOwn(PHASES, name));
  if (unknown !== undefined) throw new OptionError(`--phases ${unknown}: there are ${PHASE_NAMES.join(', ')}`);
  if (packed !== undefined) return packInto(resolvePath(packed));
  const webgpu = await startDawn(driver);
  console.log(JSON.stringify(await describeAdapter(webgpu)));
  const folder = resolvePath(out);
  let good = true;
  for (const name of phases as PhaseName[]) {
    console.log(`\n== ${name}: ${PHASES[name].help}`);
    good = (await runPhase(name, webgpu, folder)) && good;
  }
  console.log(`\nwritten: ${showPath(folder)}`);
  return good ? 0 : 1;
}

async function packInto(folder: string): Promise<number> {
  const missing = await pack(folder);
  if (missing.length > 0)
    console.error(`glia: apt-get could not download ${missing.join(', ')}: the pack goes without`);
  console.log(
    `${showPath(folder)}: ${Math.ceil(sizeOf(folder) / 1e6)} MB; there: OUT=results bash ${PACKED}/bare.sh all`,
  );
  return 0;
}

// `npm run soak`: long runs under bad conditions. Kills what a run hangs on, at random moments, and compares what is left with
// an undisturbed run; watches memory over many steps; measures what copies of the state cost.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Option } from 'commander';
import { GliaError, OptionError } from '../errors.ts';
import { dashed, parseValue, whole } from '../train/rules.ts';
import { addRunOptions, createCommand, givenOptions, parse } from './arguments.ts';
import { callOf, inPage } from './page.ts';
import type { PageServer } from './page_server.ts';
import { difference, MemoryWatch, runCommand, type Victim } from './soak/command.ts';
import type * as soakPage from './soak/page.ts';
import { soakStudio } from './soak/studio.ts';

const VICTIMS = ['gpu', 'renderer', 'browser', 'command'] as const;
/** Steps after which a page has all the memory that it will need. */
const SETTLED = 1000;
/** Rounds of the measurement, and seconds of each turn: a few copies of the state. */
const ROUNDS = 7;
const TURN = 8;

const EXAMPLES = `
Examples:
  npm run soak                                      twenty kills of Chrome's GPU process
  npm run soak -- --kills 5 --model conv-vae
  npm run soak -- --kills 10 --what command         kill -9 of the command, resumed each time
  npm run soak -- --studio                          the same in the studio, as the page trains
  npm run soak -- --kills 0 --steps 10000           memory at the end, beside that after ${SETTLED} steps
  npm run soak -- --cost                            what copies of the state cost, as a ratio of step times`;

const number = (name: string, rule: ReturnType<typeof whole>) =>
  new Option(`--${name} <n>`, rule.help)
    .default(rule.default)
    .argParser((text) => parseValue(name, rule, text) as number);

export async function main(args: string[], { server }: { server: PageServer }): Promise<number> {
  const command = createCommand('npm run soak --')
    .usage('[options]')
    .description('Trains while what the training hangs on is killed, and compares the result with an undisturbed run.');
  addRunOptions(command)
    .addOption(number('kills', whole('how often', 20, { min: 0, max: 1000 })))
    .addOption(number('within', whole('seconds, at most, from a new step to the next kill', 5, { min: 0, max: 3600 })))
    .addOption(new Option('--what <names>', `what is killed, in turns: ${VICTIMS.join(', ')}`).default('gpu'))
    .option('--studio', 'kill the GPU process of a run in the studio instead')
    .option('--cost', 'measure what copies of the state cost instead')
    .addHelpText('after', EXAMPLES);
  if (!parse(command, args)) return 0;
  const { kills, within, what, cost = false, studio = false } = command.opts();
  const given = givenOptions(command);
  if (cost) return measureCost(server, given);
  if (studio) {
    const folder = mkdtempSync(join(tmpdir(), 'glia-soak-'));
    const options = { ...given, ...lengthOf(given) };
    return (await soakStudio({ folder, options, kills, within: 1000 * within, say })) ? 0 : 1;
  }
  const names: string[] = what.split(',');
  const unknown = names.find((name) => !(VICTIMS as readonly string[]).includes(name));
  if (unknown !== undefined) throw new OptionError(`--what: ${unknown} is none of ${VICTIMS.join(', ')}`);
  const victims = Array.from({ length: kills }, (_, i) => names[i % names.length] as Victim);
  return soak(given, victims, 1000 * within);
}

const say = (line: string) => console.log(line);

/** Steps alone say how long a run is. */
const lengthOf = ({ steps = 600 }: { readonly steps?: number }) => ({ steps, epochs: 1_000_000 });

async function soak(given: object, victims: readonly Victim[], within: number): Promise<number> {
  const length = lengthOf(given);
  const { steps } = length;
  const args = Object.entries({ ...given, ...length }).flatMap(([name, value]) => [dashed(name), String(value)]);
  // So that a kill of the command or the browser loses little.
  args.push('--save-every', '5', '--json');
  const scratch = mkdtempSync(join(tmpdir(), 'glia-soak-'));
  try {
    mkdirSync(scratch, { recursive: true });
    const [whole, disturbed] = ['undisturbed', 'disturbed'].map((name) => join(scratch, name)) as [string, string];
    const memory = new MemoryWatch();
    say(`an undisturbed run of ${steps} steps …`);
    const began = performance.now();
    await runCommand({ args, out: whole, victims: [], within, watch: steps > SETTLED ? memory.look : undefined });
    say(`took ${((performance.now() - began) / 1000).toFixed(0)} s`);
    let failed = steps > SETTLED && !sayMemory(memory, steps, say);
    if (victims.length > 0) {
      const killed = await runCommand({ args, out: disturbed, victims, within, say });
      const differs = difference(whole, disturbed);
      say(`${killed} kills: ${differs ?? 'weights, checkpoint and metrics are those of the undisturbed run'}`);
      if (killed < victims.length) say(`the run was over before ${victims.length} kills: give it more --steps`);
      failed ||= differs !== undefined || killed < victims.length;
    }
    return failed ? 1 : 0;
  } catch (error) {
    throw error instanceof GliaError ? error : new GliaError(error instanceof Error ? error.message : String(error));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @returns whether no process has grown by more than a twentieth */
function sayMemory(memory: MemoryWatch, steps: number, say: (line: string) => void): boolean {
  const before = memory.between(SETTLED, SETTLED * 1.5);
  const after = memory.between(steps - SETTLED / 2, steps);
  const ratios = (['gpu', 'renderer'] as const).map((kind) => {
    const ratio = after[kind] / before[kind];
    const [from, to] = [before, after].map((sample) => Math.round(sample[kind] / 1e6));
    say(
      `memory of the ${kind} process: ${from} MB after ${SETTLED} steps, ${to} MB after ${steps}: ${ratio.toFixed(3)}`,
    );
    return ratio;
  });
  return ratios.every((ratio) => ratio <= 1.05);
}

async function measureCost(server: PageServer, given: object): Promise<number> {
  const { adapter, rounds } = await inPage<soakPage.Cost>({
    ...{ server, headed: false, name: 'soak', during: 'copies were measured' },
    call: callOf<typeof soakPage>('snapshotCost', given as Record<string, never>, ROUNDS, TURN),
  });
  const ratios = rounds.map((round) => round.with / round.without).sort((a, b) => a - b);
  console.log(adapter);
  for (const { with: copying, without } of rounds) {
    console.log(
      `${copying.toFixed(2)} ms a step with copies, ${without.toFixed(2)} without: ${(copying / without).toFixed(3)}`,
    );
  }
  console.log(`median ratio ${ratios[ratios.length >> 1]!.toFixed(3)}`);
  return 0;
}

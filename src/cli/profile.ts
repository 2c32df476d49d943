// `npm run profile`: where the time of a training step goes, or of any WGSL compute shader, measured in headless Chrome or in Node.
import { writeFileSync } from 'node:fs';
import { OptionError } from '../errors.ts';
import { Gpu } from '../gpu/gpu.ts';
import { type Profile, traceOf } from '../runtime/profile.ts';
import type { ShaderProfile } from '../runtime/shader_profile.ts';
import { optionsOf } from '../train/options.ts';
import { showPath } from './arguments.ts';
import { startDawn } from './dawn/dawn.ts';
import { errorOf, inPage } from './page.ts';
import type { PageServer } from './page_server.ts';
import { type Arguments, type PageRequest, type ProfileRequest, parseArguments } from './profile/arguments.ts';
import {
  COLUMNS,
  cellsOf,
  clockOf,
  differenceOf,
  shaderNotes,
  shaderRows,
  totalsOf,
  verdictOf,
} from './profile/format.ts';
import { printPlan } from './profile/plan.ts';
import { type Explained, type Found, measure } from './profile/step.ts';
import { tableOf } from './profile/table.ts';

/** Columns of a terminal, or of a file. */
const WIDTH = 120;

/** What the page answers. */
export type Answer<T> =
  | { readonly result: T }
  | { readonly error: { readonly name: string; readonly message: string } };

export async function main(args: string[], { server }: { server: PageServer }): Promise<number> {
  const parsed = parseArguments(args);
  if (!parsed) return 0;
  const { request } = parsed;
  if (request.what === 'plan') {
    const dispatches = await printPlan(request, Math.max(WIDTH, process.stdout.columns ?? 0));
    write(parsed.json, { options: request.options, dispatches });
    return 0;
  }
  const found = await (parsed.node ? profileInNode(parsed) : profileInPage(server, parsed));
  if (request.what === 'model') {
    const profile = found as Profile;
    printModel(profile, parsed);
    write(parsed.json, { options: request.options, ...profile });
    write(parsed.trace, traceOf(profile));
  } else if (request.what === 'schedule') {
    const { adapter, schedule } = found as Explained;
    console.log(`${adapter}\n\n${schedule}`);
  } else {
    printShaders(found as ShaderProfile);
    write(parsed.json, found);
  }
  return 0;
}

async function profileInNode({ request, driver }: Arguments): Promise<Found> {
  const gpu = await Gpu.request({ gpu: await startDawn(driver) });
  return measure(gpu, request as PageRequest);
}

async function profileInPage(server: PageServer, { request, headed }: Arguments): Promise<Found> {
  const answer = await inPage<Answer<Found>>({
    ...{ server, headed, name: 'profile', during: 'it measured' },
    call: `profile(${JSON.stringify(request)})`,
  });
  if ('error' in answer) throw errorOf(answer.error);
  return answer.result;
}

function printModel(profile: Profile, { request, sort }: Arguments): void {
  const { options } = request as ProfileRequest & { what: 'model' };
  const sequence = [...profile.dispatches.keys()];
  if (sort) sequence.sort((a, b) => profile.dispatches[b]!.ms - profile.dispatches[a]!.ms);
  const rows = [COLUMNS.map(({ head }) => head), ...sequence.map((i) => cellsOf(profile, i))];
  const weights = COLUMNS.map((column) => ('weight' in column ? column.weight : undefined));
  const lines = tableOf(rows, weights, Math.max(WIDTH, process.stdout.columns ?? 0));
  const rules = Object.entries(optionsOf(options.model)).filter(
    ([name, { ofRun }]) => !ofRun && options[name] !== undefined,
  );
  const told = rules.map(([name]) => (name === 'model' ? options.model : `${name} ${options[name]}`));
  console.log(`${profile.adapter}; ${clockOf(profile)}\n${told.join(', ')}\n\n${lines.join('\n')}\n`);
  for (const { name, value, note } of totalsOf(profile)) {
    console.log(`${name.padEnd(12)}${value.padStart(13)}   ${note}`);
  }
}

function printShaders(profile: ShaderProfile): void {
  const { shaders, comparison, adapter } = profile;
  console.log(`${adapter}; ${clockOf(profile)}\n${shaderNotes(profile)}\n`);
  const rows = [['', ...shaders.map(({ name }) => name)], ...shaderRows(profile)];
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  for (const [name, ...values] of rows) {
    console.log([name!.padEnd(widths[0]!), ...values.map((value, i) => value.padStart(widths[i + 1]!))].join('   '));
  }
  if (!comparison) return;
  const agreement = comparison.agree ? 'Their results agree.' : 'Their results DIFFER.';
  console.log(`\n${verdictOf(comparison)} ${agreement}`);
  for (const difference of comparison.buffers) console.log(`  ${differenceOf(difference)}`);
}

function write(file: string | undefined, content: object): void {
  if (!file) return;
  try {
    writeFileSync(file, `${JSON.stringify(content, null, 1)}\n`);
  } catch (error) {
    throw new OptionError(`${showPath(file)} cannot be written: ${(error as Error).message}`);
  }
  console.log(`written: ${showPath(file)}`);
}

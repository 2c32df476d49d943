// The options of `npm run profile`: those of a model, or of one or two shaders.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { OptionError } from '../../errors.ts';
import type { ShaderSource } from '../../runtime/shader_compile.ts';
import {
  BINDING_HELP,
  type BindingDescription,
  parseBindings,
  parseConstants,
  parseWorkgroups,
} from '../../runtime/shader_data.ts';
import { completeOptions, OPTIONS, type TrainOptions } from '../../train/options.ts';
import {
  addRunOptions,
  createCommand,
  givenOptions,
  parse,
  refuseDriverAlone,
  refuseEmpty,
  resolvePath,
} from '../arguments.ts';
import { DRIVER_HELP } from '../dawn/dawn.ts';
import { shippedAdapters } from './adapter.ts';
import type { PlanRequest } from './plan.ts';

/** What the page has to do. */
export type PageRequest =
  | { readonly what: 'model'; readonly options: TrainOptions; readonly repeats: number | undefined }
  | { readonly what: 'schedule'; readonly options: TrainOptions }
  | {
      readonly what: 'shaders';
      readonly sources: readonly ShaderSource[];
      readonly bindings: readonly BindingDescription[];
      readonly repeats: number | undefined;
      readonly flops: number | undefined;
    };

export type ProfileRequest = PageRequest | PlanRequest;

export interface Arguments {
  readonly request: ProfileRequest;
  readonly json: string | undefined;
  readonly trace: string | undefined;
  readonly sort: boolean;
  readonly headed: boolean;
  /** In Node, without a browser. */
  readonly node: boolean;
  /** Vulkan driver there: the best by default. */
  readonly driver: string | undefined;
}

const COMMAND = 'npm run profile --';

/** What decides how a step is computed; the others decide how many there are. */
const STEP_OPTIONS = OPTIONS.filter(({ rule }) => !rule.ofRun);

const EXAMPLES = `
Examples:
  npm run profile                                      the training step of the default VAE
  ${COMMAND} --explain                         what its dispatches do, and why they are not fewer
  ${COMMAND} --batch 512 --sort                the same at another size, slowest first
  ${COMMAND} --plan h100 --wgsl kernels/       what such an adapter would get, without a device
  ${COMMAND} --trace step.json                 for ui.perfetto.dev or chrome://tracing
  ${COMMAND} --wgsl a.wgsl --wgsl b.wgsl --buffers buffers.txt --workgroups 64,1,1

The file of buffers describes bindings of @group(0), one a line, # begins a comment:
  ${BINDING_HELP}
such as
  0 read f32 1024*1024 random
  1 read_write f32 1024*1024
  2 uniform u32 4 1 2 3 4`;

function describeCommand(): Command {
  const command = createCommand(COMMAND)
    .usage('[options]')
    .description(
      'Profiles every dispatch of a training step on the GPU, or any WGSL compute shader, in headless Chrome or, with --node, in Node.',
    );
  addRunOptions(command, STEP_OPTIONS);
  const collect = (text: string, before: readonly string[] = []) => [...before, text];
  return command
    .option('--repeats <n>', 'times that everything is measured; the median counts', positive('repeats'))
    .option('--sort', 'slowest dispatch first, not in the order of the step')
    .option('--explain', 'measure nothing: print what each dispatch computes, and why no two neighbours are one')
    .option(
      '--plan <adapter>',
      `measure nothing, and need no device: the dispatches for a described adapter, ${shippedAdapters().join(', ')} or a JSON file`,
    )
    .option('--json <file>', 'write all of it to a file')
    .option('--trace <file>', 'write a trace that Perfetto and chrome://tracing open')
    .option(
      '--wgsl <file>',
      'profile this shader instead; given twice, two are compared; with --plan, a folder to write shaders to',
      collect,
    )
    .option('--buffers <file>', 'the buffers of the shader')
    .option('--workgroups <x,y,z>', 'how many to dispatch; given twice, the second is for the second shader', collect)
    .option('--constants <list>', 'values of override and const declarations, as A=1,B=2; may be given twice', collect)
    .option('--flops <n>', 'operations that one dispatch of the shader makes', positive('flops'))
    .option('--headed', 'show the browser')
    .option('--node', 'in Node on Dawn, without a browser', false)
    .option('--driver <name>', `with --node: ${DRIVER_HELP}`)
    .addHelpText('after', EXAMPLES);
}

function positive(name: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new OptionError(`--${name} must be a positive whole number; got "${text}"`);
  };
}

/** @returns undefined if help was asked for, and printed. @throws OptionError */
export function parseArguments(args: readonly string[]): Arguments | undefined {
  const command = describeCommand();
  if (!parse(command, args)) return undefined;
  const { json, trace, sort = false, headed = false, node, driver } = command.opts();
  refuseDriverAlone({ node, driver });
  if (node) refuse(command, ['headed'], 'is for a browser, and --node has none');
  refuseEmpty({ json, trace });
  return {
    request: requestOf(command),
    json: json && resolvePath(json),
    trace: trace && resolvePath(trace),
    ...{ sort, headed, node, driver },
  };
}

function refuse(command: Command, names: readonly string[], why: string): void {
  const given = names.find((name) => command.getOptionValueSource(name) === 'cli');
  if (given) throw new OptionError(`--${given} ${why}`);
}

function modelRequest(command: Command): ProfileRequest {
  refuse(command, ['buffers', 'workgroups', 'constants', 'flops'], 'is for shaders: give one with --wgsl');
  if (command.opts().explain) {
    refuse(command, ['repeats', 'sort', 'json', 'trace'], 'is for what is measured, and --explain measures nothing');
    return { what: 'schedule', options: completeOptions(givenOptions(command)) };
  }
  return { what: 'model', options: completeOptions(givenOptions(command)), repeats: command.opts().repeats };
}

function requestOf(command: Command): ProfileRequest {
  if (command.opts().plan !== undefined) return planRequest(command);
  return command.opts().wgsl ? shaderRequest(command) : modelRequest(command);
}

function planRequest(command: Command): ProfileRequest {
  refuse(
    command,
    ['repeats', 'sort', 'trace', 'headed', 'node'],
    'is for what is measured, and --plan measures nothing',
  );
  refuse(command, ['buffers', 'workgroups', 'constants', 'flops'], 'is for shaders that are measured, not for --plan');
  const { plan: adapter, wgsl = [], explain = false } = command.opts();
  if (wgsl.length > 1) throw new OptionError('with --plan, --wgsl names one folder');
  if (wgsl[0]?.endsWith('.wgsl')) {
    throw new OptionError(`with --plan, --wgsl names the folder that shaders are written to, not ${wgsl[0]}`);
  }
  const folder = wgsl[0] && resolvePath(wgsl[0]);
  return { what: 'plan', options: completeOptions(givenOptions(command)), adapter, folder, explain };
}

function shaderRequest(command: Command): ProfileRequest {
  refuse(
    command,
    [...STEP_OPTIONS.map(({ name }) => name), 'sort', 'trace', 'explain'],
    'is for the step of a model, not for --wgsl',
  );
  const { wgsl, buffers, workgroups, constants = [], repeats, flops } = command.opts();
  if (wgsl.length > 2) throw new OptionError('--wgsl can be given twice; more than two shaders are not compared');
  if (!buffers) throw new OptionError(`--wgsl needs --buffers, a file with a line for each: ${BINDING_HELP}`);
  if (!workgroups) throw new OptionError('--wgsl needs --workgroups, such as 64,1,1');
  for (const [name, list] of Object.entries({ workgroups, constants })) {
    if (list.length > wgsl.length) throw new OptionError(`--${name} is given more often than --wgsl`);
  }
  const sources = wgsl.map((file: string, i: number): ShaderSource => {
    return {
      name: basename(file),
      code: read('wgsl', file),
      workgroups: parseWorkgroups(workgroups[i] ?? workgroups[0]),
      constants: parseConstants(constants[i] ?? constants[0] ?? ''),
    };
  });
  return { what: 'shaders', sources, bindings: parseBindings(read('buffers', buffers)), repeats, flops };
}

function read(option: string, file: string): string {
  try {
    return readFileSync(resolvePath(file), 'utf8');
  } catch (error) {
    throw new OptionError(`--${option}: ${file} cannot be read: ${(error as Error).message}`);
  }
}

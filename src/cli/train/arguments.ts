// The options of `npm run train`: those of the trainer's table, and those that only a command has.
import { type Command, Option } from 'commander';
import { ACCEPTED } from '../../data/formats.ts';
import { OptionError } from '../../errors.ts';
import type { GivenOptions } from '../../train/options.ts';
import { dashed, parseValue, whole } from '../../train/rules.ts';
import {
  addRunOptions,
  createCommand,
  givenOptions,
  parse,
  refuseDriverAlone,
  refuseEmpty,
  resolveData,
  resolvePath,
} from '../arguments.ts';
import { DRIVER_HELP } from '../dawn/dawn.ts';

export interface Arguments {
  /** The trainer's options that were given; the others have their defaults, or what the checkpoint says. */
  readonly given: GivenOptions;
  /** A folder or an address; the built-in digits without. */
  readonly data: string | undefined;
  /** A tokenizer.json of Hugging Face. */
  readonly tokenizer: string | undefined;
  readonly out: string | undefined;
  /** A checkpoint or run folder, or true for the one that suggests itself. */
  readonly resume: string | true | undefined;
  /** Weights to begin with: a checkpoint, a file of weights or a run folder. */
  readonly init: string | undefined;
  /** A checkpoint at least so often: seconds. */
  readonly saveEvery: number;
  /** Epochs from one test to the next. */
  readonly testEvery: number;
  /** How long a page may say nothing: seconds. */
  readonly patience: number;
  readonly headed: boolean;
  /** In this process, on a Vulkan driver by name, or the one that suggests itself. */
  readonly node: boolean;
  readonly driver: string | undefined;
  readonly json: boolean;
}

const SAVE_EVERY = whole('seconds between checkpoints, one at each end of an epoch aside', 60, { max: 86_400 });
const TEST_EVERY = whole('epochs from one test to the next', 1);
const PATIENCE = whole('seconds after which a browser that does not answer is replaced', 120, { min: 5, max: 86_400 });

const COMMAND = 'npm run train --';

const EXAMPLES = `
Examples:
  npm run train                                         built-in digits, all defaults
  ${COMMAND} --data ../mnist --epochs 20          a folder of IDX files, gzipped or not
  ${COMMAND} --data ../photos --size 32           a folder of PNG or JPEG files
  ${COMMAND} --model classifier --data ../mnist   needs labels, prints accuracy
  ${COMMAND} --model gpt --data input.txt         a transformer, on a file of text
  ${COMMAND} --model gpt --help                   the options of one model
  ${COMMAND} --latent 2 --out runs/plane          a run folder of your own choice
  ${COMMAND} --out runs/plane --resume            go on where it stopped, to the same bits
  ${COMMAND} --init runs/plane --data ../photos   a new run that begins with these weights

Ctrl-C stops with a checkpoint; a second Ctrl-C stops at once.`;

/** @returns undefined if help was asked for, and printed. @throws OptionError */
export function parseArguments(args: readonly string[]): Arguments | undefined {
  const command = describeCommand();
  if (!parse(command, args)) return undefined;
  const { data, tokenizerFile, out, resume, init, headed = false, json = false, node = false, driver } = command.opts();
  const { saveEvery, testEvery, patience } = command.opts();
  refuseEmpty({ data, 'tokenizer-file': tokenizerFile, out, resume, init, driver });
  refuseDriverAlone({ node, driver });
  const given = givenOptions(command);
  if (tokenizerFile && (given.tokenizer ?? 'file') !== 'file') {
    throw new OptionError(`--tokenizer ${given.tokenizer} and --tokenizer-file exclude each other`);
  }
  for (const [other, value] of Object.entries({ resume, 'tokenizer-file': tokenizerFile })) {
    if (init !== undefined && value !== undefined) throw new OptionError(`--init and --${other} exclude each other`);
  }
  return {
    given: tokenizerFile ? { ...given, tokenizer: 'file' } : given,
    tokenizer: tokenizerFile && resolvePath(tokenizerFile),
    data: data && resolveData(data),
    out: out && resolvePath(out),
    resume: typeof resume === 'string' ? resolvePath(resume) : resume,
    init: init && resolvePath(init),
    ...{ saveEvery, testEvery, patience, headed, node, driver, json },
  };
}

const number = (name: string, unit: string, rule: ReturnType<typeof whole>) =>
  new Option(`--${name} <${unit}>`, rule.help)
    .default(rule.default)
    .argParser((text) => parseValue(name, rule, text) as number);

function describeCommand(): Command {
  const command = createCommand(COMMAND)
    .usage('[options]')
    .description('Trains a model on the GPU, in headless Chrome, and writes what it learned into a run folder.');
  return addRunOptions(command)
    .option(
      '--data <where>',
      `folder or http(s) address (default: built-in digits or sentences). Images: ${ACCEPTED}. Text, for gpt and text-vae: a file of UTF-8, or a folder of them`,
    )
    .option('--tokenizer-file <file>', 'tokens of a text as a tokenizer.json of Hugging Face makes them')
    .option('--out <folder>', 'run folder to write to (default: runs/MODEL-TIME)')
    .option(
      '--resume [checkpoint]',
      'go on from a checkpoint or run folder (default: that of --out, else the newest run)',
    )
    .option(
      '--init <weights>',
      'begin a new run with the weights of a model.safetensors, checkpoint or run folder, and its options but for those given',
    )
    .addOption(number('test-every', 'epochs', TEST_EVERY))
    .addOption(number('save-every', 'seconds', SAVE_EVERY))
    .addOption(number('patience', 'seconds', PATIENCE))
    .option('--node', 'in Node, without a browser: reads IDX and CIFAR files and text, and writes no pictures')
    .option('--driver <name>', `with --node: ${DRIVER_HELP}`)
    .option('--headed', 'show the browser')
    .option('--json', 'one JSON line an event on standard output, and nothing else')
    .addHelpText('after', EXAMPLES);
}

/** The command that goes on with a run. */
export function resumeCommand(parsed: Arguments, out: string): string {
  const { given, data, saveEvery, testEvery, patience, headed, node, driver, json } = parsed;
  const own = {
    'test-every': [testEvery, TEST_EVERY],
    'save-every': [saveEvery, SAVE_EVERY],
    patience: [patience, PATIENCE],
  } as const;
  const changed = Object.entries(own).filter(([, [value, rule]]) => value !== rule.default);
  const values = {
    ...given,
    data,
    ...Object.fromEntries(changed.map(([name, [value]]) => [name, value])),
    driver,
    out,
  };
  const words = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [dashed(name), `${value}`],
  );
  const flags = Object.entries({ headed, node, json }).flatMap(([name, set]) => (set ? [dashed(name)] : []));
  return [COMMAND, ...[...words, ...flags].map(quote), '--resume'].join(' ');
}

function quote(word: string): string {
  return /^[\w@%+=:,./\\-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

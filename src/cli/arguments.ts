// What the commands' options have in common: how they are parsed and refused, and what a path means.
import { relative, resolve } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { OptionError } from '../errors.ts';
import { flagOf, type GivenOptions, OPTIONS, optionsAlone, parseOption } from '../train/options.ts';
import { parseValue } from '../train/rules.ts';

/** @param name as it is typed, such as `npm run train --` */
export function createCommand(name: string): Command {
  return new Command(name)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .helpOption('-h, --help', 'print this help');
}

/** @returns whether to go on: not if help was asked for, and printed. @throws OptionError */
export function parse(command: Command, args: readonly string[]): boolean {
  try {
    command.parse(args, { from: 'user' });
    return true;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return false;
    const name = command.name();
    const message = error.message.replace(/^error: |\.$/g, '').replace(/\s*\n\s*/g, ' ');
    const hint =
      error.code === 'commander.excessArguments' ? " (options begin with --, and go after npm's own --)" : '';
    throw new OptionError(`${message}${hint}; ${name} --help lists the options`);
  }
}

/** @throws OptionError for `--NAME ''` */
export function refuseEmpty(values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === '') throw new OptionError(`--${name} is empty`);
  }
}

/** @throws OptionError for a driver without Node: a browser chooses for itself */
export function refuseDriverAlone({ node, driver }: { readonly node?: boolean; readonly driver?: string }): void {
  if (driver !== undefined && !node) throw new OptionError('--driver goes with --node: a browser chooses for itself');
}

/** Takes a number, of a range. @throws OptionError, when it parses */
export function numberOf(name: string, min: number, max: number): (text: string) => number {
  return (text) => parseValue(name, { range: { min, max, integer: false } }, text) as number;
}

/** Takes a whole number, of a range. @throws OptionError, when it parses */
export function wholeOf(name: string, min: number, max: number): (text: string) => number {
  return (text) => parseValue(name, { range: { min, max, integer: true } }, text) as number;
}

/** Adds options of a training run: all of them, or those that a step depends on. With `--model`, `--help` tells of this model alone. */
export function addRunOptions(command: Command, chosen = OPTIONS): Command {
  const { visibleOptions } = command.createHelp();
  command.configureHelp({
    visibleOptions(cmd) {
      const { model } = cmd.opts();
      const own = new Map(model ? optionsAlone(model).map(({ name, help }) => [name, help] as const) : []);
      return visibleOptions.call(this, cmd).flatMap((option) => {
        const name = option.attributeName();
        if (!model || !chosen.some((some) => some.name === name)) return [option];
        const help = own.get(name);
        return help === undefined ? [] : [new Option(option.flags, help)];
      });
    },
  });
  for (const option of chosen) {
    command.addOption(new Option(flagOf(option), option.help).argParser((text) => parseOption(option.name, text)));
  }
  return command;
}

/** Those of a training run that were typed. */
export function givenOptions(command: Command): GivenOptions {
  const typed = OPTIONS.filter(({ name }) => command.getOptionValueSource(name) === 'cli');
  return Object.fromEntries(typed.map(({ name }) => [name, command.getOptionValue(name)]));
}

export function isAddress(data: string): boolean {
  return /^https?:\/\//i.test(data);
}

/** npm runs scripts in the project's folder; paths are meant, and shown, from where the command was typed. */
const typedFrom = () => process.env.INIT_CWD ?? process.cwd();

export function resolvePath(path: string): string {
  return resolve(typedFrom(), path);
}

/** What --data says: a path from where it was typed, or an address as it is. */
export function resolveData(data: string): string {
  return isAddress(data) ? data : resolvePath(data);
}

export function showPath(path: string): string {
  const short = relative(typedFrom(), path);
  return short.startsWith('..') ? path : short || '.';
}

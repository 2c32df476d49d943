// What the commands' options have in common: how they are parsed and refused, and what a path means.
import { relative, resolve } from 'node:path';
import { Command, CommanderError } from 'commander';
import { OptionError } from '../errors.ts';

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

// The commands as a person types them, each in a process of its own.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { PageServer } from '../src/cli/page_server.ts';

/** Browsers start slowly where several run on few cores: milliseconds. */
export const TIMEOUT = 180_000;

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Sends SIGINT, once, when this says so of the output up to now. */
  readonly interrupt?: (stdout: string) => boolean;
}

/** For a command that has to be done before it wants a browser. */
export const untouched = new Proxy({} as PageServer, {
  get() {
    throw new Error('it went on to start a browser');
  },
});

/** A folder that goes when the test file is done. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'glia-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** @param from the folder that it is typed in */
export function runCommand(
  command: string,
  args: readonly string[],
  from: string,
  options: RunOptions = {},
): Promise<Result> {
  const { env, interrupt = () => false } = options;
  const child = spawn(process.execPath, ['src/cli/start.mjs', command, ...args], {
    env: { ...process.env, INIT_CWD: from, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const result: Result = { code: null, stdout: '', stderr: '' };
  let interrupted = false;
  child.stdout.setEncoding('utf8').on('data', (part) => {
    result.stdout += part;
    if (interrupted || !interrupt(result.stdout)) return;
    interrupted = true;
    child.kill('SIGINT');
  });
  child.stderr.setEncoding('utf8').on('data', (part) => {
    result.stderr += part;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    // Dawn for Node says on standard error, at each start, which limits it cuts.
    const stderr = () => result.stderr.replace(/^Warning: max\w+ artificially reduced .*\n/gm, '');
    child.on('close', (code) => resolve({ ...result, stderr: stderr(), code }));
  });
}

// The run folder: what is in it, and how it is written so that nothing that was saved is ever lost.
import { existsSync, mkdirSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { GliaError, OptionError } from '../../errors.ts';
import type { TrainEvent } from '../../train/events.ts';
import { LineFile, replaceFile } from './durable.ts';
import { Lock, refuseOther } from './lock.ts';

export const RUNS = 'runs';
export const CHECKPOINT = 'checkpoint.safetensors';
/** The checkpoint before. */
export const BEFORE = 'checkpoint.before.safetensors';
export const METRICS = 'metrics.jsonl';

/** Names that the page may give to files. */
const FILE_NAME = /^[a-z]+\.(png|safetensors|txt)$/;

export class RunFolder {
  readonly path: string;
  /** Files written, by name. */
  readonly written = new Set<string>();
  private lock: Lock | undefined;
  private metrics: LineFile | undefined;
  /** What could not be written, by name, and is tried again. */
  private readonly unwritten = new Map<string, Uint8Array>();
  private warned = '';
  private readonly warn: (message: string) => void;

  /** @param warn told when a file cannot be written while the run goes on */
  constructor(path: string, warn: (message: string) => void = () => {}) {
    this.path = path;
    this.warn = warn;
  }

  /**
   * Checks that the folder can be made and written to, and leaves nothing behind.
   *
   * @throws OptionError if not, or if another run writes into it
   */
  check(): void {
    refuseOther(this.path);
    this.attempt(() => {
      const made = makeFolders(this.path);
      try {
        writeFileSync(join(this.path, '.part'), 'written by way of trial\n');
      } finally {
        rmSync(join(this.path, '.part'), { force: true });
        for (const path of made.reverse()) rmdirSync(path);
      }
    });
    const checkpoint = statOf(join(this.path, CHECKPOINT));
    if (checkpoint && !checkpoint.isFile()) {
      throw new OptionError(`--out: ${join(this.path, CHECKPOINT)} is no file: give another folder`);
    }
  }

  /**
   * Creates the folder, with the metrics of what a resumed run did before; it is this process's until it ends.
   *
   * @throws OptionError if it cannot be written to, or if another run writes into it
   */
  create(history: readonly TrainEvent[]): void {
    this.attempt(() => {
      makeFolders(this.path);
      this.lock = new Lock(this.path);
      try {
        this.metrics = new LineFile(join(this.path, METRICS), lines(history));
      } catch (error) {
        this.release();
        throw error;
      }
    });
    this.written.add(METRICS);
  }

  /** Lets other runs write into the folder. */
  release(): void {
    this.metrics?.close();
    this.lock?.release();
    this.metrics = this.lock = undefined;
  }

  /** What the file system says against it, in one line. */
  private described(error: unknown): GliaError {
    if (error instanceof GliaError) return error;
    const reason = (error as Error).message.replace(/^(\w+: [^,]*),.*$/s, '$1');
    return new OptionError(`the run folder ${this.path} cannot be written to (${reason}): give another --out`);
  }

  private attempt<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.described(error);
    }
  }

  /** Does what can be done again later: the run goes on without, and says so, once. */
  private tolerate(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      const reason = (error as Error).message.replace(/^(\w+: [^,]*),.*$/s, '$1');
      const kept = this.hasCheckpoint ? '; the last good checkpoint is intact' : '';
      if (this.warned !== reason) this.warn(`${this.path} cannot be written to (${reason})${kept}; the run goes on`);
      this.warned = reason;
      return false;
    }
  }

  append(events: readonly TrainEvent[]): void {
    this.tolerate(() => this.metrics?.append(lines(events)));
  }

  /**
   * Writes a file that the page made, and keeps it for later if that cannot be.
   *
   * @returns whether it is written
   */
  write(name: string, content: Uint8Array): boolean {
    if (!FILE_NAME.test(name)) throw new Error(`${name} is no file of a run`);
    const done = this.tolerate(() => this.replace(name, content));
    if (!done) this.unwritten.set(name, content);
    return done;
  }

  private replace(name: string, content: Uint8Array): void {
    // What was told before a checkpoint is there when it is.
    if (name === CHECKPOINT) this.metrics?.append('');
    if (name === CHECKPOINT) this.metrics?.sync();
    replaceFile(join(this.path, name), content, name === CHECKPOINT ? join(this.path, BEFORE) : undefined);
    this.unwritten.delete(name);
    this.written.add(name);
    this.warned = '';
  }

  /**
   * Writes what could not be written when it came.
   *
   * @throws OptionError if that still cannot be
   */
  finish(): void {
    this.attempt(() => {
      this.metrics?.append('');
      for (const [name, content] of this.unwritten) this.replace(name, content);
    });
  }

  get hasCheckpoint(): boolean {
    return [CHECKPOINT, BEFORE].some((name) => existsSync(join(this.path, name)));
  }
}

/** What is there, if anything is: under a file there is nothing. */
export function statOf(path: string) {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/** Folders that were not there, from the outermost. (Node's own recursion never ends where no folder can be made.) */
function makeFolders(path: string): string[] {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) mkdirSync(folder);
  return missing;
}

function lines(events: readonly TrainEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join('');
}

/**
 * The folder of a new run.
 *
 * @throws OptionError if that is no folder, or another run's
 */
export function newRun(out: string | undefined, model: string, warn?: (message: string) => void): RunFolder {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString();
  const name = `${model}-${local.slice(0, 19).replace('T', '-').replaceAll(':', '')}`;
  const folder = new RunFolder(out ?? join(RUNS, name), warn);
  const found = statOf(folder.path);
  if (found && !found.isDirectory()) throw new OptionError(`--out: ${folder.path} is a file, and a folder is needed`);
  if (folder.hasCheckpoint) {
    throw new OptionError(`${folder.path} holds a run: --resume goes on with it, another --out leaves it alone`);
  }
  return folder;
}

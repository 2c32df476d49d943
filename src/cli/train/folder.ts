// The run folder: what is in it, and how it is written so that nothing that was saved is ever lost.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { CheckpointError, GliaError, OptionError } from '../../errors.ts';
import type { Checkpoint } from '../../train/checkpoint.ts';
import type { TrainEvent } from '../../train/events.ts';

const RUNS = 'runs';
const CHECKPOINT = 'checkpoint.safetensors';
const METRICS = 'metrics.jsonl';
/** Holds the number of the process that writes into the folder. */
const LOCK = 'run.lock';

/** Names that the page may give to files. */
const FILE_NAME = /^[a-z]+\.(png|safetensors|txt)$/;

export class RunFolder {
  readonly path: string;
  /** Files written, by name. */
  readonly written = new Set<string>();
  private locked = false;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Checks that the folder can be made and written to, and leaves nothing behind.
   *
   * @throws OptionError if not, or if another run writes into it
   */
  check(): void {
    this.refuseOther();
    this.attempt(() => {
      const made = makeFolders(this.path);
      try {
        writeFileSync(join(this.path, '.part'), 'written by way of trial\n');
      } finally {
        rmSync(join(this.path, '.part'), { force: true });
        for (const path of made.reverse()) rmdirSync(path);
      }
    });
    const checkpoint = statSync(join(this.path, CHECKPOINT), { throwIfNoEntry: false });
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
    this.attempt(() => makeFolders(this.path));
    this.lock();
    this.write(METRICS, lines(history));
  }

  private lock(): void {
    const path = join(this.path, LOCK);
    this.refuseOther();
    rmSync(path, { force: true });
    try {
      // Fails if another run has been faster.
      writeFileSync(path, `${process.pid}\n`, { flag: 'wx' });
    } catch (error) {
      this.refuseOther();
      throw this.described(error);
    }
    process.once('exit', () => this.release());
    this.locked = true;
  }

  /** Lets other runs write into the folder. */
  release(): void {
    if (this.locked) rmSync(join(this.path, LOCK), { force: true });
    this.locked = false;
  }

  private refuseOther(): void {
    let owner: number;
    try {
      owner = Number(readFileSync(join(this.path, LOCK), 'utf8'));
    } catch {
      return;
    }
    if (owner === process.pid || !isAlive(owner)) return;
    throw new OptionError(
      `another run (process ${owner}) writes into ${this.path}: wait for it, or give another --out`,
    );
  }

  append(events: readonly TrainEvent[]): void {
    if (events.length > 0) this.attempt(() => appendFileSync(join(this.path, METRICS), lines(events)));
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

  /** Writes beside and renames: whoever looks finds the old file or the new one, whole. */
  write(name: string, content: string | Uint8Array): void {
    if (name !== METRICS && !FILE_NAME.test(name)) throw new Error(`${name} is no file of a run`);
    const path = join(this.path, name);
    this.attempt(() => {
      try {
        writeFileSync(`${path}.part`, content);
        renameSync(`${path}.part`, path);
      } catch (error) {
        rmSync(`${path}.part`, { force: true });
        throw error;
      }
    });
    this.written.add(name);
  }

  get hasCheckpoint(): boolean {
    return existsSync(join(this.path, CHECKPOINT));
  }
}

/** Folders that were not there, from the outermost. (Node's own recursion never ends where no folder can be made.) */
function makeFolders(path: string): string[] {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) mkdirSync(folder);
  return missing;
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is there, and somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function lines(events: readonly TrainEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join('');
}

/**
 * The folder of a new run.
 *
 * @throws OptionError if that is no folder, or another run's
 */
export function newRun(out: string | undefined, model: string): RunFolder {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString();
  const folder = new RunFolder(
    out ?? join(RUNS, `${model}-${local.slice(0, 19).replace('T', '-').replaceAll(':', '')}`),
  );
  const found = statOf(folder.path);
  if (found && !found.isDirectory()) throw new OptionError(`--out: ${folder.path} is a file, and a folder is needed`);
  if (folder.hasCheckpoint) {
    throw new OptionError(`${folder.path} holds a run: --resume goes on with it, another --out leaves it alone`);
  }
  return folder;
}

/**
 * The checkpoint that `--resume` means.
 *
 * @throws CheckpointError if there is none
 */
export function findCheckpoint(resume: string | true, out: string | undefined): string {
  const place = resume === true ? (out ?? newestRun()) : resume;
  const found = statOf(place);
  if (!found) throw new CheckpointError(`--resume: there is no ${place}`);
  const path = found.isDirectory() ? join(place, CHECKPOINT) : place;
  if (!statOf(path)?.isFile()) throw new CheckpointError(`--resume: there is no checkpoint in ${place}`);
  return path;
}

/** What is there, if anything is: under a file there is nothing. */
function statOf(path: string) {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function newestRun(): string {
  const times = (existsSync(RUNS) ? readdirSync(RUNS) : [])
    .map((name) => join(RUNS, name))
    .map((path) => ({ path, time: statSync(join(path, CHECKPOINT), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .filter(({ time }) => time > 0)
    .sort((a, b) => b.time - a.time);
  if (!times[0]) throw new CheckpointError(`--resume: there is no run in ${RUNS}/ to go on with`);
  return times[0].path;
}

/** The metrics beside a checkpoint, up to it: what came later will be told anew. */
export function historyOf(path: string, { step, progress }: Checkpoint): TrainEvent[] {
  const file = join(dirname(path), METRICS);
  if (!existsSync(file)) return [];
  const { batch, data, epochSums } = progress;
  const epochs = Math.floor((step * batch) / data.count);
  // At an epoch's last step, sums that are still there say that the epoch has not been told.
  const ended = step === Math.ceil((epochs * data.count) / batch) && epochSums.steps > 0 ? epochs - 1 : epochs;
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap(parseLine)
    .filter((event) => (event.event === 'step' ? event.step <= step : event.epoch <= ended));
}

/** One event, or none where a crash cut the line short. */
function parseLine(line: string): TrainEvent[] {
  try {
    const event = JSON.parse(line) as TrainEvent;
    return event.event === 'step' || event.event === 'epoch' ? [event] : [];
  } catch {
    return [];
  }
}

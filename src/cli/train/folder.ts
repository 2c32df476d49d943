// The run folder: what is in it, and how it is written so that nothing that was saved is ever lost.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { CheckpointError, OptionError } from '../../errors.ts';
import type { Checkpoint } from '../../train/checkpoint.ts';
import type { TrainEvent } from '../../train/events.ts';

const RUNS = 'runs';
const CHECKPOINT = 'checkpoint.safetensors';
const METRICS = 'metrics.jsonl';

/** Names that the page may give to files. */
const FILE_NAME = /^[a-z]+\.(png|safetensors)$/;

export class RunFolder {
  readonly path: string;
  /** Files written, by name. */
  readonly written = new Set<string>();

  constructor(path: string) {
    this.path = path;
  }

  /** Creates the folder, with the metrics of what a resumed run did before. */
  create(history: readonly TrainEvent[]): void {
    mkdirSync(this.path, { recursive: true });
    this.write(METRICS, lines(history));
  }

  append(events: readonly TrainEvent[]): void {
    if (events.length > 0) appendFileSync(join(this.path, METRICS), lines(events));
  }

  /** Writes beside and renames: whoever looks finds the old file or the new one, whole. */
  write(name: string, content: string | Uint8Array): void {
    if (name !== METRICS && !FILE_NAME.test(name)) throw new Error(`${name} is no file of a run`);
    const path = join(this.path, name);
    writeFileSync(`${path}.part`, content);
    renameSync(`${path}.part`, path);
    this.written.add(name);
  }

  get hasCheckpoint(): boolean {
    return existsSync(join(this.path, CHECKPOINT));
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
  const found = statSync(folder.path, { throwIfNoEntry: false });
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
  const found = statSync(place, { throwIfNoEntry: false });
  if (!found) throw new CheckpointError(`--resume: there is no ${place}`);
  const path = found.isDirectory() ? join(place, CHECKPOINT) : place;
  if (!existsSync(path)) throw new CheckpointError(`--resume: there is no checkpoint in ${place}`);
  return path;
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

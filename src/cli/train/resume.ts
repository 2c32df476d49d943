// What `--resume` goes on from: the newest checkpoint that is whole, and what was told up to it.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CheckpointError } from '../../errors.ts';
import { type Checkpoint, decodeCheckpoint } from '../../train/checkpoint.ts';
import type { TrainEvent } from '../../train/events.ts';
import { BEFORE, CHECKPOINT, METRICS, RUNS, statOf } from './folder.ts';

export interface Saved {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly checkpoint: Checkpoint;
  readonly history: readonly TrainEvent[];
  /** Why it is not the newest that there is. */
  readonly instead?: string;
}

const isFile = (path: string) => statOf(path)?.isFile() ?? false;

/**
 * The checkpoint that `--resume` means.
 *
 * @throws CheckpointError if there is none, or none that is whole
 */
export function readSaved(resume: string | true, out: string | undefined): Saved {
  const place = resume === true ? (out ?? newestRun()) : resume;
  const found = statOf(place);
  if (!found) throw new CheckpointError(`--resume: there is no ${place}`);
  const paths = found.isDirectory() ? [CHECKPOINT, BEFORE].map((name) => join(place, name)).filter(isFile) : [place];
  const [newest, before] = paths;
  if (!newest || !isFile(newest)) throw new CheckpointError(`--resume: there is no checkpoint in ${place}`);
  try {
    return read(newest);
  } catch (error) {
    if (!before) throw error;
    return { ...read(before), instead: (error as Error).message };
  }
}

function read(path: string): Saved {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new CheckpointError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  const checkpoint = decodeCheckpoint(bytes, path);
  return { path, bytes, checkpoint, history: historyOf(path, checkpoint) };
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

/** Epochs that a run had told of when its checkpoint was made. */
function epochsOf({ step, progress: { batch, data, epochSums } }: Checkpoint): number {
  const epochs = Math.floor((step * batch) / data.count);
  // At an epoch's last step, sums that are still there say that the epoch has not been told.
  return step === Math.ceil((epochs * data.count) / batch) && epochSums.steps > 0 ? epochs - 1 : epochs;
}

/** What was told before a checkpoint: the rest will be told anew. */
export function eventsUntil(checkpoint: Checkpoint, events: readonly TrainEvent[]): TrainEvent[] {
  const epochs = epochsOf(checkpoint);
  return events.filter((event) => (event.event === 'step' ? event.step <= checkpoint.step : event.epoch <= epochs));
}

/** The metrics beside a checkpoint, up to it. */
function historyOf(path: string, checkpoint: Checkpoint): TrainEvent[] {
  const file = join(dirname(path), METRICS);
  return isFile(file) ? eventsUntil(checkpoint, readFileSync(file, 'utf8').split('\n').flatMap(parseLine)) : [];
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

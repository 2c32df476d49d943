// The runs that this browser keeps: snapshots, metrics, options, images. Nothing here knows of a page: workers use it too.

import { CheckpointError, OptionError } from '../../../src/errors.ts';
import { decodeCheckpoint } from '../../../src/train/checkpoint.ts';
import type { TrainEvent } from '../../../src/train/events.ts';
import type { TrainOptions } from '../../../src/train/options.ts';
import { pack, unpack } from './archive.ts';
import { type AnyDataset, DATA_FILES, decodeDataset, encodeDataset } from './datasets.ts';
import { type FileStore, openFiles } from './files.ts';
import { bytesOfRun, type DataInfo, FORMAT, parseEvents, parseRecord, type RunRecord } from './record.ts';
import { encode, LINES, metricsFile, RunWriter, SNAPSHOTS, text } from './writer.ts';

const ROOT = 'runs';
const RECORD = 'run.json';
const METRICS = 'metrics.jsonl';
const CHECKPOINT = 'checkpoint.safetensors';
/** More lines than any run in a browser makes. */
const MOST_LINES = 5e7;

/** How long to wait for another tab to let go of a run: milliseconds. */
const PATIENCE = 500;

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** What a run is made of at first. */
export interface NewRun {
  readonly name: string;
  readonly options: TrainOptions;
  readonly data: DataInfo;
  readonly totalSteps: number;
  /** Kept with it, if given. */
  readonly dataset?: AnyDataset | undefined;
}

export class RunStore {
  private readonly files: FileStore;
  private readonly channel = new BroadcastChannel('glia runs');

  /** @param files the browser's by default */
  static async open(files?: FileStore): Promise<RunStore> {
    return new RunStore(files ?? (await openFiles()));
  }

  private constructor(files: FileStore) {
    this.files = files;
  }

  /** Calls whenever runs may have changed, in this tab or another. */
  listen(changed: () => void): void {
    this.channel.addEventListener('message', changed);
  }

  close(): void {
    this.channel.close();
  }

  write(id: string, file: string, bytes: Uint8Array): Promise<void> {
    return this.files.write(`${ROOT}/${id}/${file}`, bytes);
  }

  private read(id: string, file: string) {
    return this.files.read(`${ROOT}/${id}/${file}`);
  }

  async writeRecord(record: RunRecord): Promise<void> {
    await this.write(record.id, RECORD, encode(JSON.stringify(record)));
    this.channel.postMessage('changed');
  }

  /** All runs, the newest first. What cannot be read is left out: it can be of a later version. */
  async list(): Promise<RunRecord[]> {
    const ids = await this.files.folders(ROOT);
    const records = await Promise.all(ids.map((id) => this.find(id).catch(() => undefined)));
    return records.filter((record) => record !== undefined).sort((a, b) => b.created - a.created);
  }

  async find(id: string): Promise<RunRecord | undefined> {
    const bytes = await this.read(id, RECORD);
    return bytes && parseRecord(decode(bytes), id);
  }

  /** @throws OptionError if there is no such run */
  async get(id: string): Promise<RunRecord> {
    const record = await this.find(id);
    if (!record) throw new OptionError('this run is no longer there: it was deleted');
    return record;
  }

  /** @throws QuotaError, and then nothing of it is left */
  async create({ name, options, data, totalSteps, dataset }: NewRun): Promise<RunRecord> {
    const files = dataset ? encodeDataset(dataset) : new Map<string, Uint8Array>();
    const record: RunRecord = {
      ...{ format: FORMAT, id: crypto.randomUUID(), name, options, data, totalSteps },
      ...{ created: Date.now(), changed: Date.now(), state: 'training', step: 0, seconds: 0, events: 0 },
      ...{ keepsData: files.size > 0, sizes: {} },
    };
    return this.add(record, files);
  }

  private async add(record: RunRecord, files: ReadonlyMap<string, Uint8Array>): Promise<RunRecord> {
    const sizes = Object.fromEntries([...files].map(([file, bytes]) => [file, bytes.length]));
    const added = { ...record, sizes };
    try {
      for (const [file, bytes] of files) await this.write(record.id, file, bytes);
      await this.writeRecord(added);
    } catch (error) {
      await this.files.remove(`${ROOT}/${record.id}`).catch(() => {});
      throw error;
    }
    return added;
  }

  /**
   * Takes a run to write. Metrics of steps after its snapshot, which are made once more, are forgotten.
   *
   * @throws OptionError if another tab, or this one, trains it already
   */
  async open(id: string): Promise<RunWriter> {
    const release = await this.lock(id);
    try {
      const record = await this.get(id);
      const last = await this.read(id, metricsFile(Math.floor(record.events / LINES)));
      const lines = last
        ? decode(last)
            .split('\n')
            .slice(0, record.events % LINES)
        : [];
      return new RunWriter(this, record, lines, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  private lock(id: string): Promise<() => void> {
    return new Promise((resolve, reject) => {
      // A tab that is just being closed or reloaded lets go in a moment.
      const signal = AbortSignal.timeout(PATIENCE);
      navigator.locks
        .request(lockName(id), { signal }, () => new Promise<void>((release) => resolve(release)))
        .catch((cause) => {
          reject(new OptionError('this run is being trained already, in another tab or window', { cause }));
        });
    });
  }

  /** Ids of the runs that a tab trains at the moment. */
  async training(): Promise<Set<string>> {
    const { held = [] } = await navigator.locks.query();
    const prefix = lockName('');
    return new Set(held.flatMap(({ name = '' }) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : [])));
  }

  /** The newest checkpoint. */
  async snapshot(id: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { snapshot } = await this.get(id);
    return snapshot === undefined ? undefined : this.read(id, snapshot);
  }

  /** Everything that was told of the steps up to the snapshot. */
  async events(id: string): Promise<TrainEvent[]> {
    const { events, name } = await this.get(id);
    const found: TrainEvent[] = [];
    for (let file = 0; found.length < events; file++) {
      const bytes = await this.read(id, metricsFile(file));
      if (!bytes) break;
      // A tab that died before it wrote the record left lines that do not count, perhaps half of one.
      const lines = decode(bytes)
        .split('\n')
        .slice(0, Math.min(LINES, events - found.length));
      for (const event of parseEvents(lines.join('\n'), name)) found.push(event);
    }
    return found;
  }

  /** The data that are kept with a run. */
  async dataset(id: string): Promise<AnyDataset | undefined> {
    const { keepsData, name } = await this.get(id);
    return keepsData ? decodeDataset((file) => this.read(id, file), name) : undefined;
  }

  async rename(id: string, name: string): Promise<void> {
    const wanted = name.trim().slice(0, 200);
    if (wanted === '') throw new OptionError('a run needs a name');
    await this.writeRecord({ ...(await this.get(id)), name: wanted });
  }

  /** @throws OptionError if it is being trained */
  async delete(id: string): Promise<void> {
    const release = await this.lock(id);
    try {
      await this.files.remove(`${ROOT}/${id}`);
    } finally {
      release();
    }
    this.channel.postMessage('changed');
  }

  /** Another run that goes on from where this one is. */
  async fork(id: string): Promise<RunRecord> {
    const record = await this.get(id);
    const parent = { name: record.name, step: record.step };
    return this.addCopy(
      { ...record, parent, name: `${record.name} (fork at ${record.step})` },
      await this.contents(id),
    );
  }

  /** The files of a run by the names that they have outside, metrics and snapshot each as one. */
  private async contents(id: string): Promise<Map<string, Uint8Array>> {
    const { keepsData } = await this.get(id);
    const files = new Map<string, Uint8Array>();
    files.set(METRICS, text((await this.events(id)).map((event) => JSON.stringify(event))));
    const snapshot = await this.snapshot(id);
    if (snapshot) files.set(CHECKPOINT, snapshot);
    for (const file of keepsData ? DATA_FILES : []) {
      const bytes = await this.read(id, file);
      if (bytes) files.set(file, bytes);
    }
    return files;
  }

  /** The run as one file, for another browser or person: a zip, of which the commands take the checkpoint. */
  async export(id: string): Promise<Uint8Array<ArrayBuffer>> {
    const record = encode(JSON.stringify({ ...(await this.get(id)), sizes: {} }));
    return pack(new Map([[RECORD, record], ...(await this.contents(id))]));
  }

  /**
   * Takes in a file that `export` made, whoever made it.
   *
   * @throws CheckpointError, DataError or QuotaError, and then nothing of it is left
   */
  async import(bytes: Uint8Array, source: string): Promise<RunRecord> {
    const files = unpack(bytes, source, [RECORD, METRICS, CHECKPOINT, ...DATA_FILES]);
    const told = files.get(RECORD);
    if (!told) throw new CheckpointError(`${source} is no run of Glia's: it holds no ${RECORD}`);
    return this.addCopy(parseRecord(decode(told), source), files, source);
  }

  /** A run of its own of what may be anybody's files. */
  private async addCopy(record: RunRecord, files: Map<string, Uint8Array>, source = record.name): Promise<RunRecord> {
    const checkpoint = files.get(CHECKPOINT);
    const step = checkpoint ? decodeCheckpoint(checkpoint as Uint8Array<ArrayBuffer>, source).step : 0;
    const events = parseEvents(decode(files.get(METRICS) ?? new Uint8Array()), source);
    if (step !== record.step || events.length !== record.events || events.length > MOST_LINES) {
      throw new CheckpointError(`${source} is damaged: checkpoint, metrics and record are of different steps`);
    }
    const keepsData = files.has('data.json');
    if (keepsData) await decodeDataset(async (file) => files.get(file), source);
    const own = new Map<string, Uint8Array>();
    if (checkpoint) own.set(SNAPSHOTS[0], checkpoint);
    for (let file = 0; file * LINES < events.length; file++) {
      const lines = events.slice(file * LINES, (file + 1) * LINES).map((event) => JSON.stringify(event));
      own.set(metricsFile(file), text(lines));
    }
    for (const file of DATA_FILES) if (files.has(file)) own.set(file, files.get(file)!);
    const state = record.state === 'training' ? 'paused' : record.state;
    const now = Date.now();
    return this.add(
      {
        ...record,
        ...{ id: crypto.randomUUID(), created: now, changed: now, state, keepsData },
        snapshot: checkpoint && SNAPSHOTS[0],
      },
      own,
    );
  }

  /** Bytes that runs take, and that the browser gives this site. */
  async usage(): Promise<{ readonly used: number; readonly quota: number | undefined }> {
    const records = await this.list();
    const { quota } = (await navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
    return { used: records.reduce((sum, record) => sum + bytesOfRun(record), 0), quota };
  }
}

const lockName = (id: string) => `glia run ${id}`;

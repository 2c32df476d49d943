// What writes a run while it is trained: snapshot, metrics and numbers together, so that a tab may die at any moment.
import type { TrainEvent } from '../../../src/train/events.ts';
import type { RunRecord } from './record.ts';

/** Two files that take turns: the record says which is whole. */
export const SNAPSHOTS = ['snapshot-a', 'snapshot-b'] as const;
/** Lines of metrics in a file: only the last file is written again as they grow. */
export const LINES = 2048;

export const encode = (text: string) => new TextEncoder().encode(text);
export const metricsFile = (index: number) => `metrics-${index}`;

/** Where runs lie, as far as a writer knows it. */
export interface RunFiles {
  find(id: string): Promise<RunRecord | undefined>;
  write(id: string, file: string, bytes: Uint8Array): Promise<void>;
  writeRecord(record: RunRecord): Promise<void>;
}

/** What one writes of a run at a time. */
export interface Commit {
  readonly snapshot?: Uint8Array;
  /** Events since the last commit. */
  readonly events?: readonly TrainEvent[];
  readonly changes?: Partial<Pick<RunRecord, 'state' | 'failure' | 'step' | 'totalSteps' | 'seconds' | 'options'>>;
}

/** A run that one tab writes: nobody else does meanwhile. */
export class RunWriter {
  record: RunRecord;
  private readonly store: RunFiles;
  /** Lines of the last file of metrics. */
  private lines: string[];
  private readonly release: () => void;

  constructor(store: RunFiles, record: RunRecord, lines: string[], release: () => void) {
    this.store = store;
    this.record = record;
    this.lines = lines;
    this.release = release;
  }

  /**
   * Snapshot, metrics and numbers together: the record is written last, and until then the run is as it was before.
   *
   * @throws QuotaError if there is no room; the run is as it was, and what was not written may be given once more
   */
  async commit({ snapshot, events = [], changes = {} }: Commit): Promise<void> {
    const { store } = this;
    // It may have been renamed meanwhile.
    const before = (await store.find(this.record.id)) ?? this.record;
    const sizes: Record<string, number> = { ...before.sizes };
    const write = async (file: string, bytes: Uint8Array) => {
      await store.write(before.id, file, bytes);
      sizes[file] = bytes.length;
    };
    const lines = [...this.lines, ...events.map((event) => JSON.stringify(event))];
    const full = before.events + events.length;
    let file = Math.floor(before.events / LINES);
    while (events.length > 0 && lines.length >= LINES) await write(metricsFile(file++), text(lines.splice(0, LINES)));
    if (events.length > 0) await write(metricsFile(file), text(lines));
    let name = before.snapshot;
    if (snapshot) {
      name = SNAPSHOTS.find((each) => each !== name)!;
      await write(name, snapshot);
    }
    const record = {
      ...before,
      ...changes,
      ...newest(events),
      ...{ events: full, snapshot: name, sizes, changed: Date.now() },
    };
    await store.writeRecord(record);
    this.record = record;
    this.lines = lines;
  }

  close(): void {
    this.release();
  }
}

export const text = (lines: readonly string[]) => encode(lines.map((line) => `${line}\n`).join(''));

/** The last numbers among events. */
function newest(events: readonly TrainEvent[]): Partial<RunRecord> {
  const step = events.findLast((event) => event.event === 'step');
  const epoch = events.findLast((event) => event.event === 'epoch');
  const numbers = Object.entries(step ?? {}).filter((entry): entry is [string, number] => typeof entry[1] === 'number');
  return { ...(step && { latest: Object.fromEntries(numbers) }), ...(epoch?.test && { test: epoch.test }) };
}

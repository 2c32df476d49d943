// The store of runs in the browser: over the origin-private file system, IndexedDB, and one that runs out of room.
import { zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { databaseFiles, type FileStore, privateFiles, QuotaError } from '../demos/studio/store/files.ts';
import type { RunRecord } from '../demos/studio/store/record.ts';
import { type NewRun, RunStore } from '../demos/studio/store/runs.ts';
import type { Dataset, ImageSet } from '../src/data/images.ts';
import type { TrainEvent } from '../src/train/events.ts';
import { completeOptions } from '../src/train/options.ts';
import { encodeSafetensors } from '../src/train/safetensors.ts';

const set = (count: number): ImageSet => {
  const images = Uint8Array.from({ length: 4 * count }, (_, i) => 37 * i);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 3);
  return { images, labels, count, height: 2, width: 2, channels: 1, classes: 3 };
};
const dataset: Dataset = { name: 'small', train: set(9), test: set(6) };
const options = completeOptions({ epochs: 2, batch: 3 });

function checkpoint(step: number): Uint8Array {
  const data = { name: 'small', count: 9, tensors: { images: 'u8 [4]' } };
  const progress = {
    options,
    optimizer: 'Adam',
    batch: 3,
    epochs: 2000,
    seed: 0,
    data,
    epochSums: { steps: 0, sums: [] },
  };
  const tensors = { 'optimizer.step': { dtype: 'U32', shape: [], data: Uint32Array.of(step) } } as const;
  return encodeSafetensors(tensors, { format: 'glia checkpoint 2', progress: JSON.stringify(progress) });
}

const steps = (from: number, to: number): TrainEvent[] =>
  Array.from({ length: to - from }, (_, i) => {
    return { event: 'step', step: from + i + 1, epoch: 1, loss: 100 / (from + i + 1), msPerStep: 2 };
  });

const newRun = (name: string): NewRun => {
  const shape = { train: 9, test: 6, height: 2, width: 2, channels: 1, classes: 3 };
  return { name, options, totalSteps: 6, data: { kind: 'images', name: 'small', digest: 'abc', ...shape }, dataset };
};

/** A store with no room beyond `room` bytes. */
function limited(files: FileStore, room: () => number): FileStore {
  return {
    ...{
      read: (path) => files.read(path),
      remove: (path) => files.remove(path),
      folders: (path) => files.folders(path),
    },
    async write(path, bytes) {
      if (bytes.length > room()) throw new QuotaError(`there is no room for ${path}`);
      await files.write(path, bytes);
    },
  };
}

const backends = { 'private files': privateFiles, IndexedDB: () => databaseFiles('test') };

describe.each(Object.entries(backends))('in %s', (_, open) => {
  let files: FileStore;
  let store: RunStore;

  beforeEach(async () => {
    files = (await open())!;
    expect(files).toBeDefined();
    await files.remove('runs');
    store = await RunStore.open(files);
  });

  afterEach(async () => {
    store.close();
    await files.remove('runs');
  });

  test('a run is kept with its snapshots, metrics and images, listed, renamed and deleted', async () => {
    const { id } = await store.create(newRun('first'));
    const writer = await store.open(id);
    await writer.commit({ snapshot: checkpoint(3), events: steps(0, 3), changes: { step: 3, state: 'paused' } });
    await store.rename(id, '  better ');
    await writer.commit({ snapshot: checkpoint(5), events: steps(3, 5), changes: { step: 5 } });
    writer.close();
    const [record] = await store.list();
    expect(record).toMatchObject({ id, name: 'better', step: 5, events: 5, state: 'paused', keepsData: true });
    expect(record?.latest).toMatchObject({ step: 5, loss: 20 });
    expect(await store.events(id)).toEqual(steps(0, 5));
    expect(await store.snapshot(id)).toEqual(checkpoint(5));
    expect(await store.dataset(id)).toEqual(dataset);
    await store.delete(id);
    expect(await store.list()).toEqual([]);
    expect(await store.snapshot(id).catch((error) => error.message)).toMatch(/no longer there/);
  });

  test('metrics of more than one file, and those after the snapshot are forgotten', async () => {
    const { id } = await store.create(newRun('long'));
    const writer = await store.open(id);
    await writer.commit({ events: steps(0, 2000), changes: { step: 2000 } });
    await writer.commit({ events: steps(2000, 5000), snapshot: checkpoint(5000), changes: { step: 5000 } });
    // A tab that dies before it writes the record leaves lines that are not counted.
    const { lines } = writer as unknown as { lines: string[] };
    await store.write(id, 'metrics-2', new TextEncoder().encode([...lines, '{"event":"st'].join('\n')));
    writer.close();
    expect(await store.events(id)).toEqual(steps(0, 5000));
    const again = await store.open(id);
    await again.commit({ events: steps(5000, 5003), changes: { step: 5003 } });
    again.close();
    expect(await store.events(id)).toEqual(steps(0, 5003));
  });

  test('one tab at a time trains a run, which is not deleted meanwhile', async () => {
    const { id } = await store.create(newRun('held'));
    const writer = await store.open(id);
    await expect(store.open(id)).rejects.toThrow('being trained already');
    await expect(store.delete(id)).rejects.toThrow('being trained already');
    expect(await store.training()).toEqual(new Set([id]));
    writer.close();
    (await store.open(id)).close();
  });

  test('a run goes into one file and comes out of it as another run, the same but for its place', async () => {
    const { id } = await store.create(newRun('shared'));
    const writer = await store.open(id);
    await writer.commit({ snapshot: checkpoint(3), events: steps(0, 3), changes: { step: 3 } });
    writer.close();
    const copy = await store.import(await store.export(id), 'shared.glia.zip');
    expect(copy.id).not.toBe(id);
    const bare = ({ id: _, created: __, changed: ___, sizes: ____, ...rest }: RunRecord) => rest;
    expect(bare(copy)).toEqual({ ...bare(await store.get(id)), state: 'paused' });
    for (const of of [id, copy.id]) {
      expect(await store.snapshot(of)).toEqual(checkpoint(3));
      expect(await store.events(of)).toEqual(steps(0, 3));
      expect(await store.dataset(of)).toEqual(dataset);
    }
    const fork = await store.fork(id);
    expect(fork).toMatchObject({ step: 3, parent: { name: 'shared', step: 3 } });
    expect(await store.snapshot(fork.id)).toEqual(checkpoint(3));
  });

  test('where room runs out, a commit leaves the run as it was, and a new run leaves nothing', async () => {
    let room = Infinity;
    const small = await RunStore.open(limited(files, () => room));
    const { id } = await small.create(newRun('full'));
    const writer = await small.open(id);
    await writer.commit({ snapshot: checkpoint(3), events: steps(0, 3), changes: { step: 3 } });
    room = checkpoint(5).length - 1;
    const more = { snapshot: checkpoint(5), events: steps(3, 5), changes: { step: 5 } };
    await expect(writer.commit(more)).rejects.toThrow(QuotaError);
    expect(await small.get(id)).toMatchObject({ step: 3, events: 3 });
    expect(await small.events(id)).toEqual(steps(0, 3));
    expect(await small.snapshot(id)).toEqual(checkpoint(3));
    room = 10;
    await expect(small.create(newRun('another'))).rejects.toThrow(QuotaError);
    expect(await files.folders('runs')).toEqual([id]);
    room = Infinity;
    await writer.commit(more);
    writer.close();
    expect(await small.events(id)).toEqual(steps(0, 5));
    small.close();
  });
});

describe('a file that is no run, or a hostile one, is refused in one line and leaves nothing', () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  const record = {
    ...newRun('x'),
    format: 'glia run 1',
    id: 'x',
    created: 1,
    changed: 1,
    state: 'paused',
    step: 0,
    seconds: 0,
  };
  const whole = { ...record, events: 0, keepsData: false, sizes: {}, dataset: undefined };
  const zipped = (told: unknown, files: Record<string, Uint8Array> = {}, level: 0 | 6 = 6) =>
    zipSync({ 'run.json': encode(JSON.stringify(told)), ...files }, { level });
  const lying = zipped(whole, { 'metrics.jsonl': new Uint8Array(50_000_000) });

  const text = {
    'data.json': encode('{"name":"x","vocabulary":{"kind":"characters","characters":"ab"}}'),
    'data-train-tokens': Uint8Array.of(0, 1, 2),
    'data-test-tokens': Uint8Array.of(0),
  };

  test.each([
    ['no zip', encode('PK? not at all'), /does not unpack/],
    ['an empty zip', zipSync({}), /holds no run.json/],
    ['a bomb', lying, /would unpack to 5\d{7} bytes or more/],
    ['JSON that is none', zipSync({ 'run.json': encode('{') }), /record cannot be read/],
    ['another format', zipped({ ...whole, format: 'glia run 9' }), /is not "glia run 1"/],
    ['a prototype', zipSync({ 'run.json': encode('{"__proto__":{"format":"glia run 1"}}') }), /is not "glia run 1"/],
    ['a step that is none', zipped({ ...whole, step: -1 }), /its step is no count/],
    ['steps without a checkpoint', zipped({ ...whole, step: 10 }), /of different steps/],
    ['an unknown model', zipped({ ...whole, options: { model: 'gpt-9' } }), /there is no model gpt-9/],
    ['a name that is too long', zipped({ ...whole, name: 'xyz'.repeat(200) }), /its name is no text/],
    [
      'metrics that are none',
      zipped({ ...whole, events: 1 }, { 'metrics.jsonl': encode('{"event":"step"}\n') }),
      /line 1/,
    ],
    [
      'metrics that are nested deep',
      zipped(
        { ...whole, events: 1 },
        {
          'metrics.jsonl': encode(`{"event":"step","step":1,"x":${'['.repeat(1e5)}${']'.repeat(1e5)}}\n`),
        },
        // As it is: packed, it would be refused as a bomb.
        0,
      ),
      /line 1/,
    ],
    ['text with a token that there is none of', zipped(whole, text), /data are damaged/],
    ['a checkpoint of 10¹² weights', zipped({ ...whole, step: 1 }, { 'checkpoint.safetensors': huge() }), /run\.zip/],
    [
      'images of another size',
      zipped(whole, { 'data.json': encode('{"name":"x","train":{},"test":{}}') }),
      /data are damaged/,
    ],
  ])('%s', async (_, bytes, message) => {
    const files = (await privateFiles())!;
    const store = await RunStore.open(files);
    const error = await store.import(bytes, 'run.zip').catch((error: Error) => error);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).name).toMatch(/^(Checkpoint|Data)Error$/);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain('\n');
    expect(await store.list()).toEqual([]);
    store.close();
  });

  function huge(): Uint8Array {
    const header = encode(JSON.stringify({ w: { dtype: 'F32', shape: [1e6, 1e6], data_offsets: [0, 4e12] } }));
    const file = new Uint8Array(8 + header.length);
    new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
    file.set(header, 8);
    return file;
  }
});

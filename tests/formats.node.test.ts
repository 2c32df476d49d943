// Formats told apart by file names, CIFAR-10's batches good and bad, folders as classes and splits, and resizing.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cifarDataset, readCifar } from '../src/data/cifar.ts';
import type { Files } from '../src/data/files.ts';
import { FORMATS, readDataset, recognise } from '../src/data/formats.ts';
import { arrange } from '../src/data/image_files.ts';
import { Resizer, withLook } from '../src/data/resize.ts';
import { DataError } from '../src/errors.ts';

const RECORD = 3073;

/** Files in memory. */
function filesOf(contents: Record<string, Uint8Array>): Files {
  const read = async (path: string) => new Blob([contents[path] as Uint8Array<ArrayBuffer>]);
  return { name: 'toy', paths: Object.keys(contents), read };
}

const empty = (...paths: string[]) => filesOf(Object.fromEntries(paths.map((path) => [path, new Uint8Array()])));

/** Records of labels that count up to nine and on, and bytes that are a function of their place. */
function batch(count: number, start = 0): Uint8Array {
  return Uint8Array.from({ length: count * RECORD }, (_, i) =>
    i % RECORD === 0 ? (start + i / RECORD) % 10 : ((i + 7 * start) * 2654435761) >>> 24,
  );
}

async function expectDataError(work: () => unknown, message: RegExp): Promise<void> {
  const error: unknown = await (async () => work())().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DataError);
  expect((error as DataError).message).toMatch(message);
  expect((error as DataError).message).not.toContain('\n');
}

describe("CIFAR-10's batches", () => {
  test('planes become pixels, and labels go with them', () => {
    const anyBatches = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(anyBatches, fc.nat(1023), fc.nat(2), (counts, pixel, channel) => {
        const batches = counts.map((count, i) => ({ name: `data_batch_${i + 1}.bin`, bytes: batch(count, 3 * i) }));
        const set = readCifar(batches);
        const records = batches.flatMap(({ bytes }) =>
          Array.from({ length: bytes.length / RECORD }, (_, i) => bytes.subarray(i * RECORD, (i + 1) * RECORD)),
        );
        expect(set).toMatchObject({ count: records.length, height: 32, width: 32, channels: 3, classes: 10 });
        for (const [i, record] of records.entries()) {
          expect(set.labels![i]).toBe(record[0]);
          expect(set.images[i * 3072 + pixel * 3 + channel]).toBe(record[1 + channel * 1024 + pixel]);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('a folder of them is read, whatever lies beside them and however deep', async () => {
    const { train, test: held } = await readDataset(
      filesOf({
        'cifar-10-batches-bin/data_batch_2.bin': batch(3, 5),
        'cifar-10-batches-bin/data_batch_1.bin': batch(5),
        'cifar-10-batches-bin/test_batch.bin': batch(2),
        'cifar-10-batches-bin/batches.meta.txt': new Uint8Array(9),
        'readme.html': new Uint8Array(9),
      }),
    );
    expect([...train.labels!]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(held.count).toBe(2);
  });

  test('without a test batch, the last seventh is the test', () => {
    const { train, test: held } = cifarDataset('toy', [{ name: 'data_batch_1.bin', bytes: batch(14) }], []);
    expect([train.count, held.count, held.labels![0]]).toEqual([12, 2, 2]);
  });

  test.each<[string, Record<string, Uint8Array>, RegExp]>([
    [
      'cut short',
      { 'data_batch_1.bin': batch(2).slice(0, -5) },
      /^data_batch_1.bin is cut short .* 1 images of 3073 and/,
    ],
    ['empty', { 'data_batch_1.bin': batch(1), 'data_batch_2.bin': new Uint8Array() }, /^data_batch_2.bin is empty/],
    [
      'a label of ten',
      { 'data_batch_1.bin': batch(3).with(2 * RECORD, 10) },
      /data_batch_1.bin, image 2 has the label 10/,
    ],
    ['nothing to train on', { 'test_batch.bin': batch(2) }, /^toy has no data_batch_1.bin/],
  ])('%s', (_, contents, message) => expectDataError(() => readDataset(filesOf(contents)), message));

  test('bytes changed and cut are read or a DataError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(255), fc.boolean(), async (at, value, cut) => {
        const bytes = batch(2);
        const changed = cut ? bytes.slice(0, at % bytes.length) : bytes.with(at % bytes.length, value);
        const outcome = await readDataset(filesOf({ 'data_batch_1.bin': changed })).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(DataError);
        if (cut) expect(outcome).toBeInstanceOf(Error);
      }),
    );
  });
});

describe('formats', () => {
  const [idx, cifar, images] = FORMATS;
  test.each([
    [idx, ['train-images-idx3-ubyte', 'SHA256SUMS', 'README.md']],
    [idx, ['raw/emnist-train-images-idx3-ubyte.gz', 'raw/emnist-train-labels-idx1-ubyte.gz']],
    [cifar, ['a/data_batch_1.bin', 'a/readme.html']],
    [images, ['cats/1.PNG', 'dogs/1.jpeg', 'list.csv']],
    [idx, ['my-images', 'my-labels']],
  ])('are told by names: %#', (format, paths) => {
    expect(recognise(empty(...paths)).format).toBe(format);
  });

  test('their files are found from the folder on that holds them all, and what systems leave behind is not seen', () => {
    const paths = ['top/in/cats/1.png', 'top/in/dogs/1.png', 'top/notes.txt', 'top/._x.png', '__MACOSX/in/cats/1.png'];
    expect(recognise(empty(...paths)).files.paths).toEqual(['cats/1.png', 'dogs/1.png']);
  });

  test.each<[string, string[], RegExp]>([
    ['nothing', [], /^toy is empty: give IDX .*; CIFAR-10.*; PNG or JPEG/],
    ['only what is hidden', ['.DS_Store'], /^toy is empty/],
    [
      'two kinds',
      ['data_batch_1.bin', 'cat.png'],
      /CIFAR-10.*\(data_batch_1.bin\) and PNG .*\(cat.png\): give it one kind/,
    ],
    ['other things', ['a.txt', 'b.txt', 'c.txt', 'd.txt', 'e.txt'], /^toy holds no images that are known: give/],
  ])('%s', (_, paths, message) => expectDataError(() => recognise(empty(...paths)), message));

  test('a few files without a name that tells are IDX files or an error', async () => {
    await expectDataError(
      () => readDataset(filesOf({ 'a.txt': Uint8Array.of(1, 2, 3, 4) })),
      /^a.txt begins with .*0x01020304/,
    );
  });
});

describe('folders of images', () => {
  const show = (entries: readonly { path: string; label?: number }[] = []) =>
    entries.map(({ path, label }) => (label === undefined ? path : `${path}:${label}`)).join(' ');

  test('all in one have no labels, and are sorted', () => {
    const { train, test: held } = arrange('toy', ['b.png', 'B.png', 'a10.png', 'a9.png']);
    expect([show(train), held]).toEqual(['B.png a10.png a9.png b.png', undefined]);
  });

  test('a folder each are classes, which take turns', () => {
    const { train } = arrange('toy', ['y/1', 'x/2', 'x/1', 'y/deep/2', 'x/3', 'x/4']);
    expect(show(train)).toBe('x/1:0 y/1:1 x/2:0 x/3:0 y/deep/2:1 x/4:0');
  });

  test('any stretch has the classes in their shares, and the order of paths does not matter', () => {
    const sizes = fc.array(fc.integer({ min: 7, max: 60 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(sizes, fc.boolean(), (counts, reversed) => {
        const paths = counts.flatMap((count, c) => Array.from({ length: count }, (_, i) => `c${c}/${1000 + i}.png`));
        const { train } = arrange('toy', reversed ? paths.toReversed() : paths);
        expect(train.map(({ path }) => path).toSorted()).toEqual(paths.toSorted());
        if (reversed) expect(train).toEqual(arrange('toy', paths).train);
        const tail = train.slice(train.length - Math.max(1, Math.floor(train.length / 7)));
        if (counts.length === 1) return;
        for (const [c, count] of counts.entries()) {
          const share = tail.filter(({ label }) => label === c).length;
          expect(Math.abs(share - (count * tail.length) / train.length)).toBeLessThan(1.5);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('train and test are splits, each with the classes of the former', () => {
    const { train, test: held } = arrange('toy', ['train/y/1', 'train/x/1', 'test/y/1']);
    expect([show(train), show(held)]).toEqual(['train/x/1:0 train/y/1:1', 'test/y/1:1']);
    expect(show(arrange('toy', ['train/1', 'val/1']).test)).toBe('val/1');
  });

  test('train beside other classes is a class', () => {
    const { train, test: held } = arrange('toy', ['train/1', 'car/1']);
    expect([show(train), held]).toEqual(['car/1:0 train/1:1', undefined]);
  });

  test.each<[string, string[], RegExp]>([
    ['an image beside the classes', ['x/1', 'y/1', 'z'], /toy: z lies beside the folders of classes \(x, …\)/],
    ['a class only in the test', ['train/x/1', 'train/y/1', 'test/z/1'], /test\/z\/1 is of a class .*are x, y$/],
    ['too many classes', Array.from({ length: 257 }, (_, i) => `${i}/1`), /257 folders of classes, and 256/],
  ])('%s', (_, paths, message) => expectDataError(() => arrange('toy', paths), message));
});

describe('resizing', () => {
  const size = fc.integer({ min: 1, max: 12 });
  const shape = fc.record({ height: size, width: size, channels: fc.constantFrom(1, 3, 4) });
  const resize = (from: { height: number; width: number; channels: number }, data: Uint8Array, to: typeof from) => {
    const out = new Uint8Array(to.height * to.width * to.channels);
    new Resizer(from, to).resize(data, out);
    return out;
  };

  test('to the same shape changes nothing', () => {
    fc.assert(
      fc.property(shape, fc.uint8Array({ minLength: 576, maxLength: 576 }), (from, bytes) => {
        const data = bytes.subarray(0, from.height * from.width * from.channels);
        expect(resize(from, data, from)).toEqual(data);
      }),
    );
  });

  test('what is of one colour stays so, and nothing gets brighter or darker than all around', () => {
    fc.assert(
      fc.property(
        shape,
        size,
        fc.uint8Array({ minLength: 576, maxLength: 576 }),
        fc.nat(255),
        (from, side, bytes, v) => {
          const to = { height: side, width: side, channels: from.channels };
          const length = from.height * from.width * from.channels;
          expect(new Set(resize(from, new Uint8Array(length).fill(v), to))).toEqual(new Set([v]));
          const data = bytes.subarray(0, length);
          const [low, high] = [Math.min(...data), Math.max(...data)];
          for (const value of resize(from, data, to)) {
            expect(value).toBeGreaterThanOrEqual(low);
            expect(value).toBeLessThanOrEqual(high);
          }
        },
      ),
    );
  });

  test('mirrored, it gives the mirror image', () => {
    fc.assert(
      fc.property(size, size, fc.uint8Array({ minLength: 144, maxLength: 144 }), (from, to, bytes) => {
        const shapes = [from, to].map((side) => ({ height: side, width: side, channels: 1 })) as [never, never];
        const data = bytes.subarray(0, from * from);
        const mirrored = resize(shapes[0], data.toReversed(), shapes[1]).toReversed();
        resize(shapes[0], data, shapes[1]).forEach((value, i) => {
          expect(Math.abs(value - mirrored[i]!)).toBeLessThanOrEqual(1);
        });
      }),
    );
  });

  // The numbers are those of Pillow, Image.fromarray(row).resize((n, 1), Image.BILINEAR) on floats, rounded.
  test.each<[number[], number, number[]]>([
    [[0, 0, 255, 255], 2, [36, 219]],
    [[10, 200], 4, [10, 58, 153, 200]],
    [[0, 60, 120, 180, 240], 3, [26, 120, 214]],
    [[0, 10, 200, 30, 90, 250, 7], 3, [47, 96, 129]],
    [[5, 250, 40], 7, [5, 40, 145, 250, 160, 70, 40]],
  ])('%j to %i is %j', (row, to, expected) => {
    const from = { height: row.length, width: row.length, channels: 1 };
    const data = Uint8Array.from(row.flatMap(() => row));
    const out = resize(from, data, { height: to, width: to, channels: 1 });
    for (let y = 0; y < to; y++) expect([...out.subarray(y * to, (y + 1) * to)]).toEqual(expected);
  });

  test('takes the square in the middle', () => {
    const wide = { height: 1, width: 5, channels: 1 };
    expect([...resize(wide, Uint8Array.of(1, 2, 3, 4, 5), { height: 1, width: 1, channels: 1 })]).toEqual([3]);
    const tall = { height: 4, width: 2, channels: 1 };
    expect([...resize(tall, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), { height: 2, width: 2, channels: 1 })]).toEqual([
      3, 4, 5, 6,
    ]);
  });

  test('grey is luma, and colour from grey is grey', () => {
    const pixel = (channels: number) => ({ height: 1, width: 1, channels });
    expect([...resize(pixel(3), Uint8Array.of(255, 0, 0), pixel(1))]).toEqual([76]);
    expect([...resize(pixel(4), Uint8Array.of(0, 255, 0, 9), pixel(1))]).toEqual([150]);
    expect([...resize(pixel(4), Uint8Array.of(1, 2, 3, 9), pixel(3))]).toEqual([1, 2, 3]);
    expect([...resize(pixel(1), Uint8Array.of(7), pixel(3))]).toEqual([7, 7, 7]);
  });

  test('a data set gets the look wanted, and is left alone where it has it', () => {
    const set = readCifar([{ name: 'b', bytes: batch(3) }]);
    const dataset = { name: 'toy', train: set, test: set };
    expect(withLook(dataset, { size: 32, colors: 'rgb' }).train).toBe(set);
    const { train } = withLook(dataset, { size: 8, colors: 'grey' });
    expect(train).toMatchObject({ count: 3, height: 8, width: 8, channels: 1, classes: 10, labels: set.labels });
    expect(train.images.length).toBe(192);
  });
});

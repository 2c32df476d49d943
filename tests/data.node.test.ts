// Image sets, IDX files good and bad, and the drawn digits.
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { strokeDigits } from '../src/data/digits.ts';
import { datasetFromFiles, readIdx, readIdxDataset } from '../src/data/idx.ts';
import { checkStatedSize, statedSize } from '../src/data/image_header.ts';
import { checkDataset, checkImageSet, type ImageSet, splitImages } from '../src/data/images.ts';
import { DataError, OptionError } from '../src/errors.ts';

function idx(magic: number, sizes: number[], data: Iterable<number>): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * sizes.length));
  [magic, ...sizes].forEach((word, i) => {
    header.setUint32(4 * i, word);
  });
  return Uint8Array.from([...new Uint8Array(header.buffer), ...data]);
}

const counting = (length: number) => Array.from({ length }, (_, i) => i % 251);
const imagesFile = (count: number, size = 2) => idx(0x803, [count, size, size], counting(count * size * size));
const labelsFile = (count: number, classes = 3) =>
  idx(
    0x801,
    [count],
    Array.from({ length: count }, (_, i) => i % classes),
  );

/** A folder of files in memory, which notes what it was asked for. */
function folder(files: Record<string, Uint8Array>, asked: string[] = []) {
  return async (name: string) => files[asked.push(name) && name];
}

function imageSet(changes: Partial<ImageSet> = {}): ImageSet {
  const [images, labels] = [new Uint8Array(24), Uint8Array.of(0, 1)];
  return { images, labels, count: 2, height: 3, width: 2, channels: 2, classes: 2, ...changes };
}

/** Expects a DataError of one line that says all of this. */
async function expectDataError(work: () => unknown, ...parts: (string | RegExp)[]): Promise<void> {
  const error: unknown = await (async () => work())().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DataError);
  const { message } = error as DataError;
  expect(message).not.toContain('\n');
  for (const part of parts) expect(message).toMatch(part);
}

describe('image sets', () => {
  test('a sound set passes, with labels and without', () => {
    checkImageSet(imageSet(), 'sound');
    checkImageSet(imageSet({ labels: undefined, classes: 0 }), 'sound');
    checkDataset({ name: 'sound', train: imageSet(), test: imageSet({ classes: 1, labels: Uint8Array.of(0, 0) }) });
  });

  test.each<[string, Partial<ImageSet>, RegExp]>([
    ['no images', { count: 0, images: new Uint8Array() }, /odd has no images/],
    ['a fractional size', { width: 1.5 }, /odd has width 1.5/],
    ['too few bytes', { images: new Uint8Array(23) }, /2 images of 3×2×2, which is 24 bytes, and has 23/],
    ['too few labels', { labels: Uint8Array.of(1) }, /2 images and 1 labels/],
    [
      'a label beyond the classes',
      { labels: Uint8Array.of(0, 2) },
      /labels up to 2 and says 2 classes: it must say 3 or more$/,
    ],
    ['classes without labels', { labels: undefined }, /no labels and says 2 classes: it must say 0$/],
  ])('%s', (_, changes, message) => expectDataError(() => checkImageSet(imageSet(changes), 'odd'), message));

  test.each<[string, Partial<ImageSet>, RegExp]>([
    ['other sizes', { height: 2, width: 3 }, /training images are 3×2×2 and test images 2×3×2/],
    ['labels in one split only', { labels: undefined, classes: 0 }, /training images have labels and the test/],
    ['more classes in the test', { classes: 3 }, /3 classes in test, 2 in training/],
  ])('%s', (_, changes, message) => {
    return expectDataError(() => checkDataset({ name: 'odd', train: imageSet(), test: imageSet(changes) }), message);
  });

  test.each([
    [2, 1],
    [13, 1],
    [14, 2],
  ])('of %i images, %i are split off for the test, from the end', (count, expected) => {
    const images = Uint8Array.from({ length: count }, (_, i) => i);
    const set = { images, labels: images, count, height: 1, width: 1, channels: 1, classes: count };
    const dataset = splitImages('split', set);
    checkDataset(dataset);
    expect(dataset.test.count).toBe(expected);
    for (const key of ['images', 'labels'] as const) {
      expect([...dataset.train[key]!, ...dataset.test[key]!]).toEqual([...images]);
    }
  });

  test('one image cannot be split', () => {
    const set = imageSet({ count: 1, images: new Uint8Array(12), labels: undefined, classes: 0 });
    return expectDataError(() => splitImages('lonely', set), /lonely has 1 image/);
  });
});

describe('the size that an image states', () => {
  const png = (width: number, height: number) => {
    const file = Buffer.alloc(33);
    file.write('\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'latin1');
    file.writeUInt32BE(width, 16);
    file.writeUInt32BE(height, 20);
    return file;
  };
  /** A segment of a comment, fill bytes, and the frame. */
  const jpeg = (width: number, height: number, frame = 0xc2) => {
    const start = [0xff, 0xd8, 0xff, 0xfe, 0, 5, 1, 2, 3, 0xff, 0xff, 0xff, frame, 0, 17, 8];
    return Buffer.from([...start, height >> 8, height & 255, width >> 8, width & 255, 3]);
  };

  test('is read of PNG and JPEG, and of nothing else', () => {
    expect(statedSize(png(300, 200))).toEqual({ width: 300, height: 200 });
    expect(statedSize(jpeg(300, 200))).toEqual({ width: 300, height: 200 });
    for (const bytes of [Buffer.alloc(0), png(3, 2).subarray(0, 20), jpeg(3, 2, 0xc4), Buffer.from('GIF89a')])
      expect(statedSize(bytes)).toBeUndefined();
  });

  test('is refused before anything is decoded', async () => {
    expect(() => checkStatedSize(png(11648, 8736), 'camera.png')).not.toThrow();
    await expectDataError(
      () => checkStatedSize(png(65535, 65535), 'a.png'),
      /a\.png has 65535×65535 pixels, and \d+ are/,
    );
    await expectDataError(() => checkStatedSize(jpeg(65500, 65500), 'a.jpg'), /a\.jpg has 65500×65500 pixels/);
  });
});

describe('IDX files', () => {
  /** Unpacks to 32 MB more than the sizes say. */
  const bomb = (sizes: number[]) =>
    new Uint8Array(gzipSync(Buffer.concat([idx(0x803, sizes, []), Buffer.alloc(32e6)])));
  const anyFile = fc
    .record({ sizes: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }), gzip: fc.boolean() })
    .filter(({ sizes }) => sizes.length !== 2)
    .chain(({ sizes, gzip }) => {
      const length = sizes.reduce((product, size) => product * size, 1);
      return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ sizes, gzip, data }));
    });
  const build = ({ sizes, gzip, data }: { sizes: number[]; gzip: boolean; data: Uint8Array }) => {
    const bytes = idx(0x800 + sizes.length, sizes, data);
    return gzip ? new Uint8Array(gzipSync(bytes)) : bytes;
  };

  test('what was written is read, gzipped or not', async () => {
    await fc.assert(
      fc.asyncProperty(anyFile, async (file) => {
        const { kind, sizes, bytes } = await readIdx(build(file), 'any');
        expect(kind).toBe(file.sizes.length === 1 ? 'labels' : 'images');
        expect(sizes).toEqual(file.sizes.length === 3 ? [...file.sizes, 1] : file.sizes);
        expect(bytes).toEqual(file.data);
      }),
    );
  });

  test('a changed byte or a cut is read or is a DataError, never another error', async () => {
    await fc.assert(
      fc.asyncProperty(anyFile, fc.nat(), fc.nat(255), fc.boolean(), async (file, at, value, cut) => {
        const bytes = build(file);
        const changed = cut ? bytes.slice(0, at % bytes.length) : bytes.with(at % bytes.length, value);
        const outcome = await readIdx(changed, 'any').catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(DataError);
        if (cut) expect(outcome).toBeInstanceOf(DataError);
      }),
      { numRuns: 500 },
    );
  });

  test.each<[string, Uint8Array, 'images' | 'labels' | undefined, (string | RegExp)[]]>([
    ['nothing', new Uint8Array(), undefined, ['f is no IDX file: it has 0 bytes']],
    ['labels for images', labelsFile(3), 'images', ['f begins', '0x00000801', 'expected 0x00000803', /a labels file/]],
    ['images for labels', imagesFile(3), 'labels', ['0x00000803', 'expected 0x00000801:', /an images file/]],
    ['floats', idx(0xd03, [1, 1, 1], counting(4)), undefined, ['0x00000d03', /holds floats/]],
    ['a web page', new TextEncoder().encode('<!doctype html>'), undefined, [/a web page/]],
    ['a ZIP archive', new TextEncoder().encode('PK\x03\x04…'), undefined, [/unpack it/]],
    ['half a header', imagesFile(3).slice(0, 9), undefined, [/cut short: its header has 16 bytes, the file 9/]],
    ['too little', imagesFile(3).slice(0, 20), undefined, [/cut short: .*promises 12 bytes \(3×2×2\), there are 4/]],
    ['too much', idx(0x801, [2], [0, 1, 2]), undefined, [/too long: .*promises 2 bytes .*there are 3 or more/]],
    ['no images', idx(0x803, [0, 28, 28], []), undefined, [/empty: its sizes are 0×28×28/]],
    ['absurd sizes', idx(0x804, Array(4).fill(0xffffffff), [1]), undefined, [/cut short/]],
    ['a gzip bomb', bomb([3, 2, 2]), undefined, [/too long: .*promises 12 bytes .*there are 13 or more/]],
    [
      'a gzip bomb that says so',
      bomb([60000, 65535, 65535]),
      undefined,
      [/would unpack to \d{15} bytes .*more than is/],
    ],
    ['half a gzip file', new Uint8Array(gzipSync(imagesFile(3)).subarray(0, 30)), undefined, [/f does not unpack/]],
  ])('%s', (_, bytes, kind, parts) => expectDataError(() => readIdx(bytes, 'f', kind), ...parts));
});

describe('data sets of IDX files', () => {
  test.each([
    ['-', '', (bytes: Uint8Array) => bytes],
    ['.', '', (bytes: Uint8Array) => bytes],
    ['-', '.gz', (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes))],
    // A server may unpack on the way.
    ['.', '.gz', (bytes: Uint8Array) => bytes],
  ])('four files named with "%s" and "%s"', async (mark, ending, pack) => {
    const files = {
      [`train-images${mark}idx3-ubyte${ending}`]: pack(imagesFile(6)),
      [`train-labels${mark}idx1-ubyte${ending}`]: pack(labelsFile(6)),
      [`t10k-images${mark}idx3-ubyte${ending}`]: pack(imagesFile(2)),
      [`t10k-labels${mark}idx1-ubyte${ending}`]: pack(labelsFile(2)),
    };
    const { name, train, test } = await readIdxDataset('toy', folder(files));
    expect(name).toBe('toy');
    expect(train).toMatchObject({ count: 6, height: 2, width: 2, channels: 1, classes: 3 });
    expect([...train.images]).toEqual(counting(24));
    expect([...train.labels!]).toEqual([0, 1, 2, 0, 1, 2]);
    expect(test).toMatchObject({ count: 2, classes: 2 });
  });

  test('without labels and without a test, labels are absent and the last seventh is the test', async () => {
    const { train, test } = await readIdxDataset('toy', folder({ 'train-images-idx3-ubyte': imagesFile(14) }));
    expect([train.count, test.count, train.classes]).toEqual([12, 2, 0]);
    expect(train.labels ?? test.labels).toBeUndefined();
  });

  test('missing training images are an error that says which names were tried', async () => {
    const asked: string[] = [];
    const files = { 't10k-images-idx3-ubyte': imagesFile(2) };
    await expectDataError(() => readIdxDataset('toy', folder(files, asked)), /toy has no training images/);
    expect(asked).toContain('train-images.idx3-ubyte.gz');
    for (const name of asked) await expectDataError(() => readIdxDataset('toy', folder(files)), name);
  });

  test.each<[string, Record<string, Uint8Array>, RegExp]>([
    [
      'counts that differ',
      { 'train-labels-idx1-ubyte': labelsFile(5) },
      /has 6 images and train-labels.* has 5 labels/,
    ],
    ['swapped files', { 'train-labels-idx1-ubyte': imagesFile(6) }, /train-labels-idx1-ubyte .*an images file/],
    ['other sizes', { 't10k-images-idx3-ubyte': imagesFile(2, 3) }, /2×2×1 and test images 3×3×1/],
    ['orphaned test labels', { 't10k-labels-idx1-ubyte': labelsFile(5) }, /t10k-labels-idx1-ubyte without its images/],
  ])('%s', (_, files, message) => {
    const all = { 'train-images-idx3-ubyte': imagesFile(6), ...files };
    return expectDataError(() => readIdxDataset('toy', folder(all)), message);
  });

  test('dropped files are told apart by content and name, in any order', async () => {
    const files = [
      { name: 'mnist-test.labels', bytes: labelsFile(2) },
      { name: 'a-latest-train.bin', bytes: imagesFile(6) },
      { name: 'T10K.gz', bytes: new Uint8Array(gzipSync(imagesFile(2))) },
      { name: 'train.labels', bytes: labelsFile(6) },
    ];
    for (const order of [files, files.toReversed()]) {
      const { name, train, test } = await datasetFromFiles(order);
      expect(name).toBe('a-latest-train.bin');
      expect([train.count, train.labels?.length, test.count, test.labels?.length]).toEqual([6, 6, 2, 2]);
    }
  });

  test('one dropped file of images is split, with the labels where there are any', async () => {
    const images = { name: 'pictures', bytes: imagesFile(14) };
    const { train, test } = await datasetFromFiles([images, { name: 'labels', bytes: labelsFile(14) }]);
    expect([train.labels?.length, test.labels?.length, test.classes]).toEqual([12, 2, 3]);
    expect((await datasetFromFiles([images])).train.labels).toBeUndefined();
  });

  test.each<[string, Record<string, Uint8Array>, RegExp]>([
    ['nothing', {}, /no files/],
    ['labels only', { marks: labelsFile(3) }, /only labels in marks/],
    ['two of one kind', { a: imagesFile(3), b: imagesFile(3) }, /of a and b, one must be training images/],
    ['labels for one of two', { train: imagesFile(3), test: imagesFile(3), c: labelsFile(3) }, /of c, one must be/],
    ['too many labels', { a: imagesFile(3), b: labelsFile(3), c: labelsFile(3) }, /a, several of labels in b and c/],
    ['counts that differ', { a: imagesFile(3), b: labelsFile(4) }, /a has 3 images and b has 4 labels/],
    ['no IDX file', { 'cat.png': Uint8Array.of(0x89, 0x50, 0x4e, 0x47) }, /cat.png .*0x89504e47/],
  ])('dropped: %s', (_, files, message) => {
    const named = Object.entries(files).map(([name, bytes]) => ({ name, bytes }));
    return expectDataError(() => datasetFromFiles(named), message);
  });
});

describe('stroke digits', () => {
  const dataset = strokeDigits({ train: 2000, test: 500 });
  const image = ({ images }: ImageSet, index: number) => images.subarray(index * 784, (index + 1) * 784);

  test('they are a sound data set, balanced and shuffled', () => {
    checkDataset(dataset);
    expect(dataset.train).toMatchObject({ count: 2000, height: 28, width: 28, channels: 1, classes: 10 });
    const shares = Array(10).fill(0);
    for (const label of dataset.train.labels!) shares[label]++;
    expect(shares).toEqual(Array(10).fill(200));
    expect(new Set(dataset.train.labels!.subarray(0, 10)).size).toBeLessThan(10);
  });

  test('the same seed gives the same bytes; another seed, the other split and another image do not', () => {
    const [once, again, other] = [0, 0, 1].map((seed) => strokeDigits({ seed, train: 100, test: 100 }));
    expect(once).toEqual(again);
    expect(once!.train.images).not.toEqual(other!.train.images);
    expect(once!.train.images).not.toEqual(once!.test.images);
    const distinct = new Set(Array.from({ length: 2000 }, (_, i) => image(dataset.train, i).join()));
    expect(distinct.size).toBe(2000);
  });

  test('they are white on black, thin and centred', () => {
    for (let i = 0; i < dataset.test.count; i++) {
      const pixels = image(dataset.test, i);
      expect(Math.max(...pixels)).toBeGreaterThan(150);
      let [mass, x, y] = [0, 0, 0];
      pixels.forEach((value, at) => {
        mass += value;
        x += value * (at % 28);
        y += value * Math.floor(at / 28);
      });
      expect(mass / 784 / 255).toBeLessThan(0.35);
      expect(Math.abs(x / mass - 13.5)).toBeLessThan(3);
      expect(Math.abs(y / mass - 13.5)).toBeLessThan(3);
    }
  });

  test('a digit looks like others of its label: the nearest training image names it', () => {
    const distance = (a: Uint8Array, b: Uint8Array) => a.reduce((sum, value, at) => sum + (value - b[at]!) ** 2, 0);
    const probes = Array.from({ length: 100 }, (_, i) => i);
    const right = probes.filter((probe) => {
      const pixels = image(dataset.test, probe);
      let [nearest, least] = [0, Number.POSITIVE_INFINITY];
      for (let i = 0; i < dataset.train.count; i++) {
        const far = distance(pixels, image(dataset.train, i));
        if (far < least) [nearest, least] = [i, far];
      }
      return dataset.train.labels![nearest] === dataset.test.labels![probe];
    });
    expect(right.length).toBeGreaterThan(90);
  });

  test('the size is free, and the strokes grow with it', () => {
    const ink = [14, 28, 56].map((size) => {
      const { train } = strokeDigits({ train: 50, test: 1, size });
      expect(train.images.length).toBe(50 * size * size);
      return train.images.reduce((sum, value) => sum + value, 0) / train.images.length;
    });
    expect(ink[0]! / ink[1]!).toBeCloseTo(1, 1);
    expect(ink[2]! / ink[1]!).toBeCloseTo(1, 1);
  });

  test.each([{ train: 0 }, { test: 1.5 }, { size: 7 }, { seed: Number.NaN }])('%o is refused', (options) => {
    expect(() => strokeDigits(options)).toThrow(OptionError);
  });
});

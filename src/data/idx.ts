// IDX, the format of MNIST and its relatives: a magic number, the sizes (u32, big-endian), and the bytes.
import { DataError } from '../errors.ts';
import { checkDataset, countClasses, type Dataset, type ImageSet, splitImages } from './images.ts';

/** What an IDX file holds: images [count, height, width, channels] or labels [count]. */
export type IdxContent =
  | { readonly kind: 'images'; readonly sizes: readonly [number, number, number, number]; readonly bytes: Uint8Array }
  | { readonly kind: 'labels'; readonly sizes: readonly [number]; readonly bytes: Uint8Array };

/** A file that was picked or dropped by hand. */
export interface NamedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface IdxFile {
  readonly name: string;
  readonly content: IdxContent;
}

/** By magic number: two zero bytes, the element type (8 is u8), the number of dimensions. */
const KINDS = new Map<number, IdxContent['kind']>([
  [0x0801, 'labels'],
  [0x0803, 'images'],
  [0x0804, 'images'],
]);

/** The element types that the format also knows, by their code. */
const OTHER_TYPES: Record<number, string> = {
  9: 'signed bytes',
  11: '16-bit integers',
  12: '32-bit integers',
  13: 'floats',
  14: 'doubles',
};

/**
 * Reads one IDX file of bytes, gzipped or not.
 *
 * @param name the file's name, for messages
 * @param kind what it has to hold; without, either will do
 * @throws DataError if it is cut short, damaged, empty, too long, or of another kind
 */
export async function readIdx(bytes: Uint8Array, name: string, kind?: IdxContent['kind']): Promise<IdxContent> {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return parseIdx(isGzip ? await gunzip(bytes, name) : bytes, name, kind);
}

/**
 * Reads a data set from files of the usual names (train-images-idx3-ubyte, …, t10k-labels-idx1-ubyte; gzipped as .gz;
 * also with a dot, train-images.idx3-ubyte). Labels are optional. Without test images, the last seventh of the training
 * images becomes the test.
 *
 * @param name the data set's name
 * @param fetchFile gives a file's bytes, or undefined if there is no such file
 * @throws DataError if the training images are missing, a file is damaged, or the files do not fit one another
 */
export async function readIdxDataset(
  name: string,
  fetchFile: (fileName: string) => Promise<Uint8Array | undefined>,
): Promise<Dataset> {
  const find = async (split: 'train' | 't10k', kind: IdxContent['kind']): Promise<IdxFile | undefined> => {
    for (const candidate of fileNames(split, kind)) {
      const bytes = await fetchFile(candidate);
      if (bytes) return { name: candidate, content: await readIdx(bytes, candidate, kind) };
    }
    return undefined;
  };
  const images = await find('train', 'images');
  if (!images) {
    throw new DataError(`${name} has no training images: none of ${fileNames('train', 'images').join(', ')} was found`);
  }
  const train = imageSet(images, await find('train', 'labels'));
  const [testImages, testLabels] = [await find('t10k', 'images'), await find('t10k', 'labels')];
  if (testImages) return dataset(name, train, imageSet(testImages, testLabels));
  if (testLabels) {
    throw new DataError(`${name} has ${testLabels.name} without its images: add them, or take the labels away`);
  }
  return splitImages(name, train);
}

/**
 * Makes a data set of files that someone dropped: images and labels are told by content, training and test by name
 * (train; t10k or test). From a single file of images, the last seventh becomes the test.
 *
 * @throws DataError if a file is no IDX file, or if it is unclear which files belong together
 */
export async function datasetFromFiles(files: readonly NamedFile[]): Promise<Dataset> {
  const read = await Promise.all(files.map(async ({ name, bytes }) => ({ name, content: await readIdx(bytes, name) })));
  const ofKind = (kind: IdxContent['kind']) => read.filter(({ content }) => content.kind === kind);
  const [images, labels] = [ofKind('images'), ofKind('labels')];
  const [only, another] = images;
  if (!only) {
    const got = files.length > 0 ? `only labels in ${listNames(files)}` : 'no files';
    throw new DataError(`${got}: give the images too, such as train-images-idx3-ubyte`);
  }
  if (!another) {
    if (labels.length > 1) {
      throw new DataError(
        `one file of images, ${only.name}, several of labels in ${listNames(labels)}: give those that belong to it`,
      );
    }
    return splitImages(only.name, imageSet(only, labels[0]));
  }
  const [train, test] = pair(images);
  const [trainLabels, testLabels] = labels.length > 0 ? pair(labels) : [];
  return dataset(train.name, imageSet(train, trainLabels), imageSet(test, testLabels));
}

/** The usual names: a row each file. */
export const IDX_NAMES: readonly (readonly string[])[] = (['train', 't10k'] as const).flatMap((split) => [
  fileNames(split, 'images'),
  fileNames(split, 'labels'),
]);

function fileNames(split: 'train' | 't10k', kind: IdxContent['kind']): string[] {
  const type = kind === 'images' ? 'idx3-ubyte' : 'idx1-ubyte';
  return ['-', '.'].flatMap((mark) => ['', '.gz'].map((ending) => `${split}-${kind}${mark}${type}${ending}`));
}

function listNames(files: readonly { readonly name: string }[]): string {
  return files.map(({ name }) => name).join(' and ');
}

/** The training file and the test file of two. */
function pair(files: readonly IdxFile[]): [train: IdxFile, test: IdxFile] {
  const isTest = ({ name }: IdxFile) => /(^|[^a-z])(t10k|test)/i.test(name);
  const [train, ...moreTrain] = files.filter((file) => !isTest(file));
  const [test, ...moreTest] = files.filter(isTest);
  if (!train || !test || moreTrain.length > 0 || moreTest.length > 0) {
    const kind = files[0]?.content.kind;
    throw new DataError(
      `of ${listNames(files)}, one must be training ${kind} and one, with t10k or test in its name, test ${kind}`,
    );
  }
  return [train, test];
}

function imageSet({ name, content }: IdxFile, labels: IdxFile | undefined): ImageSet {
  const [count, height = 1, width = 1, channels = 1] = content.sizes;
  if (labels && labels.content.bytes.length !== count) {
    const got = labels.content.bytes.length;
    throw new DataError(
      `${name} has ${count} images and ${labels.name} has ${got} labels: they do not belong together`,
    );
  }
  const marks = labels && { labels: labels.content.bytes };
  return { images: content.bytes, ...marks, count, height, width, channels, classes: countClasses(marks?.labels) };
}

function dataset(name: string, train: ImageSet, test: ImageSet): Dataset {
  const made = { name, train, test };
  checkDataset(made);
  return made;
}

/** Unpacks as many bytes as the header promises, and one more if there are any: what a small file unpacks to may be huge. */
async function gunzip(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  const inflated = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream('gzip'));
  const reader = inflated.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  const begin = new Uint8Array(LONGEST_HEADER);
  let into: Uint8Array | undefined;
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return (into ?? begin).subarray(0, length);
      let rest = value;
      if (!into) {
        const some = rest.subarray(0, LONGEST_HEADER - length);
        begin.set(some, length);
        length += some.length;
        rest = rest.subarray(some.length);
        if (length < LONGEST_HEADER) continue;
        into = roomFor(begin, name);
        into.set(begin.subarray(0, into.length));
      }
      const room = into.length - length;
      if (room > 0) into.set(rest.subarray(0, room), length);
      length = Math.min(into.length, length + rest.length);
      if (rest.length < room) continue;
      await reader.cancel();
      return into;
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`${name} does not unpack: the gzip file is cut short or damaged; fetch it again`, { cause });
  }
}

/** Of four dimensions. */
const LONGEST_HEADER = 20;
/** Bytes of one file. */
const MOST_BYTES = 2 ** 32;

/** Room for all that a file holds by its beginning, and a byte more; for that alone, if it is no file of this format. */
function roomFor(begin: Uint8Array, name: string): Uint8Array {
  const view = new DataView(begin.buffer);
  const magic = view.getUint32(0);
  if (!KINDS.has(magic)) return new Uint8Array(LONGEST_HEADER);
  const { start, promised, sizes } = headerOf(view);
  const tooMuch = (cause?: unknown) =>
    new DataError(`${name} would unpack to ${promised} bytes (${sizes.join('×')}): that is more than is read`, {
      cause,
    });
  if (promised > MOST_BYTES) throw tooMuch();
  try {
    return new Uint8Array(Math.max(LONGEST_HEADER, start + promised + 1));
  } catch (cause) {
    throw tooMuch(cause);
  }
}

/** Where the bytes begin, and how many a header promises. */
function headerOf(view: DataView) {
  const dimensions = view.getUint32(0) & 0xff;
  const sizes = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  return { start: 4 + 4 * dimensions, sizes, promised: sizes.reduce((product, size) => product * size, 1) };
}

function parseIdx(bytes: Uint8Array, name: string, wanted: IdxContent['kind'] | undefined): IdxContent {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4) throw new DataError(`${name} is no IDX file: it has ${bytes.length} bytes`);
  const magic = view.getUint32(0);
  const kind = KINDS.get(magic);
  if (!kind || (wanted && kind !== wanted)) {
    const expected = [...KINDS].filter(([, each]) => !wanted || each === wanted).map(([number]) => hex(number));
    throw new DataError(
      `${name} begins with the magic number ${hex(magic)}, expected ${expected.join(' or ')}: ${guess(magic)}`,
    );
  }
  const end = 4 + 4 * (magic & 0xff);
  if (bytes.length < end) {
    throw new DataError(`${name} is cut short: its header has ${end} bytes, the file ${bytes.length}`);
  }
  const { start, sizes, promised } = headerOf(view);
  if (sizes.includes(0)) throw new DataError(`${name} is empty: its sizes are ${sizes.join('×')}`);
  const rest = bytes.length - start;
  if (rest !== promised) {
    const [what, more] = rest < promised ? ['is cut short', ''] : ['is too long', ' or more'];
    throw new DataError(
      `${name} ${what}: its header promises ${promised} bytes (${sizes.join('×')}), there are ${rest}${more}`,
    );
  }
  const [count = 0, height = 1, width = 1, channels = 1] = sizes;
  const data = bytes.subarray(start);
  return kind === 'labels'
    ? { kind, sizes: [count], bytes: data }
    : { kind, sizes: [count, height, width, channels], bytes: data };
}

function guess(magic: number): string {
  const kind = KINDS.get(magic);
  if (kind) return `this is ${kind === 'labels' ? 'a labels' : 'an images'} file`;
  const type = OTHER_TYPES[magic >> 8];
  if (type) return `this file holds ${type}, and only unsigned bytes are read`;
  if (magic === 0x504b0304) return 'this is a ZIP archive, unpack it first';
  // <!do, <htm: what many servers answer in place of a file that they do not have.
  if ((magic | 0x00202020) === 0x3c21646f || (magic | 0x00202020) === 0x3c68746d) return 'this is a web page';
  return 'this is no IDX file of images or labels';
}

function hex(magic: number): string {
  return `0x${magic.toString(16).padStart(8, '0')}`;
}

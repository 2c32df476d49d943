// Folders of PNG and JPEG files, decoded by the browser: a class each folder, where there are folders.
import { DataError } from '../errors.ts';
import { type Files, fileName, type ReadProgress } from './files.ts';
import { checkStatedSize, HEADER_BYTES } from './image_header.ts';
import { checkDataset, countClasses, type Dataset, type ImageSet, splitImages } from './images.ts';
import { centre, channelsOf, type Look, Resizer, roomFor } from './resize.ts';

/** The side of images when nothing was said, unless they are smaller. */
const SIDE = 64;

/** Images decoded at a time, each whole: enough to keep the browser's decoders busy, few enough for their memory. */
const AT_ONCE = 4;

/** Labels are bytes. */
const MOST_CLASSES = 256;

/** Folders that divide a data set; the first of those for the test that is there is the test. */
const TRAIN = 'train';
const TESTS = ['test', 'val', 'valid', 'validation'];

/** An image to be read, and its class where it has one. */
export interface Entry {
  readonly path: string;
  readonly label?: number;
}

export interface Arrangement {
  readonly train: readonly Entry[];
  /** Where a folder says so; without, the end of the training images is to be split off. */
  readonly test?: readonly Entry[];
}

/**
 * Tells classes and splits from the folders that images lie in, in an order that hangs on the names alone: sorted, and
 * classes take turns, each in its share, so that every stretch of the images has all of them.
 *
 * @throws DataError if it is unclear what belongs to what
 */
export function arrange(name: string, paths: readonly string[]): Arrangement {
  const sorted = [...paths].sort();
  const folders = new Set(sorted.map(folderOf));
  if (!folders.has(TRAIN) || [...folders].some((folder) => folder !== TRAIN && !TESTS.includes(folder ?? ''))) {
    return { train: labelled(name, sorted, '', classesIn(name, sorted, '')) };
  }
  const inside = (folder: string) => sorted.filter((path) => path.startsWith(`${folder}/`));
  const classes = classesIn(name, inside(TRAIN), `${TRAIN}/`);
  const train = labelled(name, inside(TRAIN), `${TRAIN}/`, classes);
  const test = TESTS.find((folder) => folders.has(folder));
  return test === undefined ? { train } : { train, test: labelled(name, inside(test), `${test}/`, classes) };
}

/** The first folder on the way to a file, if there is one. */
function folderOf(path: string): string | undefined {
  const slash = path.indexOf('/');
  return slash < 0 ? undefined : path.slice(0, slash);
}

function classesIn(name: string, paths: readonly string[], prefix: string): string[] {
  const folders = new Set(paths.map((path) => folderOf(path.slice(prefix.length))));
  const classes = [...folders].filter((folder) => folder !== undefined);
  if (classes.length > 0 && folders.has(undefined)) {
    const stray = paths.find((path) => folderOf(path.slice(prefix.length)) === undefined);
    throw new DataError(
      `${name}: ${stray} lies beside the folders of classes (${classes[0]}, …): put it into one, or take it away`,
    );
  }
  if (classes.length > MOST_CLASSES) {
    throw new DataError(`${name} has ${classes.length} folders of classes, and ${MOST_CLASSES} are the most`);
  }
  return classes;
}

function labelled(name: string, paths: readonly string[], prefix: string, classes: readonly string[]): Entry[] {
  if (classes.length === 0) return paths.map((path) => ({ path }));
  const byClass = new Map(classes.map((folder) => [folder, [] as string[]]));
  for (const path of paths) {
    const own = byClass.get(folderOf(path.slice(prefix.length)) ?? '');
    if (!own) {
      throw new DataError(
        `${name}: ${path} is of a class that no training image has: the classes are ${list(classes)}`,
      );
    }
    own.push(path);
  }
  const turns = [...byClass.values()].flatMap((own, label) =>
    own.map((path, i) => ({ path, label, turn: (i + 0.5) / own.length })),
  );
  return turns.sort((a, b) => a.turn - b.turn || a.label - b.label).map(({ path, label }) => ({ path, label }));
}

function list(names: readonly string[]): string {
  return names.length > 6 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
}

/**
 * Reads a folder of images: in colour, cropped to the square in the middle and at most 64 pixels wide
 * by default. Colours are those of the file, whatever profile it has; what is transparent becomes white.
 *
 * @throws DataError if an image cannot be decoded, or if folders leave it unclear what belongs to what
 */
export async function readImageFiles(files: Files, look: Look, progress: ReadProgress): Promise<Dataset> {
  const { train, test } = arrange(files.name, files.paths);
  const size = look.size ?? (await usualSize(files, train[0]!.path));
  const total = train.length + (test?.length ?? 0);
  const read = (entries: readonly Entry[], before: number) =>
    readSet(files, entries, { size, channels: channelsOf(look, 3) }, (done) => progress(before + done, total));
  const set = await read(train, 0);
  if (!test) return splitImages(files.name, set);
  const dataset = { name: files.name, train: set, test: await read(test, train.length) };
  checkDataset(dataset);
  return dataset;
}

async function usualSize(files: Files, path: string): Promise<number> {
  const bitmap = await decode(files, path);
  const { height, width } = bitmap;
  bitmap.close();
  return Math.min(SIDE, height, width);
}

async function readSet(
  files: Files,
  entries: readonly Entry[],
  { size, channels }: { size: number; channels: number },
  progress: (done: number) => void,
): Promise<ImageSet> {
  const shape = { height: size, width: size, channels };
  const images = roomFor(entries.length, shape, files.name);
  const square = new Square(size, channels);
  const length = size * size * channels;
  let [next, done, failed] = [0, 0, false];
  const work = async () => {
    while (next < entries.length && !failed) {
      const i = next++;
      const { path } = entries[i]!;
      try {
        const bitmap = await decode(files, path);
        square.take(bitmap, path, images.subarray(i * length, (i + 1) * length));
      } catch (error) {
        failed = true;
        throw error;
      }
      progress(++done);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const isLabelled = entries[0]?.label !== undefined;
  const labels = isLabelled ? Uint8Array.from(entries, ({ label }) => label!) : undefined;
  return { images, ...(labels && { labels }), count: entries.length, ...shape, classes: countClasses(labels) };
}

async function decode(files: Files, path: string): Promise<ImageBitmap> {
  const blob = await files.read(path);
  checkStatedSize(new Uint8Array(await blob.slice(0, HEADER_BYTES).arrayBuffer()), fileName(path));
  try {
    return await createImageBitmap(blob, { colorSpaceConversion: 'none' });
  } catch (cause) {
    throw new DataError(`${files.name}: ${path} is no image that this browser can read, or is damaged`, { cause });
  }
}

/** Squares cut out of decoded images, one at a time. */
class Square {
  private readonly to: { readonly height: number; readonly width: number; readonly channels: number };
  private readonly canvas = new OffscreenCanvas(1, 1);
  /** For the side of the image before, which the next mostly has too. */
  private resizer: Resizer | undefined;

  constructor(size: number, channels: number) {
    this.to = { height: size, width: size, channels };
  }

  take(bitmap: ImageBitmap, path: string, out: Uint8Array): void {
    const { canvas, to } = this;
    const { top, left, height: side } = centre(bitmap, to);
    if (canvas.width !== side || !this.resizer) {
      canvas.width = canvas.height = side;
      this.resizer = new Resizer({ height: side, width: side, channels: 4 }, to);
    }
    try {
      // In the CPU's memory, where pixels come back as they went in.
      const context = canvas.getContext('2d', { willReadFrequently: true, alpha: false })!;
      context.fillStyle = '#fff';
      context.fillRect(0, 0, side, side);
      context.drawImage(bitmap, -left, -top);
      this.resizer.resize(context.getImageData(0, 0, side, side).data, out);
    } catch (cause) {
      const { width, height } = bitmap;
      throw new DataError(`${fileName(path)} has ${width}×${height} pixels, too many for this browser`, { cause });
    } finally {
      bitmap.close();
    }
  }
}

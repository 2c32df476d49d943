// Labelled images in memory, as bytes: what every data source gives and every trainer takes.
import { DataError } from '../errors.ts';

/** Images of one size, one byte a channel. */
export interface ImageSet {
  /** [count, height, width, channels], row-major: 0 is black, 255 is full intensity. */
  readonly images: Uint8Array;
  /** [count], each below `classes`. */
  readonly labels?: Uint8Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** The highest label plus one, in the training split where a data set was divided; 0 without labels. */
  readonly classes: number;
}

/** Images to learn from, and images of the same kind to judge by. */
export interface Dataset {
  readonly name: string;
  readonly train: ImageSet;
  readonly test: ImageSet;
}

const SIZES = ['height', 'width', 'channels'] as const;

/** The number of classes that labels speak of: the highest label plus one, or 0 without labels. */
export function countClasses(labels: Uint8Array | undefined): number {
  return labels ? labels.reduce((most, label) => Math.max(most, label + 1), 0) : 0;
}

/**
 * Checks that an image set is what it says it is.
 *
 * @param name what the set is called in the message
 * @throws DataError if it has no images, or if sizes, images, labels and classes do not fit one another
 */
export function checkImageSet(set: ImageSet, name: string): void {
  const { images, labels, count, classes } = set;
  if (count === 0) throw new DataError(`${name} has no images: give it at least one`);
  for (const key of ['count', ...SIZES] as const) {
    if (!Number.isSafeInteger(set[key]) || set[key] < 1) {
      throw new DataError(`${name} has ${key} ${set[key]}: it must be a positive integer`);
    }
  }
  const bytes = count * set.height * set.width * set.channels;
  if (images.length !== bytes) {
    throw new DataError(
      `${name} says ${count} images of ${show(set)}, which is ${bytes} bytes, and has ${images.length}`,
    );
  }
  if (labels && labels.length !== count) {
    throw new DataError(`${name} has ${count} images and ${labels.length} labels: give every image one label, or none`);
  }
  const needed = countClasses(labels);
  if (labels ? !Number.isSafeInteger(classes) || classes < needed : classes !== 0) {
    const [most, wanted] = labels ? [`labels up to ${needed - 1}`, `${needed} or more`] : ['no labels', '0'];
    throw new DataError(`${name} has ${most} and says ${classes} classes: it must say ${wanted}`);
  }
}

/**
 * Checks both splits of a data set, and that they are of one kind.
 *
 * @throws DataError if a split is not what it says, or if image sizes or labelling differ between training and test
 */
export function checkDataset({ name, train, test }: Dataset): void {
  checkImageSet(train, `${name}, training`);
  checkImageSet(test, `${name}, test`);
  if (SIZES.some((key) => train[key] !== test[key])) {
    throw new DataError(
      `${name}: training images are ${show(train)} and test images ${show(test)}: they must be alike`,
    );
  }
  if (!train.labels !== !test.labels) {
    const [having, lacking] = train.labels ? ['training', 'test'] : ['test', 'training'];
    throw new DataError(
      `${name}: the ${having} images have labels and the ${lacking} images have none: add these or drop those`,
    );
  }
  if (test.classes > train.classes) {
    throw new DataError(
      `${name}: ${test.classes} classes in test, ${train.classes} in training: the rest are unlearnable`,
    );
  }
}

/**
 * Divides images without copying them: the last seventh, at least one image, is for the test, as in MNIST.
 *
 * @throws DataError if there are fewer than two images
 */
export function splitImages(name: string, set: ImageSet): Dataset {
  if (set.count < 2) throw new DataError(`${name} has ${set.count} image(s): it takes two to have one for the test`);
  const pixels = set.height * set.width * set.channels;
  const slice = (begin: number, end: number): ImageSet => ({
    ...set,
    images: set.images.subarray(begin * pixels, end * pixels),
    ...(set.labels && { labels: set.labels.subarray(begin, end) }),
    count: end - begin,
  });
  const cut = set.count - Math.max(1, Math.floor(set.count / 7));
  return { name, train: slice(0, cut), test: slice(cut, set.count) };
}

function show({ height, width, channels }: ImageSet): string {
  return `${height}×${width}×${channels}`;
}

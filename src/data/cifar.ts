// CIFAR-10's binary batches: records of a label and an image of 32×32, its red, green and blue planes one after another.
import { DataError } from '../errors.ts';
import { checkDataset, type Dataset, type ImageSet, splitImages } from './images.ts';

const SIDE = 32;
const PLANE = SIDE * SIDE;
const RECORD = 1 + 3 * PLANE;
const CLASSES = 10;

/** A batch as it lies on disk. */
export interface CifarBatch {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Reads batches, with the planes' bytes brought together pixel by pixel.
 *
 * @throws DataError if one is cut short or has a label beyond nine
 */
export function readCifar(batches: readonly CifarBatch[]): ImageSet {
  const counts = batches.map(({ name, bytes }) => {
    const rest = bytes.length % RECORD;
    if (bytes.length === 0) throw new DataError(`${name} is empty: fetch it again`);
    if (rest > 0) {
      throw new DataError(
        `${name} is cut short or no batch of CIFAR-10: it has ${bytes.length} bytes, which is ` +
          `${(bytes.length - rest) / RECORD} images of ${RECORD} and ${rest} more`,
      );
    }
    return bytes.length / RECORD;
  });
  const count = counts.reduce((sum, some) => sum + some, 0);
  const images = new Uint8Array(count * 3 * PLANE);
  const labels = new Uint8Array(count);
  let image = 0;
  for (const [i, { name, bytes }] of batches.entries()) {
    for (let record = 0; record < counts[i]!; record++, image++) {
      const start = record * RECORD;
      const label = bytes[start]!;
      if (label >= CLASSES) {
        throw new DataError(`${name}, image ${record} has the label ${label}, and CIFAR-10 has 0 to ${CLASSES - 1}`);
      }
      labels[image] = label;
      for (let channel = 0; channel < 3; channel++) {
        const plane = start + 1 + channel * PLANE;
        const out = image * 3 * PLANE + channel;
        for (let pixel = 0; pixel < PLANE; pixel++) images[out + 3 * pixel] = bytes[plane + pixel]!;
      }
    }
  }
  return { images, labels, count, height: SIDE, width: SIDE, channels: 3, classes: CLASSES };
}

/**
 * The data set of training batches and the test's; without the latter, the last seventh of the former.
 *
 * @throws DataError if a batch is damaged, or there are none to train on
 */
export function cifarDataset(name: string, train: readonly CifarBatch[], test: readonly CifarBatch[]): Dataset {
  if (train.length === 0) throw new DataError(`${name} has no data_batch_1.bin, and nothing else to train on: add it`);
  if (test.length === 0) return splitImages(name, readCifar(train));
  const dataset = { name, train: readCifar(train), test: readCifar(test) };
  checkDataset(dataset);
  return dataset;
}

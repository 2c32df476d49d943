// The formats that data sets are read from, in one table: a new format is one more entry.
import { DataError } from '../errors.ts';
import { cifarDataset } from './cifar.ts';
import { bytesOf, type Files, fileName, isHidden, type ReadProgress, within } from './files.ts';
import { datasetFromFiles, IDX_NAMES, readIdxDataset } from './idx.ts';
import { readImageFiles } from './image_files.ts';
import type { Dataset } from './images.ts';
import { type Look, withLook } from './resize.ts';

export interface DataFormat {
  /** What its files are, for people. */
  readonly files: string;
  /** Whether a file of this name is one of its own. */
  readonly claims: RegExp;
  /** What to ask for where files cannot be listed: of each row, the first that is there. */
  readonly known: readonly (readonly string[])[];
  /** Reads what it claimed; whoever asks makes images of the look that it does not see to itself. */
  read(files: Files, look: Look, progress: ReadProgress): Promise<Dataset>;
}

const CIFAR_TRAIN = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`);
const CIFAR_TEST = 'test_batch.bin';

export const FORMATS: readonly DataFormat[] = [
  {
    files: 'IDX files as MNIST has them, gzipped or not',
    claims: /idx\d-ubyte(\.gz)?$/,
    known: IDX_NAMES,
    async read(files) {
      const { name, paths } = files;
      if (IDX_NAMES.flat().some((known) => paths.includes(known))) {
        return readIdxDataset(name, async (path) => (paths.includes(path) ? bytesOf(files, path) : undefined));
      }
      return datasetFromFiles(
        await Promise.all(paths.map(async (path) => ({ name: path, bytes: await bytesOf(files, path) }))),
      );
    },
  },
  {
    files: "CIFAR-10's binary batches",
    claims: /^(data_batch_\d+|test_batch)\.bin$/,
    known: [...CIFAR_TRAIN, CIFAR_TEST].map((name) => [name]),
    async read(files) {
      const batches = (isTest: boolean) =>
        Promise.all(
          files.paths
            .filter((path) => (fileName(path) === CIFAR_TEST) === isTest)
            .sort()
            .map(async (name) => ({ name, bytes: await bytesOf(files, name) })),
        );
      return cifarDataset(files.name, await batches(false), await batches(true));
    },
  },
  {
    files: 'PNG or JPEG images, in a folder each class or all in one',
    claims: /\.(png|jpe?g|webp)$/i,
    known: [],
    read: readImageFiles,
  },
];

/** What can be given, for people. */
export const ACCEPTED = FORMATS.map(({ files }) => files).join('; ');

/** A data set has no more IDX files than these. */
const MOST_UNNAMED = 4;

/**
 * Tells by their names what files hold. Files beside them that no format claims are left alone; a few without any that
 * is claimed are taken for IDX files under names of their own, which tell what they are when they are read.
 *
 * @throws DataError if they are of several formats, or of none
 */
export function recognise(files: Files): { readonly format: DataFormat; readonly files: Files } {
  const { name } = files;
  const paths = files.paths.filter((path) => !isHidden(path));
  if (paths.length === 0) throw new DataError(`${name} is empty: give ${ACCEPTED}`);
  const found = FORMATS.map((format) => ({ format, own: paths.filter((path) => format.claims.test(fileName(path))) }));
  const [first, second] = found.filter(({ own }) => own.length > 0);
  if (first && second) {
    const [one, other] = [first, second].map(({ format, own }) => `${format.files} (${own[0]})`);
    throw new DataError(`${name} holds ${one} and ${other}: give it one kind only`);
  }
  if (first) return { format: first.format, files: within(files, first.own) };
  if (paths.length > MOST_UNNAMED) throw new DataError(`${name} holds no images that are known: give ${ACCEPTED}`);
  return { format: FORMATS[0]!, files: within(files, paths) };
}

/**
 * Reads the data set that files hold, whatever its format.
 *
 * @param look what the images have to be, where not as they are stored
 * @throws DataError if the files are of no known format or of several, damaged, or do not fit one another
 */
export async function readDataset(files: Files, look: Look = {}, progress: ReadProgress = () => {}): Promise<Dataset> {
  const known = recognise(files);
  return withLook(await known.format.read(known.files, look, progress), look);
}

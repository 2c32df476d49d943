// Data as they are kept with a run: images decoded and resized, text as tokens, so that the run goes on with the same bytes in any
// browser.
import { checkDataset, type Dataset, type ImageSet } from '../../../src/data/images.ts';
import { isText, type TextDataset } from '../../../src/data/text.ts';
import { tokenArray, vocabularyFrom } from '../../../src/data/vocabulary.ts';
import { CheckpointError } from '../../../src/errors.ts';
import type { DataInfo } from './record.ts';

export type AnyDataset = Dataset | TextDataset;

const SPLITS = ['train', 'test'] as const;
const PARTS = ['images', 'labels', 'tokens'] as const;
const fileOf = (split: (typeof SPLITS)[number], part: (typeof PARTS)[number]) => `data-${split}-${part}`;

export const DATA_FILES = ['data.json', ...SPLITS.flatMap((split) => PARTS.map((part) => fileOf(split, part)))];

const bytesOf = ({ buffer, byteOffset, byteLength }: Uint8Array | Uint32Array) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

/** Files by name, of one data set. */
export function encodeDataset(dataset: AnyDataset): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const told: Record<string, unknown> = { name: dataset.name };
  if (isText(dataset)) told.vocabulary = dataset.vocabulary;
  for (const split of SPLITS) {
    if (isText(dataset)) files.set(fileOf(split, 'tokens'), bytesOf(dataset[split]));
    else {
      const { images, labels, ...shape } = dataset[split];
      told[split] = shape;
      files.set(fileOf(split, 'images'), images);
      if (labels) files.set(fileOf(split, 'labels'), labels);
    }
  }
  files.set('data.json', new TextEncoder().encode(JSON.stringify(told)));
  return files;
}

type ReadFile = (file: string) => Promise<Uint8Array | undefined>;

/** @throws CheckpointError or DataError if files are missing or do not fit one another */
export async function decodeDataset(read: ReadFile, source: string): Promise<AnyDataset> {
  const damaged = (cause?: unknown) => new CheckpointError(`${source}: its data are damaged or missing`, { cause });
  const text = await read('data.json');
  if (!text) throw damaged();
  let told: Record<string, unknown>;
  try {
    told = JSON.parse(new TextDecoder().decode(text));
    if (typeof told !== 'object' || told === null) throw new Error('it is no object');
  } catch (cause) {
    throw damaged(cause);
  }
  const name = String(told.name);
  if (told.vocabulary !== undefined) {
    const vocabulary = vocabularyFrom(told.vocabulary, source);
    const Kind = tokenArray(vocabulary.size);
    const split = async (split: (typeof SPLITS)[number]) => {
      const bytes = await read(fileOf(split, 'tokens'));
      if (!bytes || bytes.length % Kind.BYTES_PER_ELEMENT !== 0) throw damaged();
      // A copy, which is aligned.
      const tokens = new Kind(bytes.slice().buffer);
      if (tokens.some((token) => token >= vocabulary.size)) throw damaged();
      return tokens;
    };
    return { name, vocabulary, train: await split('train'), test: await split('test') };
  }
  const split = async (split: (typeof SPLITS)[number]): Promise<ImageSet> => {
    const images = await read(fileOf(split, 'images'));
    const labels = await read(fileOf(split, 'labels'));
    if (!images || typeof told[split] !== 'object' || told[split] === null) throw damaged();
    const { count, height, width, channels, classes } = told[split] as ImageSet;
    return { count, height, width, channels, classes, images, ...(labels && { labels }) };
  };
  const dataset = { name, train: await split('train'), test: await split('test') };
  checkDataset(dataset);
  return dataset;
}

/** @param own whether they are the user's */
export async function describeDataset(dataset: AnyDataset, own: boolean): Promise<DataInfo> {
  const { name } = dataset;
  const first = isText(dataset) ? dataset.train : dataset.train.images;
  const hash = await crypto.subtle.digest('SHA-256', bytesOf(first));
  const digest = [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  if (isText(dataset)) {
    const { train, test, vocabulary } = dataset;
    const sizes = { train: train.length, test: test.length, vocabulary: vocabulary.size };
    return { kind: own ? 'text' : 'sentences', name, digest, ...sizes, height: 0, width: 0, channels: 0, classes: 0 };
  }
  const { train, test } = dataset;
  const { height, width, channels, classes } = train;
  const kind = own ? 'images' : 'digits';
  return { kind, name, train: train.count, test: test.count, height, width, channels, classes, digest };
}

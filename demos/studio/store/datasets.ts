// Images as they are kept with a run: decoded and resized, so that the run goes on with the same bytes in any browser.

import { checkDataset, type Dataset, type ImageSet } from '../../../src/data/images.ts';
import { CheckpointError } from '../../../src/errors.ts';
import type { DataInfo } from './record.ts';

const SPLITS = ['train', 'test'] as const;

/** Files by name, of one data set. */
export function encodeDataset(dataset: Dataset): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const told: Record<string, unknown> = { name: dataset.name };
  for (const split of SPLITS) {
    const { images, labels, ...shape } = dataset[split];
    told[split] = shape;
    files.set(`data-${split}-images`, images);
    if (labels) files.set(`data-${split}-labels`, labels);
  }
  files.set('data.json', new TextEncoder().encode(JSON.stringify(told)));
  return files;
}

export const DATA_FILES = ['data.json', ...SPLITS.flatMap((split) => [`data-${split}-images`, `data-${split}-labels`])];

/** @throws CheckpointError or DataError if files are missing or do not fit one another */
export async function decodeDataset(
  read: (file: string) => Promise<Uint8Array | undefined>,
  source: string,
): Promise<Dataset> {
  const damaged = (cause?: unknown) => new CheckpointError(`${source}: its images are damaged or missing`, { cause });
  const text = await read('data.json');
  if (!text) throw damaged();
  let told: Record<string, unknown>;
  try {
    told = JSON.parse(new TextDecoder().decode(text));
  } catch (cause) {
    throw damaged(cause);
  }
  const split = async (name: (typeof SPLITS)[number]): Promise<ImageSet> => {
    const images = await read(`data-${name}-images`);
    const labels = await read(`data-${name}-labels`);
    if (!images || typeof told[name] !== 'object') throw damaged();
    const { count, height, width, channels, classes } = told[name] as ImageSet;
    return { count, height, width, channels, classes, images, ...(labels && { labels }) };
  };
  const dataset = { name: String(told.name), train: await split('train'), test: await split('test') };
  checkDataset(dataset);
  return dataset;
}

export async function describeDataset(dataset: Dataset, kind: DataInfo['kind']): Promise<DataInfo> {
  const { name, train, test } = dataset;
  const { height, width, channels, classes } = train;
  const hash = await crypto.subtle.digest('SHA-256', train.images as Uint8Array<ArrayBuffer>);
  const digest = [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return { kind, name, train: train.count, test: test.count, height, width, channels, classes, digest };
}

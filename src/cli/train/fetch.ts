// The data set that a command names with --data, read in its page: files come from the command, decoders are the browser's.

import { builtInDigits } from '../../data/digits.ts';
import type { ReadProgress } from '../../data/files.ts';
import { readDataset } from '../../data/formats.ts';
import type { Dataset } from '../../data/images.ts';
import type { Look } from '../../data/resize.ts';
import { readText, type TextDataset } from '../../data/text.ts';
import type { Vocabulary } from '../../data/vocabulary.ts';
import { DataError } from '../../errors.ts';
import { builtInText, tokenizing } from '../../train/built_in.ts';
import type { TrainOptions } from '../../train/options.ts';
import { DATA, type DataList } from './protocol.ts';

/** @param base where the command has its files */
export async function get(base: string, path: string): Promise<Blob> {
  const response = await fetch(`${base}/${path.split('/').map(encodeURIComponent).join('/')}`);
  // The command's own error says what the matter is.
  if (response.status === 500) throw new DataError(await response.text());
  if (!response.ok) throw new Error(`${path} is not there (${response.status})`);
  return response.blob();
}

/**
 * Reads what --data means, or draws the built-in digits.
 *
 * @param options what the images have to be, and the seed of the digits
 * @throws DataError if it is of no known format, damaged, or does not fit together
 */
export async function loadData(
  base: string,
  options: Look & { readonly seed: number },
  progress?: ReadProgress,
): Promise<Dataset> {
  const list = JSON.parse(await (await get(base, `${DATA}.json`)).text()) as DataList | null;
  if (!list) return builtInDigits(options);
  return readDataset({ ...list, read: (path) => get(base, `${DATA}/${path}`) }, options, progress);
}

/**
 * Reads the text that --data means, or makes that of the built-in grammar.
 *
 * @param options what a token is, and the seed of the built-in text
 * @param vocabulary of a checkpoint or a file, which the text must keep to
 * @throws DataError if it is empty, or not UTF-8
 */
export async function loadText(
  base: string,
  options: TrainOptions,
  vocabulary?: Vocabulary,
  progress?: ReadProgress,
): Promise<TextDataset> {
  const list = JSON.parse(await (await get(base, `${DATA}.json`)).text()) as DataList | null;
  if (!list) return builtInText(options, vocabulary);
  const files = { ...list, read: (path: string) => get(base, `${DATA}/${path}`) };
  return readText(files, tokenizing(options, vocabulary), progress);
}

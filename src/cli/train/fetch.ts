// The data set that a command names with --data, read in its page: files come from the command, decoders are the browser's.

import { builtInDigits } from '../../data/digits.ts';
import type { ReadProgress } from '../../data/files.ts';
import { readDataset } from '../../data/formats.ts';
import type { Dataset } from '../../data/images.ts';
import type { Look } from '../../data/resize.ts';
import { DataError } from '../../errors.ts';
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

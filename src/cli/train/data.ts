// Where the command's data come from: a folder, an address, or the built-in digits.
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { strokeDigits } from '../../data/digits.ts';
import { readIdxDataset } from '../../data/idx.ts';
import type { Dataset } from '../../data/images.ts';
import { DataError } from '../../errors.ts';
import { isAddress } from './arguments.ts';

/** @throws DataError if the data are not there, damaged, or do not fit one another */
export async function loadData(where: string | undefined, seed: number): Promise<Dataset> {
  if (where === undefined) return strokeDigits({ seed });
  return isAddress(where) ? fromAddress(where) : fromFolder(where);
}

async function fromFolder(folder: string): Promise<Dataset> {
  const found = await stat(folder).catch(() => undefined);
  if (!found) throw new DataError(`--data: there is no folder ${folder}`);
  if (!found.isDirectory())
    throw new DataError(`--data: ${folder} is a file; give the folder that holds the IDX files`);
  return readIdxDataset(basename(folder), async (name) => {
    try {
      return await readFile(join(folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new DataError(`--data: ${join(folder, name)} cannot be read: ${(error as Error).message}`);
    }
  });
}

async function fromAddress(address: string): Promise<Dataset> {
  if (!URL.canParse(address)) throw new DataError(`--data: ${address} is not an address`);
  const base = new URL(address);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return readIdxDataset(basename(base.pathname) || base.host, async (name) => {
    const url = new URL(name, base);
    url.search = base.search;
    try {
      const response = await fetch(url);
      // Stores that do not list their files call a missing one forbidden.
      if ([403, 404, 410].includes(response.status)) return undefined;
      if (!response.ok) throw new Error(`the server answers ${response.status} ${response.statusText}`.trim());
      return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      throw new DataError(`--data: ${url} cannot be fetched: ${reasonOf(error)}`, { cause: error });
    }
  });
}

/** fetch() only says that it failed; why is in the cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (!(cause instanceof Error)) return message;
  // An AggregateError, one error for each of the host's addresses, has no message of its own.
  return cause.message || (cause as NodeJS.ErrnoException).code || message;
}

// Where the command's data come from: a folder, or an address. The page reads them, through the command.
import { openAsBlob } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { type Files, isHidden } from '../../data/files.ts';
import { FORMATS, recognise } from '../../data/formats.ts';
import { textPaths } from '../../data/text.ts';
import { DataError } from '../../errors.ts';
import { isAddress } from '../arguments.ts';

/**
 * Finds the files that `--data` means.
 *
 * @throws DataError if they are not there, or not of a known format
 */
export async function findData(where: string, kind: 'images' | 'text' = 'images'): Promise<Files> {
  if (kind === 'text') {
    const files = await (isAddress(where) ? textAtAddress(where) : textFiles(where));
    textPaths(files);
    return files;
  }
  const files = await (isAddress(where) ? atAddress(where) : inFolder(where));
  recognise(files);
  return files;
}

/** A file, or a folder. */
async function textFiles(where: string): Promise<Files> {
  const found = await stat(where).catch(() => undefined);
  if (!found?.isFile()) return inFolder(where);
  const name = basename(where);
  return {
    ...{ name, paths: [name] },
    read: async () => {
      try {
        return await openAsBlob(where);
      } catch (error) {
        throw new DataError(`--data: ${where} cannot be read: ${(error as Error).message}`, { cause: error });
      }
    },
  };
}

async function textAtAddress(address: string): Promise<Files> {
  if (!URL.canParse(address)) throw new DataError(`--data: ${address} is not an address`);
  const url = new URL(address);
  const name = basename(url.pathname) || url.host;
  const content = await fetchFile(url, '');
  if (!content) throw new DataError(`--data: there is nothing at ${address}`);
  return { name, paths: [name], read: async () => content };
}

async function inFolder(folder: string): Promise<Files> {
  const found = await stat(folder).catch(() => undefined);
  if (!found) throw new DataError(`--data: there is nothing at ${folder}`);
  if (!found.isDirectory()) throw new DataError(`--data: ${folder} is a file; give the folder that it is in`);
  const attempt = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw new DataError(`--data: ${path} cannot be read: ${(error as Error).message}`, { cause: error });
    }
  };
  const paths: string[] = [];
  const walked = new Set<string>();
  const walk = async (path: string): Promise<void> => {
    // A link may lead back up.
    const real = await realpath(path);
    if (walked.has(real)) return;
    walked.add(real);
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const inner = join(path, entry.name);
      if (isHidden(entry.name)) continue;
      const target = entry.isSymbolicLink() ? await stat(inner).catch(() => undefined) : entry;
      if (target?.isDirectory()) await attempt(inner, () => walk(inner));
      else if (target?.isFile()) paths.push(relative(folder, inner).split(sep).join('/'));
    }
  };
  await attempt(folder, () => walk(folder));
  return {
    name: basename(folder),
    paths: paths.sort(),
    read: (path) => attempt(join(folder, path), async () => new Blob([await readFile(join(folder, path))])),
  };
}

/** Nobody lists what is at an address, so the names that formats know are asked for. */
async function atAddress(address: string): Promise<Files> {
  if (!URL.canParse(address)) throw new DataError(`--data: ${address} is not an address`);
  const base = new URL(address);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const found = new Map<string, Blob>();
  for (const { known } of FORMATS) {
    for (const names of known) {
      for (const name of names) {
        const content = await fetchFile(base, name);
        if (!content) continue;
        found.set(name, content);
        break;
      }
    }
    if (found.size > 0) break;
  }
  if (found.size === 0) {
    const asked = FORMATS.flatMap(({ known }) => known.map(([name]) => name));
    throw new DataError(
      `--data: ${address} has none of ${asked.join(', ')}; folders of images must be on this machine`,
    );
  }
  return {
    name: basename(base.pathname) || base.host,
    paths: [...found.keys()],
    read: async (name) => found.get(name)!,
  };
}

async function fetchFile(base: URL, name: string): Promise<Blob | undefined> {
  const url = new URL(name, base);
  url.search = base.search;
  try {
    const response = await fetch(url);
    // Stores that do not list their files call a missing one forbidden.
    if ([403, 404, 410].includes(response.status)) return undefined;
    if (!response.ok) throw new Error(`the server answers ${response.status} ${response.statusText}`.trim());
    return await response.blob();
  } catch (error) {
    throw new DataError(`--data: ${url} cannot be fetched: ${reasonOf(error)}`, { cause: error });
  }
}

/** fetch() only says that it failed; why is in the cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (!(cause instanceof Error)) return message;
  // An AggregateError, one error for each of the host's addresses, has no message of its own.
  return cause.message || (cause as NodeJS.ErrnoException).code || message;
}

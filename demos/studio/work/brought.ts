// What a person brings to the page: files and whole folders, picked or dropped.
import type { Files } from '../../../src/data/files.ts';
import { DataError } from '../../../src/errors.ts';

/** A file, and its path from what was brought on. */
export interface Brought {
  readonly path: string;
  readonly file: File;
}

/** What was dropped; folders are walked to their ends. */
export async function droppedFiles(transfer: DataTransfer): Promise<Brought[]> {
  // Everything must be asked for before the first wait: the drop is empty after that. What has no entry is no folder.
  const found = [...transfer.items].map((item) => {
    const entry = item.webkitGetAsEntry();
    const file = entry ? null : item.getAsFile();
    return entry ? walk(entry) : file ? [{ path: file.name, file }] : [];
  });
  return (await Promise.all(found)).flat();
}

async function walk(entry: FileSystemEntry): Promise<Brought[]> {
  const path = entry.fullPath.replace(/^\//, '');
  try {
    if (entry.isFile) {
      const file = await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail));
      return [{ path, file }];
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    const found: Brought[] = [];
    for (;;) {
      // Some at a time, until there are no more.
      const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
      if (some.length === 0) return found;
      for (const inner of some) found.push(...(await walk(inner)));
    }
  } catch (cause) {
    throw cause instanceof DataError ? cause : new DataError(`${path} cannot be read`, { cause });
  }
}

export function pickedFiles(list: FileList): Brought[] {
  return [...list].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/** Files for what reads data sets, under the name of the folder that they came in. */
export function filesOf(brought: readonly Brought[]): Files {
  const byPath = new Map(brought.map(({ path, file }) => [path, file]));
  const roots = new Set(brought.map(({ path }) => path.split('/')[0]!));
  const [root = ''] = roots;
  return {
    name: roots.size === 1 ? root : 'your files',
    paths: [...byPath.keys()],
    read: async (path) => byPath.get(path)!,
  };
}

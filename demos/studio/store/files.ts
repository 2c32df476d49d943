// Where runs lie: files by path, in the origin-private file system or, where a browser cannot write there, in IndexedDB.
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import { GliaError } from '../../../src/errors.ts';

/** The browser's room for this site is used up. */
export class QuotaError extends GliaError {
  override name = 'QuotaError';
}

/** Paths have slashes between folders. A file is there whole, as it was before or as it is after, whenever one looks. */
export interface FileStore {
  read(path: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** @throws QuotaError if there is no room, and then the file is as it was */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** A file, or a folder with all that is in it; nothing if there is none. */
  remove(path: string): Promise<void>;
  /** Names of the folders in a folder. */
  folders(path: string): Promise<string[]>;
}

const isNamed = (error: unknown, ...names: string[]) => error instanceof DOMException && names.includes(error.name);

async function roomFor<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!isNamed(cause, 'QuotaExceededError')) throw cause;
    const { usage = 0, quota = 0 } = (await navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
    const [used, all] = [usage, quota].map((bytes) => `${Math.ceil(bytes / 1e6)} MB`);
    throw new QuotaError(
      `there is no room for ${path}: this site uses ${used} of the ${all} that the browser gives it; delete runs to go on saving`,
      { cause },
    );
  }
}

/** The origin-private file system: a file that is written takes the old one's place when it is complete. */
class PrivateFiles implements FileStore {
  private readonly root: FileSystemDirectoryHandle;

  constructor(root: FileSystemDirectoryHandle) {
    this.root = root;
  }

  private async folder(names: readonly string[], create: boolean): Promise<FileSystemDirectoryHandle> {
    let folder = this.root;
    for (const name of names) folder = await folder.getDirectoryHandle(name, { create });
    return folder;
  }

  private async find<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (isNamed(error, 'NotFoundError')) return undefined;
      throw error;
    }
  }

  read(path: string) {
    return this.find(async () => {
      const names = path.split('/');
      const folder = await this.folder(names.slice(0, -1), false);
      const file = await (await folder.getFileHandle(names.at(-1)!)).getFile();
      return new Uint8Array(await file.arrayBuffer());
    });
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    return roomFor(path, async () => {
      const names = path.split('/');
      const folder = await this.folder(names.slice(0, -1), true);
      const handle = await folder.getFileHandle(names.at(-1)!, { create: true });
      const stream = await handle.createWritable();
      try {
        await stream.write(bytes as Uint8Array<ArrayBuffer>);
      } catch (error) {
        await stream.abort().catch(() => {});
        throw error;
      }
      await stream.close();
    });
  }

  async remove(path: string): Promise<void> {
    const names = path.split('/');
    await this.find(async () => {
      const folder = await this.folder(names.slice(0, -1), false);
      await folder.removeEntry(names.at(-1)!, { recursive: true });
    });
  }

  async folders(path: string): Promise<string[]> {
    const found = await this.find(async () => {
      const names: string[] = [];
      for await (const [name, { kind }] of (await this.folder(path.split('/'), false)).entries()) {
        if (kind === 'directory') names.push(name);
      }
      return names;
    });
    return found ?? [];
  }
}

interface Schema extends DBSchema {
  files: { key: string; value: Uint8Array<ArrayBuffer> };
}

/** All files in one table of IndexedDB, by path. */
class DatabaseFiles implements FileStore {
  private readonly database: IDBPDatabase<Schema>;

  constructor(database: IDBPDatabase<Schema>) {
    this.database = database;
  }

  private static within(path: string): IDBKeyRange {
    return IDBKeyRange.bound(`${path}/`, `${path}/\uffff`);
  }

  read(path: string) {
    return this.database.get('files', path);
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    return roomFor(path, async () => {
      // A view of a larger buffer would be stored with all of it.
      await this.database.put('files', new Uint8Array(bytes), path);
    });
  }

  async remove(path: string): Promise<void> {
    const { store, done } = this.database.transaction('files', 'readwrite');
    await Promise.all([store.delete(path), store.delete(DatabaseFiles.within(path)), done]);
  }

  async folders(path: string): Promise<string[]> {
    const keys = await this.database.getAllKeys('files', DatabaseFiles.within(path));
    const names = keys.map((key) => key.slice(path.length + 1)).filter((name) => name.includes('/'));
    return [...new Set(names.map((name) => name.slice(0, name.indexOf('/'))))];
  }
}

export async function privateFiles(): Promise<FileStore | undefined> {
  if (!('createWritable' in (globalThis.FileSystemFileHandle?.prototype ?? {}))) return undefined;
  // Private windows of some browsers have the functions, and refuse.
  const root = await navigator.storage.getDirectory().catch(() => undefined);
  return root && new PrivateFiles(root);
}

export async function databaseFiles(name = 'glia'): Promise<FileStore> {
  return new DatabaseFiles(
    await openDB<Schema>(name, 1, { upgrade: (database) => database.createObjectStore('files') }),
  );
}

export async function openFiles(): Promise<FileStore> {
  return (await privateFiles()) ?? databaseFiles();
}

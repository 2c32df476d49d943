// Where a data set's bytes come from: files by path, be they in a folder, at an address, or dropped on a page.

export interface Files {
  /** What the data set will be called. */
  readonly name: string;
  /** Relative, with slashes between folders. */
  readonly paths: readonly string[];
  /** The bytes of one of them. @throws DataError if they cannot be had */
  read(path: string): Promise<Blob>;
}

/** Told while a data set is read: so many images of so many. */
export type ReadProgress = (done: number, total: number) => void;

export const fileName = (path: string) => path.slice(path.lastIndexOf('/') + 1);

export async function bytesOf(files: Files, path: string): Promise<Uint8Array> {
  return new Uint8Array(await (await files.read(path)).arrayBuffer());
}

/** Whether a path is of the kind that systems leave behind: .DS_Store, ._photo.jpg, __MACOSX/photo.jpg. */
export function isHidden(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.') || part === '__MACOSX');
}

/** Some of the files, from the innermost folder on that holds them all. */
export function within({ name, read }: Files, paths: readonly string[]): Files {
  const [first = '', ...rest] = paths;
  let common = first.slice(0, first.lastIndexOf('/') + 1);
  while (common && !rest.every((path) => path.startsWith(common))) {
    common = common.slice(0, common.lastIndexOf('/', common.length - 2) + 1);
  }
  return { name, paths: paths.map((path) => path.slice(common.length)), read: (path) => read(common + path) };
}

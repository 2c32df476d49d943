// Files that are whole whatever happens: written beside, on the disk, and renamed.
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Writes all of it: a single write may stop where the disk is full, and say so only the next time. */
function writeAll(file: number, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}

/** So that the new name is on the disk as well; what cannot do that (Windows) does it by itself. */
function syncFolder(path: string): void {
  try {
    const folder = openSync(path, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {
    // The file is there; only a loss of power could take it back.
  }
}

/**
 * Puts a file in its place, on the disk: whoever looks, also after a crash, finds the old one or the new one, whole.
 *
 * @param before where the old one is kept
 */
export function replaceFile(path: string, content: string | Uint8Array, before?: string): void {
  const part = `${path}.part`;
  try {
    const file = openSync(part, 'w');
    try {
      writeAll(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (before && existsSync(path)) keep(path, before);
    renameSync(part, path);
  } catch (error) {
    try {
      rmSync(part, { force: true });
    } catch {
      // A folder that became read-only keeps it; what went wrong first is told.
    }
    throw error;
  }
  syncFolder(dirname(path));
}

/** There is a file at `path` at all times. */
function keep(path: string, before: string): void {
  const second = `${before}.part`;
  rmSync(second, { force: true });
  try {
    linkSync(path, second);
  } catch {
    // A file system without links.
    copyFileSync(path, second);
  }
  renameSync(second, before);
}

/** Lines that are appended whole or not at all; those for which there was no room are tried again with the next. */
export class LineFile {
  private readonly file: number;
  private size: number;
  private pending = '';

  /** @param content what it begins with */
  constructor(path: string, content: string) {
    replaceFile(path, content);
    this.file = openSync(path, 'r+');
    this.size = Buffer.byteLength(content);
  }

  append(lines: string): void {
    this.pending += lines;
    if (!this.pending) return;
    const bytes = Buffer.from(this.pending);
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.file, bytes, done, bytes.length - done, this.size + done);
      }
    } catch (error) {
      ftruncateSync(this.file, this.size);
      throw error;
    }
    this.size += bytes.length;
    this.pending = '';
  }

  /** Waits until what was appended is on the disk. */
  sync(): void {
    fsyncSync(this.file);
  }

  close(): void {
    closeSync(this.file);
  }
}

// Data sets as small as can be, in files of every format.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync, gzipSync } from 'node:zlib';

export function idx(sizes: readonly number[], byte: (i: number) => number): Buffer {
  const header = Buffer.alloc(4 + 4 * sizes.length);
  header.writeUInt32BE(0x0800 + sizes.length);
  for (const [i, size] of sizes.entries()) header.writeUInt32BE(size, 4 + 4 * i);
  const count = sizes.reduce((product, size) => product * size, 1);
  return Buffer.concat([header, Buffer.from(Array.from({ length: count }, (_, i) => byte(i)))]);
}

/** CIFAR-10's format: labels in turn, and an image of one colour each. */
export function cifar(count: number): Buffer {
  const record = (i: number) => [i % 10, ...[25 * (i % 10), 90, 200].flatMap((value) => Array(1024).fill(value))];
  return Buffer.from(Array.from({ length: count }, (_, i) => record(i)).flat());
}

/** A PNG of one red pixel. */
export function png(): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
  const parts = [
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.from([0, 255, 0, 0]))),
    chunk('IEND', Buffer.alloc(0)),
  ];
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...parts]);
}

/** Images and labels of 200 images of 8×8, of which the last seventh is the test. */
export const images = idx([200, 8, 8], (i) => (i * 2654435761) >>> 24);
export const labels = idx([200], (i) => i % 10);

/** A folder of files by name. @returns its path */
export function folder(path: string, files: Readonly<Record<string, Uint8Array>>): string {
  mkdirSync(path);
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(path, file), bytes);
  return path;
}

/** `images` and `labels` as IDX files. */
export function tinyData(scratch: string): string {
  const files = { 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte.gz': gzipSync(labels) };
  return folder(join(scratch, 'tiny'), files);
}

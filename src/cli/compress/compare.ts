// `npm run compress -- --compare`: the same images by general-purpose and by image coders, as far as these are installed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';

export interface Pixels {
  readonly images: Uint8Array;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export interface Size {
  readonly name: string;
  /** Undefined where the coder is not installed, or failed. */
  readonly bytes: number | undefined;
  /** What became of one that is installed, and gave nothing. */
  readonly failure?: string;
  /** Where it is to be had. */
  readonly from: string;
}

/** WebP's greatest side. */
const MOST_SIDE = 16383;

/** All images side by side in one picture, near a square; black where there are none. */
function sheetOf({ images, count, height, width, channels }: Pixels) {
  const columns = Math.max(1, Math.min(Math.floor(MOST_SIDE / width), Math.ceil(Math.sqrt((count * height) / width))));
  const rows = Math.ceil(count / columns);
  const stride = columns * width * channels;
  const data = new Uint8Array(rows * height * stride);
  for (let i = 0; i < count; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    for (let y = 0; y < height; y++) {
      const from = (i * height + y) * width * channels;
      data.set(images.subarray(from, from + width * channels), (row * height + y) * stride + column * width * channels);
    }
  }
  return { data, width: columns * width, height: rows * height, channels };
}

/** Eight pixels a byte, white as 1. */
function packBits(bytes: Uint8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(bytes.length / 8));
  bytes.forEach((byte, i) => {
    if (byte) packed[i >> 3]! |= 0x80 >> (i & 7);
  });
  return packed;
}

/** @param binary with one bit a pixel, whose rows must be whole bytes */
function pngOf({ data, width, height, channels }: ReturnType<typeof sheetOf>, binary: boolean): Buffer {
  const row = binary ? Math.ceil(width / 8) : width * channels;
  const raw = new Uint8Array(height * (row + 1));
  for (let y = 0; y < height; y++) {
    const line = data.subarray(y * width * channels, (y + 1) * width * channels);
    raw.set(binary ? packBits(line) : line, y * (row + 1) + 1);
  }
  const chunk = (type: string, body: Uint8Array) => {
    const named = Buffer.concat([Buffer.from(type), body]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = binary ? 1 : 8;
  header[9] = channels === 3 ? 2 : 0;
  const body = [chunk('IHDR', header), chunk('IDAT', deflateSync(raw, { level: 9 })), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...body]);
}

type Ended = Pick<ReturnType<typeof spawnSync>, 'status' | 'signal' | 'error'>;

/** Where there is no such program, that it is not there says enough. */
function failureOf({ status, signal, error }: Ended): Pick<Size, 'failure'> {
  if (status === 0 || (error && 'code' in error && error.code === 'ENOENT')) return {};
  return { failure: signal ? `ended by ${signal}` : (error?.message ?? `it ended with ${status}`) };
}

function streamed(name: string, command: string, args: string[], from: string): Size {
  const ended = spawnSync(command, args, { maxBuffer: 2 ** 31 });
  return { name, bytes: ended.status === 0 ? ended.stdout.length : undefined, from, ...failureOf(ended) };
}

/** Of any file. */
const generalCoders = (file: string): Size[] => [
  streamed('gzip -9', 'gzip', ['-9c', file], 'gzip'),
  streamed('bzip2 -9', 'bzip2', ['-9c', file], 'bzip2'),
  streamed('xz -9e', 'xz', ['-9ec', file], 'xz-utils'),
  streamed('zstd -19', 'zstd', ['-19', '-qc', file], 'zstd'),
];

/** What each coder makes of the same text. */
export function compareTextCoders(text: string): Size[] {
  const folder = mkdtempSync(join(tmpdir(), 'glia-compare-'));
  try {
    const [file, out] = [join(folder, 'text.txt'), join(folder, 'text.7z')];
    writeFileSync(file, text);
    // Its archive has a header of some hundred bytes, which counts.
    const ended = spawnSync('7z', ['a', '-m0=PPMd:o=6:mem=256m', '-bd', out, file], { stdio: 'ignore' });
    const bytes = ended.status === 0 ? statSync(out).size : undefined;
    return [
      { name: 'as it is', bytes: statSync(file).size, from: '' },
      ...generalCoders(file),
      { name: 'PPMd by 7z', bytes, from: 'p7zip-full', ...failureOf(ended) },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What each coder makes of the same images: as one file of bytes (of binary images, of bits), or as one picture. */
export function compareCoders(pixels: Pixels): Size[] {
  const binary = pixels.images.every((byte) => byte === 0 || byte === 255);
  const folder = mkdtempSync(join(tmpdir(), 'glia-compare-'));
  try {
    const raw = binary ? packBits(pixels.images) : pixels.images;
    const [file, picture, out] = [join(folder, 'raw'), join(folder, 'sheet.png'), join(folder, 'out')];
    writeFileSync(file, raw);
    const sheet = sheetOf(pixels);
    const drawable = pixels.channels === 1 || pixels.channels === 3;
    const png = drawable ? pngOf(sheet, binary) : undefined;
    if (png) writeFileSync(picture, png);
    const written = (name: string, command: string, args: string[], from: string): Size => {
      if (!png) return { name, bytes: undefined, from: 'pictures of one or three colours' };
      const ended = spawnSync(command, args, { stdio: 'ignore' });
      const made = ended.status === 0 ? statSync(out, { throwIfNoEntry: false })?.size : undefined;
      rmSync(out, { force: true });
      return { name, bytes: made, from, ...failureOf(ended) };
    };
    return [
      { name: binary ? 'as bits' : 'as bytes', bytes: raw.length, from: '' },
      ...generalCoders(file),
      { name: 'PNG, one picture', bytes: png?.length, from: 'pictures of one or three colours' },
      written('PNG by zopflipng', 'zopflipng', ['-y', picture, out], 'zopfli'),
      written('WebP, lossless', 'cwebp', ['-quiet', '-lossless', '-z', '9', picture, '-o', out], 'webp'),
      written('JPEG XL, lossless', 'cjxl', ['-d', '0', '-e', '9', '--quiet', picture, out], 'libjxl-tools'),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

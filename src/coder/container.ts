// The file: a header that says what is in it, perhaps the model, and blocks, each of which says what it is and can be read without
// the others. All integers are little-endian.
//
//   89 'GLIA' 0D 0A 1A, version u16, reserved u16, header length u32, header (JSON), its CRC-32, model (as long as the header says)
//   block: 'BLOK', number u32, images or tokens u32, length u32 of what follows, CRC-32 of this block's header and of what follows,
//          digest u32 (of its distributions and its number), batches u16 (of text 0), size u8 each, the coder's stack
import { DataError } from '../errors.ts';
import { batchCode, batchSize, type CodedBlock } from './bits_back.ts';

const MAGIC = Uint8Array.of(0x89, 0x47, 0x4c, 0x49, 0x41, 0x0d, 0x0a, 0x1a);
/** Of images and of text, which changed at different times. */
const IMAGES_VERSION = 4;
const TEXT_VERSION = 3;
const BLOCK = 0x4b4f4c42;
const BLOCK_HEADER = 20;
const MOST_HEADER = 2 ** 20;
/** Images and bytes that a block may be of, so that a damaged file takes no more memory than an honest one. */
export const MOST_IN_BLOCK = 65535;
export const MOST_TOKENS_IN_BLOCK = 2 ** 24;
const MOST_PIXELS = 2 ** 20;
const MOST_BLOCK_BYTES = 2 ** 28;
const MOST_NETWORKS = 128;

interface StoredModel {
  /** SHA-256 of its numbers, in hexadecimal digits. */
  readonly digest: string;
  /** Of what it gives for a few inputs of no meaning. */
  readonly probe: number;
  /** Bytes of the model's own file, behind this header; 0 if it is not there. */
  readonly bytes: number;
}

/** Of images. */
export interface ArchiveHeader {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Images a block; the last may have fewer. */
  readonly block: number;
  /** What was made of grey pixels before they were coded. */
  readonly binarize: string;
  readonly model: StoredModel & {
    /** Scales of the layers of encoder and decoder; of several layers of the code, of each in turn. */
    readonly scales: readonly (readonly number[])[];
  };
}

/** Of text. */
export interface TextHeader {
  readonly kind: 'text';
  /** Tokens, and characters that are none. */
  readonly count: number;
  /** Of these, a block; the last may have fewer. */
  readonly block: number;
  /** Of the text in UTF-8. */
  readonly bytes: number;
  readonly model: StoredModel;
}

export const isTextHeader = (header: ArchiveHeader | TextHeader): header is TextHeader => 'kind' in header;

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let i = 0; i < 8; i++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

export function crc32(bytes: Uint8Array, before = 0): number {
  let value = ~before;
  for (let i = 0; i < bytes.length; i++) value = (value >>> 8) ^ CRC[(value ^ bytes[i]!) & 0xff]!;
  return ~value >>> 0;
}

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** SHA-256 in hexadecimal digits. */
export async function sha256(bytes: BufferSource): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const versionOf = (header: ArchiveHeader | TextHeader) => (isTextHeader(header) ? TEXT_VERSION : IMAGES_VERSION);

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function encodeHeader(header: ArchiveHeader | TextHeader, model: Uint8Array | undefined): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = new Uint8Array(16);
  start.set(MAGIC);
  const view = viewOf(start);
  view.setUint16(8, versionOf(header), true);
  view.setUint32(12, text.length, true);
  const sum = new Uint8Array(4);
  viewOf(sum).setUint32(0, crc32(text), true);
  return joinBytes([start, text, sum, ...(model ? [model] : [])]);
}

/** Told apart from the digest of a block that lies in another's place. */
const marked = (number: number) => Math.imul(number + 1, 0x9e3779b1);

export function encodeBlockBytes(number: number, count: number, { batches, stack, digest }: CodedBlock): Uint8Array {
  const bytes = new Uint8Array(BLOCK_HEADER + 6 + batches.length + stack.length);
  const view = viewOf(bytes);
  view.setUint32(0, BLOCK, true);
  view.setUint32(4, number, true);
  view.setUint32(8, count, true);
  view.setUint32(12, bytes.length - BLOCK_HEADER, true);
  view.setUint32(20, (digest ^ marked(number)) >>> 0, true);
  view.setUint16(24, batches.length, true);
  bytes.set(batches.map(batchCode), 26);
  bytes.set(stack, 26 + batches.length);
  view.setUint32(16, blockSum(bytes), true);
  return bytes;
}

const blockSum = (bytes: Uint8Array) => crc32(bytes.subarray(BLOCK_HEADER), crc32(bytes.subarray(0, 16)));

export interface StoredBlock extends CodedBlock {
  readonly number: number;
  /** Images, or tokens. */
  readonly count: number;
}

export interface Archive<Header = ArchiveHeader | TextHeader> {
  readonly header: Header;
  readonly model: Uint8Array | undefined;
  /** Blocks that there should be. */
  readonly total: number;
  /** Those that were found, by number; of one that is damaged, what is wrong with it. */
  readonly blocks: ReadonlyMap<number, StoredBlock | DataError>;
  /** Bytes of all blocks. */
  readonly coded: number;
}

const isWhole = (value: unknown, least: number, most: number) =>
  Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;

function checkHeader(header: ArchiveHeader | TextHeader): string | undefined {
  const { count, block, model } = header ?? {};
  if (!isWhole(count, 0, 2 ** 31)) return 'it does not say how much it holds';
  if (!/^[0-9a-f]{64}$/.test(String(model?.digest)) || !isWhole(model.probe, 0, 2 ** 32 - 1))
    return 'it names no model';
  if (!isWhole(model.bytes, 0, 2 ** 31)) return 'it names no model';
  return isTextHeader(header) ? checkText(header) : checkImages(header, block);
}

function checkText({ kind, block, bytes, count }: TextHeader): string | undefined {
  if (kind !== 'text') return 'it does not say what it holds';
  if (!isWhole(block, 1, MOST_TOKENS_IN_BLOCK)) return 'its blocks are too large';
  return isWhole(bytes, 0, 2 ** 40) && (count > 0 || bytes === 0) ? undefined : 'its text has no length';
}

function checkImages({ height, width, channels, binarize, model }: ArchiveHeader, block: number): string | undefined {
  if (![height, width].every((size) => isWhole(size, 1, 65535))) return 'its images have no size';
  if (!isWhole(channels, 1, 4) || height * width * channels > MOST_PIXELS) return 'its images are too large';
  if (!isWhole(block, 1, MOST_IN_BLOCK) || block * height * width * channels > MOST_BLOCK_BYTES)
    return 'its blocks are too large';
  if (typeof binarize !== 'string') return 'it does not say what a pixel is';
  const powers = (list: unknown) =>
    Array.isArray(list) &&
    list.length <= 64 &&
    list.every((x) => typeof x === 'number' && x > 0 && x === 2 ** Math.round(Math.log2(x)));
  const { scales } = model;
  if (!Array.isArray(scales) || scales.length % 2 || !scales.length || scales.length > MOST_NETWORKS)
    return 'it does not say how its model is scaled';
  if (!scales.every(powers)) return 'it does not say how its model is scaled';
  return undefined;
}

/** Where the bytes of a block begin and end, if one begins there. */
function findBlock(bytes: Uint8Array, at: number): { readonly end: number; readonly number: number } | undefined {
  if (at + BLOCK_HEADER > bytes.length) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(at, true) !== BLOCK) return undefined;
  return { end: at + BLOCK_HEADER + view.getUint32(at + 12, true), number: view.getUint32(at + 4, true) };
}

function readBlock(bytes: Uint8Array, wanted: { number: number; count: number }, what: string): StoredBlock {
  const view = viewOf(bytes);
  const { number, count } = wanted;
  if (blockSum(bytes) !== view.getUint32(16, true))
    throw new DataError(`block ${number} is damaged: its checksum differs`);
  if (view.getUint32(8, true) !== count) {
    throw new DataError(`block ${number} holds ${view.getUint32(8, true)} ${what}, and the header says ${count}`);
  }
  const length = view.getUint16(24, true);
  const start = 26 + length;
  const batches = start <= bytes.length ? Array.from(bytes.subarray(26, start), batchSize) : [];
  const sum = batches.reduce((total, size) => total + size, 0);
  const fits = what === TOKENS ? length === 0 : sum === count;
  if (!fits) {
    throw new DataError(`block ${number} is damaged: its batches are not its ${what}`);
  }
  const digest = (view.getUint32(20, true) ^ marked(number)) >>> 0;
  return { number, count, batches, digest, stack: bytes.subarray(start) };
}

const TOKENS = 'tokens';

/**
 * Reads an archive; what is damaged of its blocks is told in their place.
 *
 * @param name of the file, for messages
 * @throws DataError if it is none, or if its header is damaged
 */
export function decodeArchive(bytes: Uint8Array, name: string): Archive {
  const fail = (problem: string) => new DataError(`${name} ${problem}`);
  if (bytes.length < 20 || MAGIC.some((byte, i) => bytes[i] !== byte)) throw fail("is no archive of Glia's");
  const view = viewOf(bytes);
  const version = view.getUint16(8, true);
  const otherVersion = (wanted: number) => fail(`is of version ${version}, and this reads version ${wanted}`);
  if (version !== IMAGES_VERSION && version !== TEXT_VERSION) throw otherVersion(IMAGES_VERSION);
  if (view.getUint16(10, true) !== 0) throw fail('is damaged: its reserved bytes are not 0');
  const length = view.getUint32(12, true);
  const end = 16 + length;
  if (length > MOST_HEADER || end + 4 > bytes.length) throw fail('is damaged: its header is cut off');
  const text = bytes.subarray(16, end);
  if (crc32(text) !== view.getUint32(end, true)) throw fail('is damaged: the checksum of its header differs');
  let header: ArchiveHeader | TextHeader;
  try {
    header = JSON.parse(new TextDecoder().decode(text));
  } catch (cause) {
    throw new DataError(`${name} is damaged: its header cannot be read`, { cause });
  }
  const problem = checkHeader(header);
  if (problem) throw fail(`is damaged: ${problem}`);
  if (version !== versionOf(header)) throw otherVersion(versionOf(header));
  let at = end + 4;
  const { count, block } = header;
  const modelBytes = header.model.bytes;
  if (at + modelBytes > bytes.length) throw fail('is damaged: its model is cut off');
  const model = modelBytes ? bytes.subarray(at, at + modelBytes) : undefined;
  at += modelBytes;
  const first = at;
  const total = Math.ceil(count / block);
  const blocks = new Map<number, StoredBlock | DataError>();
  while (at < bytes.length) {
    const found = findBlock(bytes, at);
    const { end: after = 0, number = 0 } = found ?? {};
    if (!found || after > bytes.length || number >= total) {
      // Where a block begins is lost: the next mark is sought.
      at++;
      continue;
    }
    const held = Math.min(block, count - number * block);
    let read: StoredBlock | DataError;
    try {
      read = readBlock(bytes.subarray(at, after), { number, count: held }, isTextHeader(header) ? TOKENS : 'images');
    } catch (error) {
      read = error as DataError;
    }
    if (!blocks.has(number) || blocks.get(number) instanceof DataError) blocks.set(number, read);
    // A length that is not to be trusted leads nowhere.
    at = read instanceof DataError ? at + 4 : after;
  }
  return { header, model, total, blocks, coded: bytes.length - first };
}

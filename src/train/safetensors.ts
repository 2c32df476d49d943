// The safetensors format: named tensors in one file that any framework reads, and no code to run on reading it.
// A file is the header's length (u64), the header (JSON: type, shape and place of each tensor), and the data. All
// numbers are little-endian, as typed arrays are wherever there is WebGPU.
import { CheckpointError } from '../errors.ts';

/** The element types that are read and written; F16 is kept as its bits. */
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  U8: Uint8Array,
};

export type Dtype = keyof typeof ARRAYS;

/** A tensor as a file holds it: row-major, with as many elements as the shape says. */
export type StoredTensor = {
  [D in Dtype]: {
    readonly dtype: D;
    readonly shape: readonly number[];
    readonly data: (typeof ARRAYS)[D]['prototype'];
  };
}[Dtype];

const METADATA = '__metadata__';
const PREFIX = 8;
/** The reference implementation's limit; more is an attack. */
const MAX_HEADER = 100_000_000;

interface Entry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Writes tensors as a safetensors file, those of wide elements first, so that every tensor is aligned.
 *
 * @param metadata texts about the file, by key
 * @throws CheckpointError if a name is reserved, or if type, shape and data do not fit
 */
export function encodeSafetensors(
  tensors: Readonly<Record<string, StoredTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const ordered = Object.entries(tensors).sort(([, a], [, b]) => elementBytes(b.dtype) - elementBytes(a.dtype));
  // Entries, because assigning the name __proto__ to an object would set its prototype instead.
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [[METADATA, metadata]] : [];
  let size = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    const tensor = `tensor ${JSON.stringify(name)}`;
    if (name === METADATA) throw new CheckpointError(`${tensor} cannot be saved: the format reserves the name`);
    const elements = elementCount(shape);
    if (!(data instanceof ARRAYS[dtype]) || data.length !== elements) {
      const got = `a ${(data as ArrayBufferView).constructor.name} of ${data.length}`;
      throw new CheckpointError(`${tensor} cannot be saved: ${dtype} [${shape}] does not fit ${got}`);
    }
    header.push([name, { dtype, shape, data_offsets: [size, (size += data.byteLength)] }]);
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const start = PREFIX + Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(start + size);
  new DataView(file.buffer).setBigUint64(0, BigInt(start - PREFIX), true);
  file.fill(0x20, PREFIX, start).set(json, PREFIX);
  let offset = start;
  for (const [, { data }] of ordered) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return file;
}

/**
 * Reads a safetensors file of whatever origin. The tensors are copies and share no memory with the file.
 *
 * @param file the file's name, for messages
 * @throws CheckpointError if the file is cut short, damaged or forged, or has an element type that is not supported
 */
export function decodeSafetensors(
  bytes: Uint8Array,
  file: string,
): { tensors: Map<string, StoredTensor>; metadata: Record<string, string> } {
  const { json, start } = readHeader(bytes, file);
  const header = parseHeader(json, file);
  const metadata = readMetadata(header[METADATA], file);
  const entries = Object.entries(header)
    .filter(([name]) => name !== METADATA)
    .map(([name, value]) => readEntry(name, value, file));
  // JSON.parse lets the last of two equal names win in silence.
  const names = Object.keys(header).length + 3 * entries.length + Object.keys(metadata).length;
  if (countNames(json) !== names) throw new CheckpointError(`${file} is damaged: its header has a name twice`);
  checkLayout(entries, bytes.length - start, file);
  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const { buffer } = new Uint8Array(bytes.subarray(start + begin, start + end));
    tensors.set(name, { dtype, shape, data: new ARRAYS[dtype](buffer) } as StoredTensor);
  }
  return { tensors, metadata };
}

function readHeader(bytes: Uint8Array, file: string): { json: string; start: number } {
  if (bytes.length < PREFIX) {
    throw new CheckpointError(
      `${file} is no safetensors file: it has ${bytes.length} bytes, and needs ${PREFIX} or more`,
    );
  }
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER) {
    throw new CheckpointError(`${file} is no safetensors file: its header would have ${length} bytes`);
  }
  const start = PREFIX + length;
  if (start > bytes.length) {
    throw new CheckpointError(`${file} is cut short: its header ends at byte ${start}, the file at ${bytes.length}`);
  }
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return { json: decoder.decode(bytes.subarray(PREFIX, start)), start };
  } catch (cause) {
    throw new CheckpointError(`${file} is damaged: its header is no UTF-8 text`, { cause });
  }
}

function parseHeader(json: string, file: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(json);
  } catch (cause) {
    throw new CheckpointError(`${file} is damaged: its header is no JSON`, { cause });
  }
  if (!isRecord(header)) throw new CheckpointError(`${file} is damaged: its header is no JSON object`);
  return header;
}

function readMetadata(value: unknown = {}, file: string): Record<string, string> {
  if (!isRecord(value) || Object.values(value).some((text) => typeof text !== 'string')) {
    throw new CheckpointError(`${file} is damaged: its ${METADATA} does not map names to texts`);
  }
  // Without a prototype, so that no name but those in the file is found there.
  return Object.setPrototypeOf(value, null) as Record<string, string>;
}

function readEntry(name: string, value: unknown, file: string): Entry {
  const refused = (what: string) =>
    new CheckpointError(`${file} cannot be read: tensor ${JSON.stringify(name.slice(0, 80))} ${what}`);
  const { dtype, shape, data_offsets: offsets } = isRecord(value) ? value : {};
  if (!isRecord(value) || Object.keys(value).length !== 3 || !isSizes(offsets) || offsets.length !== 2) {
    throw refused('is not described by dtype, shape and two data_offsets');
  }
  if (typeof dtype !== 'string' || !Object.hasOwn(ARRAYS, dtype)) {
    const got = String(JSON.stringify(dtype)).slice(0, 40);
    throw refused(`has element type ${got}, which is not one of ${Object.keys(ARRAYS).join(', ')}`);
  }
  if (!isSizes(shape)) throw refused('has a shape that is not a list of sizes');
  const elements = elementCount(shape);
  const [begin, end] = offsets as [number, number];
  const size = elements * elementBytes(dtype as Dtype);
  if (!Number.isSafeInteger(size)) throw refused(`has an impossible shape, [${shape.slice(0, 8)}]`);
  if (end - begin !== size) {
    throw refused(`is ${dtype} [${shape.slice(0, 8)}] of ${size} bytes, but its data go from ${begin} to ${end}`);
  }
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

/** The tensors must tile the data: a file with overlaps, gaps or anything behind them was not written by a saver. */
function checkLayout(entries: readonly Entry[], size: number, file: string): void {
  let end = 0;
  for (const entry of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    const name = JSON.stringify(entry.name.slice(0, 80));
    if (entry.begin < end) throw new CheckpointError(`${file} is damaged: tensor ${name} overlaps another one`);
    if (entry.begin > end) {
      throw new CheckpointError(
        `${file} is damaged: bytes ${end} to ${entry.begin} before tensor ${name} are nobody's`,
      );
    }
    end = entry.end;
  }
  if (end > size)
    throw new CheckpointError(`${file} is cut short: its tensors have ${end} bytes, and there are ${size}`);
  if (end < size) throw new CheckpointError(`${file} is damaged: ${size - end} bytes follow its last tensor`);
}

/** How many names of members valid JSON has: its colons outside texts. */
function countNames(json: string): number {
  let names = 0;
  let quoted = false;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '"') quoted = !quoted;
    else if (char === '\\') i++;
    else if (char === ':' && !quoted) names++;
  }
  return names;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** NaN if a size is none, or if a product on the way is beyond exact numbers. */
function elementCount(shape: readonly number[]): number {
  if (!isSizes(shape)) return Number.NaN;
  return shape.reduce((product, size) => (Number.isSafeInteger(product * size) ? product * size : Number.NaN), 1);
}

function elementBytes(dtype: Dtype): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

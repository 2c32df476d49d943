// The safetensors format: what is written is read, and files of hostile make are refused with a CheckpointError.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CheckpointError } from '../src/errors.ts';
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from '../src/train/safetensors.ts';

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
const DTYPES = Object.keys(ARRAYS) as (keyof typeof ARRAYS)[];

/** A file put together by hand, of a header, as JSON or as an object, and a number of bytes. */
function file(header: unknown, dataBytes = 0): Uint8Array {
  const json = typeof header === 'string' ? header : JSON.stringify(header);
  const text = new TextEncoder().encode(json);
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const entry = (shape: unknown, data_offsets: unknown, dtype: unknown = 'U8') => ({ dtype, shape, data_offsets });

const anyTensor: fc.Arbitrary<StoredTensor> = fc
  .record({
    dtype: fc.constantFrom(...DTYPES),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.uint8Array({ minLength: 8, maxLength: 8 }),
  })
  .map(({ dtype, shape, seed }) => {
    const elements = shape.reduce((product, size) => product * size, 1);
    const bytes = Uint8Array.from({ length: elements * ARRAYS[dtype].BYTES_PER_ELEMENT }, (_, i) => seed[i % 8]! ^ i);
    return { dtype, shape, data: new ARRAYS[dtype](bytes.buffer) } as StoredTensor;
  });
const anyName = fc.oneof(
  fc.string({ unit: 'binary' }).filter((name) => name !== '__metadata__'),
  fc.constantFrom('__proto__', 'constructor', 'toString', '0', '"', 'a:b', '\\', '\ud800'),
);
const anyTensors = fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name, maxLength: 5 });
const anyMetadata = fc.array(fc.tuple(fc.oneof(fc.string(), fc.constant('__proto__')), fc.string()), { maxLength: 3 });

const bits = ({ data }: StoredTensor) => [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];

describe('round trip', () => {
  test('any tensors, names and metadata come back bit for bit, aligned', () => {
    fc.assert(
      fc.property(anyTensors, anyMetadata, (named, metadata) => {
        const bytes = encodeSafetensors(Object.fromEntries(named), Object.fromEntries(metadata));
        const decoded = decodeSafetensors(bytes, 'any');
        expect([...decoded.tensors.keys()].sort()).toEqual(named.map(([name]) => name).sort());
        expect(Object.entries(decoded.metadata).sort()).toEqual(Object.entries(Object.fromEntries(metadata)).sort());
        for (const [name, tensor] of named) {
          const got = decoded.tensors.get(name)!;
          expect(got.dtype).toBe(tensor.dtype);
          expect(got.shape).toEqual(tensor.shape);
          expect(got.data).toBeInstanceOf(ARRAYS[tensor.dtype]);
          expect(bits(got)).toEqual(bits(tensor));
        }
        const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
        expect(header % 8).toBe(0);
        const entries: Record<string, StoredTensor & { data_offsets: [number, number] }> = JSON.parse(
          new TextDecoder().decode(bytes.subarray(8, 8 + header)),
        );
        for (const [name, { dtype, data_offsets }] of Object.entries(entries)) {
          if (name !== '__metadata__') expect(data_offsets[0] % ARRAYS[dtype].BYTES_PER_ELEMENT).toBe(0);
        }
      }),
    );
  });

  test('the bytes are those of the format', () => {
    const bytes = encodeSafetensors({ w: { dtype: 'F32', shape: [1, 2], data: Float32Array.of(1, -2) } }, { a: 'b' });
    const json = '{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}';
    expect(bytes[0]).toBe(Math.ceil(json.length / 8) * 8);
    expect(new TextDecoder().decode(bytes.subarray(8, 8 + bytes[0]!))).toBe(json.padEnd(bytes[0]!));
    expect([...bytes.subarray(8 + bytes[0]!)]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
  });

  test('views into larger buffers are written and read as themselves, and what is read is a copy', () => {
    const data = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
    const bytes = encodeSafetensors({ w: { dtype: 'U8', shape: [2], data } });
    const larger = new Uint8Array(bytes.length + 3);
    larger.set(bytes, 3);
    const { tensors } = decodeSafetensors(larger.subarray(3), 'view');
    larger.fill(0);
    expect([...tensors.get('w')!.data]).toEqual([1, 2]);
  });

  test('nothing but what is in the file is found in the metadata', () => {
    expect(decodeSafetensors(file({}), 'plain').metadata.constructor).toBeUndefined();
    expect(decodeSafetensors(file('{"__metadata__":{"__proto__":"x"}}'), 'odd').metadata.constructor).toBeUndefined();
  });
});

describe('what cannot be saved', () => {
  test.each<[string, Record<string, StoredTensor>, RegExp]>([
    ['a reserved name', { __metadata__: { dtype: 'U8', shape: [0], data: new Uint8Array() } }, /reserves the name/],
    ['too few elements', { w: { dtype: 'U8', shape: [2, 2], data: new Uint8Array(3) } }, /"w".*U8 \[2,2\].*of 3/],
    ['another type', { w: { dtype: 'F32', shape: [1], data: new Uint32Array(1) } as never }, /F32.*Uint32Array/],
    ['a negative size', { w: { dtype: 'U8', shape: [-1, -1], data: new Uint8Array(1) } }, /"w" cannot be saved/],
  ])('%s', (_, tensors, message) => {
    expect(() => encodeSafetensors(tensors)).toThrow(CheckpointError);
    expect(() => encodeSafetensors(tensors)).toThrow(message);
  });
});

describe('hostile files', () => {
  const lengthOnly = (length: bigint) => new Uint8Array(BigUint64Array.of(length).buffer);

  test.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(), /0 bytes, and needs 8/],
    ['an absurd header length', lengthOnly(2n ** 64n - 1n), /header would have 18446744073709/],
    ['a header beyond the file', lengthOnly(9n), /cut short: its header ends at byte 17, the file at 8/],
    ['no header', lengthOnly(0n), /no JSON/],
    ['no UTF-8', file('"?"').map((byte) => (byte === 0x3f ? 0xff : byte)), /no UTF-8/],
    ['a byte order mark', file('\ufeff{}'), /no JSON/],
    ['no JSON', file('{"w":'), /no JSON/],
    ['deep nesting', file('['.repeat(100_000)), /no JSON/],
    ['a list', file([]), /no JSON object/],
    ['null', file('null'), /no JSON object/],
    ['metadata that are no texts', file({ __metadata__: { a: 1 } }), /does not map names to texts/],
    ['metadata that are a list', file({ __metadata__: [] }), /does not map names to texts/],
    ['metadata that are null', file({ __metadata__: null }), /does not map names to texts/],
    ['an entry that is none', file({ w: null }), /tensor "w" is not described/],
    ['an entry with more', file({ w: { ...entry([1], [0, 1]), more: 1 } }, 1), /"w" is not described/],
    [
      'a prototype for an entry',
      file('{"w":{"__proto__":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}}', 1),
      /"w" is/,
    ],
    ['an unknown type', file({ w: entry([1], [0, 1], 'F4') }, 1), /element type "F4".*F32/],
    ['an inherited type', file({ w: entry([1], [0, 1], 'toString') }, 1), /element type "toString"/],
    ['a type that is a list', file({ w: entry([1], [0, 1], ['U8']) }, 1), /element type \["U8"\]/],
    ['a shape that is none', file({ w: entry('1', [0, 1]) }, 1), /not a list of sizes/],
    ['a negative size', file({ w: entry([-1, -1], [0, 1]) }, 1), /not a list of sizes/],
    ['a fractional size', file({ w: entry([0.5, 2], [0, 1]) }, 1), /not a list of sizes/],
    ['an overflowing shape', file({ w: entry([2 ** 40, 2 ** 40, 0], [0, 0]) }), /impossible shape/],
    ['one offset', file({ w: entry([1], [0]) }, 1), /two data_offsets/],
    ['a negative offset', file({ w: entry([1], [-1, 0]) }, 1), /two data_offsets/],
    ['offsets the wrong way round', file({ w: entry([1], [1, 0]) }, 1), /of 1 bytes, but its data go from 1 to 0/],
    ['a size that does not fit', file({ w: entry([3], [0, 4], 'F32') }, 4), /\[3\] of 12 bytes, .* from 0 to 4/],
    [
      'data beyond the file',
      file({ w: entry([9], [0, 9]) }, 8),
      /cut short: its tensors have 9 bytes, and there are 8/,
    ],
    ['overlaps', file({ a: entry([2], [0, 2]), b: entry([2], [1, 3]) }, 3), /"b" overlaps/],
    ['a gap', file({ a: entry([1], [0, 1]), b: entry([1], [2, 3]) }, 3), /bytes 1 to 2 before tensor "b"/],
    ['a gap at the start', file({ a: entry([1], [1, 2]) }, 2), /bytes 0 to 1/],
    ['bytes at the end', file({ a: entry([1], [0, 1]) }, 3), /2 bytes follow/],
    [
      'a name twice',
      file(
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        1,
      ),
      /a name twice/,
    ],
    ['a member twice', file('{"a":{"dtype":"F32","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1), /a name twice/],
  ])('%s', (_, bytes, message) => {
    const decode = () => decodeSafetensors(bytes, 'bad.safetensors');
    expect(decode).toThrow(CheckpointError);
    expect(decode).toThrow(message);
    expect(decode).toThrow(/^bad\.safetensors[ :].*$/);
  });

  test('colons and quotes in names are no second names', () => {
    const tricky = { 'a:"b\\': entry([], [0, 1]), ':': entry([0], [1, 1]) };
    expect(decodeSafetensors(file(tricky, 1), 'tricky').tensors.size).toBe(2);
  });

  test('a changed byte or a cut is read or is a CheckpointError, never another error', () => {
    fc.assert(
      fc.property(anyTensors, anyMetadata, fc.nat(), fc.nat(255), fc.boolean(), (named, metadata, at, value, cut) => {
        const bytes = encodeSafetensors(Object.fromEntries(named), Object.fromEntries(metadata));
        const headerEnd = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
        const changed = cut ? bytes.slice(0, at % bytes.length) : bytes.with(at % headerEnd, value);
        let error: unknown;
        try {
          decodeSafetensors(changed, 'any');
        } catch (reason) {
          error = reason;
        }
        if (error !== undefined) expect(error).toBeInstanceOf(CheckpointError);
        if (cut) expect(error).toBeInstanceOf(CheckpointError);
      }),
      { numRuns: 2000 },
    );
  });
});

// UTF-8 that arrives in parts, decoded as it comes, and where it is not UTF-8.
import { DataError } from '../errors.ts';

/** Bytes of the character that begins here, or 0 if none may. */
function lengthOf(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/** The least and the greatest second byte (Unicode 15, table 3-7). */
function second(first: number): readonly [number, number] {
  if (first === 0xe0) return [0xa0, 0xbf];
  if (first === 0xed) return [0x80, 0x9f];
  if (first === 0xf0) return [0x90, 0xbf];
  return [0x80, first === 0xf4 ? 0x8f : 0xbf];
}

/** Where bytes stop being UTF-8: that offset, or their length. What is cut short at the end is one such place. */
export function validLength(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOf(bytes[at]!);
    if (length === 0 || at + length > bytes.length) return at;
    const [least, most] = second(bytes[at]!);
    for (let i = 1; i < length; i++) {
      const byte = bytes[at + i]!;
      if (i === 1 ? byte < least || byte > most : byte < 0x80 || byte > 0xbf) return at;
    }
    at += length;
  }
  return bytes.length;
}

/** What to say of a file's byte that belongs to no character. */
export function notUtf8(name: string, value: number, offset: number): DataError {
  const byte = value.toString(16).toUpperCase().padStart(2, '0');
  return new DataError(
    `${name} is not UTF-8: byte 0x${byte} at offset ${offset} does not belong to a character: convert the file`,
  );
}

/** @throws DataError that names the file, the offset and the byte of what is not UTF-8 */
export async function* utf8Chunks(stream: ReadableStream<Uint8Array>, name: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: false });
  const reader = stream.getReader();
  let offset = 0;
  let rest = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    const bytes = new Uint8Array(rest.length + (value?.length ?? 0));
    bytes.set(rest);
    if (value) bytes.set(value, rest.length);
    const valid = validLength(bytes);
    // A character may be cut by the end of a part, but not by that of the file.
    const isCut = !done && bytes.length - valid < 4 && lengthOf(bytes[valid] ?? 0) > bytes.length - valid;
    if (valid < bytes.length && !isCut) {
      throw notUtf8(name, bytes[valid]!, offset + valid);
    }
    if (valid > 0) yield decoder.decode(bytes.subarray(0, valid), { stream: !done });
    offset += valid;
    rest = bytes.slice(valid);
    if (done) return;
  }
}

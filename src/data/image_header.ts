// How large an image is, from the first bytes of its file: a decoder takes memory for all pixels before it finds that there are none.
import { DataError } from '../errors.ts';

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Pixels that one image may have: four times as many bytes, and some images are decoded at a time. */
export const MOST_PIXELS = 2 ** 27;

/** Bytes from a file's beginning that say it; before it, JPEGs may have a preview and colour profiles. */
export const HEADER_BYTES = 1 << 18;

const PNG = 0x89504e47;
const IHDR = 0x49484452;

/** The size that a PNG or JPEG file states; nothing for other files, and where it is not within these bytes. */
export function statedSize(bytes: Uint8Array): ImageSize | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 24 && view.getUint32(0) === PNG && view.getUint32(12) === IHDR) {
    return { width: view.getUint32(16), height: view.getUint32(20) };
  }
  return bytes[0] === 0xff && bytes[1] === 0xd8 ? frameOf(view) : undefined;
}

/** Of JPEG: segments of a marker and a length, until the one that begins a frame (ITU T.81, B.2.2). */
function frameOf(view: DataView): ImageSize | undefined {
  for (let at = 2; at + 9 <= view.byteLength; ) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    // SOF0 to SOF15, among which are DHT, JPG and DAC.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    }
    // Any number of fill bytes may stand before a marker.
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return undefined;
}

/** @throws DataError if an image states that it has more pixels than are read */
export function checkStatedSize(bytes: Uint8Array, name: string): void {
  const { width, height } = statedSize(bytes) ?? { width: 0, height: 0 };
  if (width * height <= MOST_PIXELS) return;
  throw new DataError(`${name} has ${width}×${height} pixels, and ${MOST_PIXELS} are the most: make it smaller`);
}

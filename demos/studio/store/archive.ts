// A run as one file: a zip of its record, metrics, checkpoint and, where they are kept, images.
import { unzipSync, type Zippable, zipSync } from 'fflate';
import { CheckpointError } from '../../../src/errors.ts';

/** What a file may unpack to, and how many times its own size that may be: text of metrics packs to a tenth. */
const MOST_BYTES = 2 ** 31;
const MOST_RATIO = 100;

export function pack(files: ReadonlyMap<string, Uint8Array>): Uint8Array<ArrayBuffer> {
  const zipped: Zippable = {};
  // Weights and images hardly get smaller.
  for (const [name, bytes] of files) zipped[name] = [bytes, { level: /\.jsonl?$/.test(name) ? 6 : 0 }];
  return zipSync(zipped);
}

/**
 * @param wanted names of files; others are left packed
 * @throws CheckpointError if it is no zip, is damaged, or would unpack to far more than it is
 */
export function unpack(
  bytes: Uint8Array,
  source: string,
  wanted: readonly string[],
): Map<string, Uint8Array<ArrayBuffer>> {
  let total = 0;
  try {
    const files = unzipSync(bytes, {
      filter({ name, originalSize }) {
        if (!wanted.includes(name)) return false;
        total += originalSize;
        if (total > Math.min(MOST_BYTES, MOST_RATIO * bytes.length)) {
          throw new CheckpointError(
            `${source} would unpack to ${total} bytes or more, from ${bytes.length}: it is refused`,
          );
        }
        return true;
      },
    });
    return new Map(Object.entries(files)) as Map<string, Uint8Array<ArrayBuffer>>;
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${source} is no run of Glia's, or is damaged: it does not unpack`, { cause });
  }
}

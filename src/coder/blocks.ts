// Which blocks of an archive are decoded, and what becomes of those that are damaged.
import { DataError } from '../errors.ts';
import type { Archive, StoredBlock } from './container.ts';

export interface BlockChoice {
  /** Goes on where a block is damaged, and tells of it in `damaged`. */
  readonly salvage?: boolean;
  /** Only these blocks. */
  readonly blocks?: readonly number[];
}

export class ChosenBlocks {
  /** In order. */
  readonly wanted: readonly StoredBlock[];
  /** What is wrong with others, where what is sound is to be had all the same. */
  readonly damaged: string[] = [];
  private readonly archive: Archive;
  private readonly name: string;
  private readonly salvage: boolean;

  /** @throws DataError if a block is missing or damaged, and not to be salvaged */
  constructor(archive: Archive, name: string, { salvage = false, blocks: only }: BlockChoice) {
    const { total, blocks } = archive;
    this.archive = archive;
    this.name = name;
    this.salvage = salvage;
    const missing = total - blocks.size;
    // What can be told before anything is decoded.
    if (missing > 0) this.fail(new DataError(`${missing} of ${total} blocks are missing`));
    const wanted: StoredBlock[] = [];
    for (const [number, block] of [...blocks].sort(([a], [b]) => a - b)) {
      if (only && !only.includes(number)) continue;
      if (block instanceof DataError) this.fail(block);
      else wanted.push(block);
    }
    this.wanted = wanted;
  }

  /** Tells what is wrong. @throws whatever it is, unless it is damage, and that is to be borne */
  fail(error: unknown, block?: StoredBlock): void {
    if (!(error instanceof DataError)) throw error;
    const message = block ? `block ${block.number}: ${error.message}` : error.message;
    if (!this.salvage) {
      const { blocks, total } = this.archive;
      const sound = [...blocks.values()].filter((one) => !(one instanceof DataError)).length;
      const rest = sound > 0 ? `; --salvage gets what is sound (${sound} of ${total} blocks)` : '';
      throw new DataError(`${this.name}: ${message}${rest}`);
    }
    this.damaged.push(message);
  }
}

// What a run could be made again from, in host memory: copies of all that its steps change, taken while they go on.
import type { Gpu } from '../gpu/gpu.ts';
import { topological } from '../graph/graph.ts';
import { type Block, type Variable, variableOp } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { ARRAYS, type HostArray, Readback } from '../runtime/readback.ts';
import { rangeOf } from '../runtime/variables.ts';
import type { EpochSums } from './checkpoint.ts';

/** Share of the time that snapshots may take. */
const SHARE = 0.01;
/** Least and most time between two: milliseconds. */
const SOONEST = 2000;
const LATEST = 60_000;

/** The state of a run after a step. */
export interface Snapshot {
  readonly step: number;
  /** The bytes of each block of variables. */
  readonly blocks: ReadonlyMap<Block, Uint8Array>;
  readonly epochSums: EpochSums;
  /** The learning rate, where it was set while training. */
  readonly lr: number | undefined;
}

/** The blocks of the variables that a graph reads, but for some. */
export function blocksOf(roots: readonly Tensor[], others: Iterable<Variable>, without: Iterable<Variable>): Block[] {
  const read = topological(roots).flatMap(({ op, attrs }) =>
    op === variableOp ? [(attrs as { variable: Variable }).variable] : [],
  );
  const blocks = new Set([...others, ...read].map((variable) => variable.place()));
  for (const variable of without) blocks.delete(variable.place());
  return [...blocks];
}

const bufferOf = (gpu: Gpu, block: Block) => rangeOf(gpu, block.variables[0]!).buffer;

/** The value of a variable in a snapshot. */
export function variableIn(blocks: Snapshot['blocks'], variable: Variable): HostArray {
  const { buffer, byteOffset } = blocks.get(variable.place())!;
  return new ARRAYS[variable.dtype](buffer as ArrayBuffer, byteOffset + variable.offset * 4, variable.size);
}

/** Sets all variables of a snapshot, before all that is submitted later. */
export function restoreSnapshot(gpu: Gpu, { blocks }: Snapshot): void {
  for (const [block, bytes] of blocks) {
    gpu.device.queue.writeBuffer(bufferOf(gpu, block), 0, bytes as Uint8Array<ArrayBuffer>);
  }
}

/** Copies blocks on one device into staging buffers, within somebody's submit; one copy at a time. */
export class SnapshotCopies {
  private readonly readbacks: ReadonlyMap<Block, Readback>;

  constructor(gpu: Gpu, blocks: readonly Block[]) {
    const range = (block: Block) => {
      const buffer = bufferOf(gpu, block);
      return { buffer, offset: 0, size: buffer.size };
    };
    this.readbacks = new Map(blocks.map((block) => [block, new Readback(gpu, () => range(block), 'u8', 1)]));
  }

  /** Whether no copy is under way. */
  get ready(): boolean {
    return [...this.readbacks.values()].every(({ ready }) => ready);
  }

  record(encoder: GPUCommandEncoder): void {
    for (const readback of this.readbacks.values()) readback.record(encoder);
  }

  /** What was recorded, once its submit has been made. */
  async fetch(): Promise<Map<Block, Uint8Array>> {
    const all = [...this.readbacks].map(async ([block, readback]) => [block, await readback.fetch()] as const);
    // A failure of one is the failure of all, and nobody else's.
    for (const one of all) one.catch(() => undefined);
    return new Map((await Promise.all(all)) as [Block, Uint8Array][]);
  }

  destroy(): void {
    for (const readback of this.readbacks.values()) readback.destroy();
  }
}

/** When the next snapshot is due: seldom enough that all of them take a hundredth of the time. */
export class SnapshotClock {
  private readonly soonest: number;
  private last = performance.now();
  /** What the last few took: milliseconds. */
  private costs: number[] = [];

  /** @param soonest least milliseconds between two */
  constructor(soonest = SOONEST) {
    this.soonest = soonest;
  }

  get due(): boolean {
    const middle = this.costs.toSorted((a, b) => a - b)[this.costs.length >> 1] ?? 0;
    const interval = Math.max(this.soonest, Math.min(LATEST, middle / SHARE));
    return performance.now() - this.last >= interval;
  }

  taken(): void {
    this.last = performance.now();
  }

  /** @param ms by which the submit with the snapshot took longer than others */
  cost(ms: number): void {
    this.costs = [...this.costs.slice(-2), Math.max(0, ms)];
  }
}

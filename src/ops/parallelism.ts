// How much work at once keeps an adapter busy, by its vendor: what says so is never a clock, so that bits repeat.
import type { AdapterTraits } from './tensor.ts';

export interface Parallelism {
  /** What runs a workgroup: multiprocessors, compute units, cores. */
  readonly cores: number;
  /** Threads in flight that hide the latency of memory, on all of them. */
  readonly threads: number;
  /** Numbers that a thread may have in registers. */
  readonly registers: number;
}

/** Between the small and the large of a vendor's: an adapter does not tell how many cores it has. */
const VENDORS: Readonly<Record<string, Parallelism>> = {
  nvidia: { cores: 96, threads: 2 ** 16, registers: 255 },
  amd: { cores: 48, threads: 2 ** 15, registers: 256 },
  apple: { cores: 16, threads: 2 ** 14, registers: 128 },
  intel: { cores: 12, threads: 2 ** 14, registers: 128 },
  qualcomm: { cores: 6, threads: 2 ** 13, registers: 128 },
  arm: { cores: 8, threads: 2 ** 13, registers: 64 },
};
const UNKNOWN: Parallelism = { cores: 16, threads: 2 ** 14, registers: 128 };
/** Threads that run a few cores of a CPU by vectors, and leave something to share out. */
const CPU: Parallelism = { cores: 8, threads: 1024, registers: 128 };

export function parallelismOf({ software, vendor = '' }: Pick<AdapterTraits, 'software' | 'vendor'>): Parallelism {
  return software ? CPU : (VENDORS[vendor.toLowerCase()] ?? UNKNOWN);
}

// What a warp does to memory with one instruction: how many stretches of memory it touches, and how often it waits for a bank.
import type { Access } from './interpret.ts';

const WARP = 32;

/** One instruction of one warp. */
export interface Instruction {
  readonly site: number;
  readonly variable: string;
  readonly kind: Access['kind'];
  readonly accesses: readonly Access[];
}

/** The accesses of threads as a warp makes them: those of one place in the text at the same time. */
export function instructionsOf(threads: readonly (readonly Access[])[]): Instruction[] {
  const found: Instruction[] = [];
  for (let first = 0; first < threads.length; first += WARP) {
    const groups = new Map<string, Access[]>();
    for (const seen of threads.slice(first, first + WARP)) {
      const counts = new Map<number, number>();
      for (const access of seen) {
        const count = counts.get(access.site) ?? 0;
        counts.set(access.site, count + 1);
        const key = `${access.site} ${access.kind} ${count}`;
        const list = groups.get(key);
        if (list) list.push(access);
        else groups.set(key, [access]);
      }
    }
    for (const accesses of groups.values()) found.push({ ...accesses[0]!, accesses });
  }
  return found;
}

/** Bytes that a warp fetches, in stretches of so many, for each that it wants. */
export function fetchedPerByte({ accesses }: Instruction, stretch: number): number {
  const touched = new Set<number>();
  const wanted = new Set<number>();
  for (const { at, bytes } of accesses) {
    for (let byte = at; byte < at + bytes; byte += 4) {
      touched.add(Math.floor(byte / stretch));
      wanted.add(byte);
    }
  }
  return (touched.size * stretch) / (4 * wanted.size);
}

/** Turns that an access to 32 banks of 4 bytes takes, for each that it would take without a conflict: eight threads of 16 bytes at a time. */
export function conflicts({ accesses }: Instruction): number {
  const together = WARP / Math.max(1, accesses[0]!.bytes / 4);
  let turns = 0;
  let least = 0;
  for (let first = 0; first < accesses.length; first += together) {
    const words = new Map<number, Set<number>>();
    for (const { at, bytes } of accesses.slice(first, first + together)) {
      for (let word = at / 4; word < (at + bytes) / 4; word++) {
        const bank = words.get(word % WARP) ?? new Set();
        words.set(word % WARP, bank.add(word));
      }
    }
    turns += Math.max(...[...words.values()].map(({ size }) => size));
    least++;
  }
  return turns / least;
}

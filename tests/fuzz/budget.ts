// How long to search, from where, and what a failure prints to be found again.
//
//   GLIA_FUZZ_MINUTES=60   a long run of each file, in rounds, instead of the short one of every `npm test`
//   GLIA_FUZZ_SEED=7       the seed of the first round; without it, a new one each time
//   GLIA_FUZZ_DRIVER=swiftshader  plans for GPUs on Chromium's driver, which compiles them sooner than lavapipe
//   GLIA_FUZZ_SHRINK=0     a failure as it was found, at once
//   GLIA_FUZZ_FAULT=slot   with a fault of faults.ts in the compiler, to see that it is found
//   GLIA_FUZZ_PATH=3:1:0   with the seed: only this case, which a failure prints
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';

export const MINUTES = Number(process.env.GLIA_FUZZ_MINUTES ?? 0);
const PATH = process.env.GLIA_FUZZ_PATH;
const FIRST_SEED = process.env.GLIA_FUZZ_SEED === undefined ? undefined : Number(process.env.GLIA_FUZZ_SEED);

/** Vitest's limit for a test that runs rounds. */
export const TIMEOUT = (MINUTES + 10) * 60_000;

// A driver's objects are freed with JavaScript's, which are small: nothing else tells the collector that gigabytes hang on them.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Random cases that this process has tried. */
let cases = 0;

/**
 * Holds a property over random cases, in as many rounds as there is time for: one if the run is short.
 *
 * @param share of the minutes
 */
export async function search<T>(
  name: string,
  drawn: fc.Arbitrary<T>,
  { runs, share = 1 }: { runs: number; share?: number },
  hold: (value: T) => Promise<void> | void,
): Promise<void> {
  const end = performance.now() + MINUTES * share * 60_000;
  const first = FIRST_SEED ?? Math.floor(Math.random() * 2 ** 31);
  for (let round = 0; round === 0 || (!PATH && performance.now() < end); round++) {
    const seed = (first + round) % 2 ** 31;
    try {
      await fc.assert(
        fc.asyncProperty(drawn, async (value) => {
          cases++;
          await hold(value);
          if (MINUTES > 0) collect();
        }),
        {
          seed,
          numRuns: runs,
          endOnFailure: process.env.GLIA_FUZZ_SHRINK === '0',
          interruptAfterTimeLimit: 300_000,
          markInterruptAsFailure: false,
          ...(PATH && { path: PATH, endOnFailure: true }),
        },
      );
    } catch (error) {
      // A round that was over before its first case: a machine with other things to do, and no finding.
      if (MINUTES > 0 && /interrupted after 0 tests/.test((error as Error).message)) continue;
      const path = /path: "([^"]+)"/.exec((error as Error).message)?.[1] ?? '';
      // A long run has other kinds, and longer recipes.
      const long = MINUTES > 0 ? 'GLIA_FUZZ_MINUTES=1 ' : '';
      const again = `${long}GLIA_FUZZ_SEED=${seed} GLIA_FUZZ_PATH=${path} npx vitest run <this file> -t '${name}'`;
      throw new Error(`${name}, case ${cases} of this search: run again with\n  ${again}\n${causeOf(error)}`, {
        cause: error,
      });
    }
  }
}

/** What the property threw, without fast-check's own words around it. */
function causeOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message : message;
}

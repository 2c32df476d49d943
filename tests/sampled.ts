// What a run of the tests takes of cases that check alike: some, others each run; all with `npm test -- --all`.
import { randomFrom } from '../src/testing/numbers.ts';

const random = randomFrom(TEST_SEED);

/**
 * @param count so many of them, in their order, by the run's seed (GLIA_FUZZ_SEED, or a new one each run). A case that fails is
 *   named by its test, and `npm test -- --all FILE` runs it again.
 */
export function sampled<T>(cases: readonly T[], count: number): T[] {
  if (ALL_TESTS) return [...cases];
  const places = cases.map((_, i) => ({ i, at: random() })).sort((a, b) => a.at - b.at);
  const taken = new Set(places.slice(0, count).map(({ i }) => i));
  return cases.filter((_, i) => taken.has(i));
}

// Whether a model is traced to be trained: what dropout and batch norm do differently then.
import type { Update } from '../graph/graph.ts';
import type { RandomKey } from '../ops/random.ts';

/** A trace for training, while it lasts. */
interface Training {
  readonly key: RandomKey | undefined;
  draws: number;
  readonly updates: Update[];
}

let current: Training | undefined;

/** Streams of one key that a model's own draws leave free: those of its layers come behind. */
const FIRST_STREAM = 0x100;

/**
 * Traces in training mode; outside, layers behave as in use.
 *
 * @param key what layers draw random numbers from
 * @returns what `build` gave, and how running statistics change: updates for the program of the step
 */
export function inTraining<T>(key: RandomKey | undefined, build: () => T): { value: T; updates: readonly Update[] } {
  const outer = current;
  const training: Training = { key, draws: 0, updates: [] };
  current = training;
  try {
    return { value: build(), updates: training.updates };
  } finally {
    current = outer;
  }
}

export function isTraining(): boolean {
  return current !== undefined;
}

/** A key of its own for each layer that asks, in the order of the trace; none outside training. */
export function nextKey(): RandomKey | undefined {
  if (!current?.key) return undefined;
  const { key } = current;
  return { ...key, stream: FIRST_STREAM * key.stream + FIRST_STREAM + current.draws++ };
}

/** Notes that a variable changes with the step. */
export function noteUpdate(update: Update): void {
  current?.updates.push(update);
}

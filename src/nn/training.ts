// Training and evaluation mode: what dropout, batch norm and the like ask while a model is traced.
import { OptionError } from '../errors.ts';
import type { Update } from '../graph/graph.ts';
import type { RandomKey } from '../ops/random.ts';
import { currentPath, refusePromise } from '../ops/tensor.ts';

interface Mode {
  readonly training: boolean;
  readonly key: RandomKey | undefined;
  draws: number;
  readonly updates: Update[];
}

/** That of the trace that is being made. Traces are synchronous, so one that begins inside of another ends before it. */
let current: Mode | undefined;

/** Streams of one key that a model's own draws leave free: those of its layers come behind. */
const FIRST_STREAM = 0x100;

function inMode<T>(mode: Mode, name: string, build: () => T): T {
  const outer = current;
  current = mode;
  try {
    return refusePromise(name, build());
  } finally {
    current = outer;
  }
}

/**
 * Traces in training mode.
 *
 * @param key what layers such as dropout draw random numbers from
 * @returns what `build` gave, and how running statistics change with the step: `optimizer.minimize(loss, updates)`
 * @throws OptionError if `build` is async
 */
export function inTraining<T>(key: RandomKey | undefined, build: () => T): { value: T; updates: readonly Update[] } {
  const updates: Update[] = [];
  return { value: inMode({ training: true, key, draws: 0, updates }, 'inTraining', build), updates };
}

/**
 * Traces in evaluation mode: for use, or a test.
 *
 * @throws OptionError if `build` is async
 */
export function inEvaluation<T>(build: () => T): T {
  return inMode({ training: false, key: undefined, draws: 0, updates: [] }, 'inEvaluation', build);
}

/** @param layer who asks, for the message */
function modeFor(layer: string): Mode {
  if (current) return current;
  const path = currentPath();
  throw new OptionError(
    `${path ? `${path}: ` : ''}${layer} does not do the same in training as in use: ` +
      'build the graph within inTraining(key, () => …) or inEvaluation(() => …)',
  );
}

/**
 * Whether the model is traced for training.
 *
 * @param layer who asks, for the message
 * @throws OptionError if nobody said
 */
export function isTraining(layer: string): boolean {
  return modeFor(layer).training;
}

/**
 * In training a key of its own for each layer that asks, in the order of the trace; none in evaluation.
 *
 * @throws OptionError if nobody said which it is, or if training was given no key
 */
export function nextKey(layer: string): RandomKey | undefined {
  const mode = modeFor(layer);
  if (!mode.training) return undefined;
  const { key } = mode;
  if (!key) {
    const path = currentPath();
    throw new OptionError(`${path ? `${path}: ` : ''}${layer} draws random numbers: give inTraining a key`);
  }
  return { ...key, stream: FIRST_STREAM * key.stream + FIRST_STREAM + mode.draws++ };
}

/** Notes that a variable changes with the step, in training. */
export function noteUpdate(update: Update): void {
  if (current?.training) current.updates.push(update);
}

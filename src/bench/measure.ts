// Measures engines in turns: all of them at one piece of work, several rounds, before the next piece.
import { type Cell, ENGINES, type EngineName, type Row, turns } from './results.ts';
import { firstOutcomes, verify } from './verify.ts';
import type { Engine, Prepared, Task, Workload } from './workloads.ts';

/** A turn repeats the work for about this long: milliseconds. */
const TURN_MS = 200;
const MAX_REPEATS = 2000;
/** An engine that has used up this much time at one piece of work gets no further turns: milliseconds. */
const PATIENCE_MS = 8_000;
const MIN_ROUNDS = 3;

/** An engine at work, or why it is not. */
interface Runner {
  readonly prepared?: Prepared;
  readonly samples: number[];
  error?: string;
  spent: number;
}

export interface Bench {
  readonly engines: ReadonlyMap<EngineName, Engine | Error>;
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  /** What is going on now. */
  readonly tell?: (what: string) => void;
  /** Ends it before the next turn, without the row that was under way. */
  readonly stop?: AbortSignal | undefined;
}

/** Gives each row when it is complete. */
export async function* measure({ engines, workloads, rounds, tell, stop }: Bench): AsyncGenerator<Row> {
  for (const { id, name, work, create } of workloads) {
    const task = create();
    const runners = new Map<EngineName, Runner>();
    for (const [engine, made] of engines) {
      tell?.(`${name}: checking ${ENGINES[engine]}`);
      runners.set(engine, await start(made, task));
    }
    for (let round = 0; round < rounds; round++) {
      for (const [engine, runner] of turns(runners, round)) {
        if (stop?.aborted) break;
        tell?.(`${name}: round ${round + 1} of ${rounds}, ${ENGINES[engine]}`);
        if (round < MIN_ROUNDS || runner.spent < PATIENCE_MS) await takeTurn(runner);
      }
    }
    for (const { prepared } of runners.values()) prepared?.destroy();
    if (stop?.aborted) return;
    const cells = Object.fromEntries([...runners].map(([engine, runner]) => [engine, cellOf(runner)]));
    yield { id, name, unit: 'ms', work, cells };
  }
}

function cellOf({ samples, error }: Runner): Cell {
  return error === undefined ? { samples } : { error };
}

/** Nothing is timed whose first results are not right. */
async function start(engine: Engine | Error, task: Task): Promise<Runner> {
  if (engine instanceof Error) return { samples: [], spent: 0, error: engine.message };
  let prepared: Prepared | undefined;
  try {
    prepared = await engine.prepare(task);
    const problem = await verify(task, await firstOutcomes(task, prepared));
    if (!problem) return { prepared, samples: [], spent: 0 };
    prepared.destroy();
    return { samples: [], spent: 0, error: problem };
  } catch (error) {
    prepared?.destroy();
    return { samples: [], spent: 0, error: `failed: ${(error as Error).message}` };
  }
}

async function takeTurn(runner: Runner): Promise<void> {
  const { prepared, samples } = runner;
  if (!prepared || runner.error !== undefined) return;
  const timed = async (repeats: number) => {
    const began = performance.now();
    await prepared.run(repeats);
    const ms = performance.now() - began;
    runner.spent += ms;
    return ms;
  };
  try {
    // How many repeats fill a turn is found out anew each time: whoever else uses the machine comes and goes. It also
    // wakes up the caches that the engines before have filled with their own data.
    let repeats = 1;
    let ms = await timed(repeats);
    while (ms < TURN_MS / 2 && repeats < MAX_REPEATS) {
      repeats = Math.min(MAX_REPEATS, 10 * repeats, Math.ceil((repeats * TURN_MS) / Math.max(ms, 0.1)));
      ms = await timed(repeats);
    }
    samples.push(ms / repeats);
  } catch (error) {
    runner.error = `failed: ${(error as Error).message}`;
  }
}

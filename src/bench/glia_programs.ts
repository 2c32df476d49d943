// Runs Glia's programs of the bench.
import { freeVariables, type Program, type Variable } from '../index.ts';
import type { Outcome, Prepared } from './workloads.ts';

/** Runs in one submit; a page should not have to wait for more. */
const RUNS_PER_SUBMIT = 50;

/** What a program with an output `result` does, on variables that are freed with it. */
export function prepareProgram(program: Program, variables: readonly Variable[]): Prepared {
  return {
    async once(): Promise<Outcome> {
      program.run();
      return { values: (await program.read('result')) as Float32Array };
    },
    async run(repeats) {
      for (let left = repeats; left > 0; left -= RUNS_PER_SUBMIT) {
        program.run({}, { steps: Math.min(left, RUNS_PER_SUBMIT) });
      }
      await program.gpu.device.queue.onSubmittedWorkDone();
    },
    destroy() {
      program.destroy();
      freeVariables(program.gpu, variables);
    },
  };
}

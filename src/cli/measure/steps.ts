// Training steps, softmax and sums, whole: each checked in float64, then timed in long runs.
import { createEngine } from '../../bench/glia.ts';
import { firstOutcomes, verify } from '../../bench/verify.ts';
import { WORKLOADS } from '../../bench/workloads.ts';
import { median } from '../../runtime/timer.ts';
import { micro, type Phase } from './phase.ts';

const STEPS = 1000;
const ROUNDS = 5;

export const steps: Phase = async ({ gpu, webgpu, say, keep }) => {
  const engine = await createEngine({ gpu: webgpu });
  // A CPU takes a hundred times as long.
  const count = gpu.adapter.software ? 5 : STEPS;
  for (const { id, work, create } of WORKLOADS.filter((workload) => /vae|gpt|softmax|sum-/.test(workload.id))) {
    const task = create();
    const prepared = await engine.prepare(task);
    const problem = await verify(task, await firstOutcomes(task, prepared));
    await prepared.run(Math.ceil(count / 10));
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const start = performance.now();
      await prepared.run(count);
      times.push((performance.now() - start) / count);
    }
    const ms = median(times);
    keep(id, { ms, times, problem, gflops: work.flops / ms / 1e6 });
    say(`${id}: ${micro(ms)}${problem ? `, WRONG: ${problem}` : ''}`);
    prepared.destroy();
  }
};

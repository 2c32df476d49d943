// What the copies of a run's state cost: two runs of one model in one page, with copies and without, in turns.
import { strokeDigits } from '../../data/digits.ts';
import { Gpu } from '../../gpu/gpu.ts';
import { trainByName } from '../../train/named.ts';
import { completeOptions, type GivenOptions } from '../../train/options.ts';

export interface Cost {
  readonly adapter: string;
  /** Median milliseconds of a step in each round. */
  readonly rounds: readonly { readonly with: number; readonly without: number }[];
}

/** @param seconds of each turn */
export async function snapshotCost(given: GivenOptions, rounds: number, seconds: number): Promise<Cost> {
  const gpu = await Gpu.request();
  const options = completeOptions({ epochs: 1e6, ...given });
  const data = strokeDigits({ seed: 0, train: 4096, test: 16 });
  const trainers = [undefined, Number.POSITIVE_INFINITY].map(async (snapshotEvery) => {
    return trainByName(gpu, { ...data, test: data.test }, options, snapshotEvery ? { snapshotEvery } : {});
  });
  const [copying, plain] = await Promise.all(trainers);
  /** Milliseconds a step, over a turn. */
  const turn = async (trainer = plain!) => {
    const stop = AbortSignal.timeout(1000 * seconds);
    const [since, from] = [performance.now(), trainer.step];
    for await (const _ of trainer.train(stop));
    return (performance.now() - since) / (trainer.step - from);
  };
  await turn(copying);
  await turn(plain);
  const measured: { with: number; without: number }[] = [];
  for (let i = 0; i < rounds; i++) {
    // Each goes first as often as the other.
    const first = await turn(i % 2 ? plain : copying);
    const second = await turn(i % 2 ? copying : plain);
    measured.push(i % 2 ? { with: second, without: first } : { with: first, without: second });
  }
  return { adapter: gpu.name, rounds: measured };
}

// The page behind `npm run tune`.
import { Gpu } from '../../gpu/gpu.ts';
import { type TuneResult, tuneKey } from '../../runtime/tune.ts';
import type { TrainOptions } from '../../train/options.ts';
import { type Checked, checkTuner, tuneModel } from './work.ts';

/** Functions of the command, by which its page reaches it. */
declare global {
  interface Window {
    gliaRecall(key: string): Promise<string | undefined>;
    gliaRemember(key: string, value: string): Promise<void>;
    gliaTuned(result: TuneResult): Promise<void>;
    gliaChecked(checked: Checked): Promise<void>;
  }
}

/** The device goes with the page. */
export async function run(given: Partial<TrainOptions>, again: boolean, check: boolean): Promise<string> {
  const gpu = await Gpu.request();
  if (check) await checkTuner(gpu, given, window.gliaChecked);
  if (check) return tuneKey(gpu);
  const store = { get: window.gliaRecall, set: window.gliaRemember };
  return tuneModel(gpu, given, { store, again, onResult: (result) => void window.gliaTuned(result) });
}

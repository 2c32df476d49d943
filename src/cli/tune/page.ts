// Runs in the page that `npm run tune` opens: tunes the training step of a model on the built-in data.
import { strokeDigits } from '../../data/digits.ts';
import { Gpu } from '../../gpu/gpu.ts';
import { type TuneResult, tuneKey } from '../../runtime/tune.ts';
import { completeOptions, type TrainOptions } from '../../train/options.ts';
import { Trainer } from '../../train/trainer.ts';

declare global {
  interface Window {
    gliaRecall(key: string): Promise<string | undefined>;
    gliaRemember(key: string, value: string): Promise<void>;
    gliaTuned(result: TuneResult): Promise<void>;
  }
}

/** Tunes, tells of each op through the window's functions, and returns what winners are remembered under. */
export async function tuneModel(given: Partial<TrainOptions>, again: boolean): Promise<string> {
  using gpu = await Gpu.request();
  const options = completeOptions(given);
  const data = strokeDigits({ train: Math.max(1000, options.batch), test: 100 });
  const store = { get: window.gliaRecall, set: window.gliaRemember };
  const tuning = { store, again, onResult: (result: TuneResult) => void window.gliaTuned(result) };
  using _trainer = await Trainer.create(gpu, data, options, undefined, { tune: tuning });
  return tuneKey(gpu);
}

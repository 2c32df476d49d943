// Profiles a training step, for the page and for the command.
import { strokeDigits } from '../../data/digits.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { Profile } from '../../runtime/profile.ts';
import { trainByName } from '../../train/named.ts';
import type { TrainOptions } from '../../train/options.ts';

/** @param repeats times that everything is measured */
export async function profileStep(gpu: Gpu, options: TrainOptions, repeats?: number): Promise<Profile> {
  // What is in the images does not matter, nor how many there are: one batch will do.
  const data = strokeDigits({ seed: options.seed, train: options.batch, test: 1 });
  using trainer = await trainByName(gpu, data, options);
  return await trainer.profile(repeats === undefined ? {} : { repeats });
}

// Profiles or explains a training step, for the page and for the command.
import { strokeDigits } from '../../data/digits.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { Profile } from '../../runtime/profile.ts';
import { builtInText, isOfText } from '../../train/built_in.ts';
import { trainByName } from '../../train/named.ts';
import type { TrainOptions } from '../../train/options.ts';
import type { Trainer } from '../../train/trainer.ts';

/** @param repeats times that everything is measured */
export async function profileStep(gpu: Gpu, options: TrainOptions, repeats?: number): Promise<Profile> {
  using trainer = await trainerOf(gpu, options);
  return await trainer.profile(repeats === undefined ? {} : { repeats });
}

/** The dispatches of a step as text, and why no two neighbours are one. */
export async function explainStep(gpu: Gpu, options: TrainOptions): Promise<string> {
  using trainer = await trainerOf(gpu, options);
  return await trainer.program.printSchedule();
}

async function trainerOf(gpu: Gpu, options: TrainOptions): Promise<Trainer> {
  if (isOfText(options)) return trainByName(gpu, await builtInText(options), options);
  // What is in the images does not matter, nor how many there are: one batch will do.
  const data = strokeDigits({ seed: options.seed, train: options.batch, test: 1 });
  return trainByName(gpu, data, options);
}

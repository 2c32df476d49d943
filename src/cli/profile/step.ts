// Profiles or explains a training step, or measures shaders, on a device: for pages, and for the command in Node.
import { strokeDigits } from '../../data/digits.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { Profile } from '../../runtime/profile.ts';
import { profileShaders, type ShaderProfile } from '../../runtime/shader_profile.ts';
import { builtInText, isOfText } from '../../train/built_in.ts';
import { trainByName } from '../../train/named.ts';
import type { TrainOptions } from '../../train/options.ts';
import type { Trainer } from '../../train/trainer.ts';
import type { PageRequest } from './arguments.ts';

/** The dispatches of a step on an adapter, in words. */
export interface Explained {
  readonly adapter: string;
  readonly schedule: string;
}

export type Found = Profile | ShaderProfile | Explained;

/** Does what was asked for. */
export async function measure(gpu: Gpu, request: PageRequest): Promise<Found> {
  if (request.what === 'schedule') return { adapter: gpu.name, schedule: await explainStep(gpu, request.options) };
  const { repeats } = request;
  if (request.what === 'model') return profileStep(gpu, request.options, repeats);
  const { sources, bindings, flops } = request;
  return profileShaders(gpu, sources, bindings, {
    ...(repeats !== undefined && { repeats }),
    ...(flops !== undefined && { flops }),
  });
}

/** @param repeats times that everything is measured */
export async function profileStep(gpu: Gpu, options: TrainOptions, repeats?: number): Promise<Profile> {
  // Node 20 knows no `using`.
  const trainer = await trainerOf(gpu, options);
  try {
    return await trainer.profile(repeats === undefined ? {} : { repeats });
  } finally {
    trainer.destroy();
  }
}

/** The dispatches of a step as text, and why no two neighbours are one. */
export async function explainStep(gpu: Gpu, options: TrainOptions): Promise<string> {
  const trainer = await trainerOf(gpu, options);
  try {
    return await trainer.program.printSchedule();
  } finally {
    trainer.destroy();
  }
}

async function trainerOf(gpu: Gpu, options: TrainOptions): Promise<Trainer> {
  if (isOfText(options)) return trainByName(gpu, await builtInText(options), options);
  // What is in the images does not matter, nor how many there are: one batch will do.
  const data = strokeDigits({ seed: options.seed, train: options.batch, test: 1 });
  return trainByName(gpu, data, options);
}

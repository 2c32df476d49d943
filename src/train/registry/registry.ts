// The models that are trained by name: one file each, and one line here.
import type { Dataset } from '../../data/images.ts';
import { OptionError } from '../../errors.ts';
import type { Model } from '../../models/model.ts';
import type { OptionValue } from '../rules.ts';
import { betaVae } from './beta_vae.ts';
import { burda } from './burda.ts';
import { classifier } from './classifier.ts';
import { convClassifier } from './conv_classifier.ts';
import { convVae } from './conv_vae.ts';
import { cvae } from './cvae.ts';
import { denoising } from './denoising.ts';
import type { ModelEntry } from './entry.ts';
import { iwae } from './iwae.ts';
import { vae } from './vae.ts';
import { vqVae } from './vq_vae.ts';

/** The first is the one by default. */
const ENTRIES: readonly ModelEntry[] = [
  vae,
  convVae,
  betaVae,
  iwae,
  burda,
  cvae,
  vqVae,
  classifier,
  convClassifier,
  denoising,
];

export const MODELS: ReadonlyMap<string, ModelEntry> = new Map(ENTRIES.map((entry) => [entry.name, entry]));

/** @throws OptionError if there is none of this name */
export function modelEntry(name: string): ModelEntry {
  const entry = MODELS.get(name);
  if (!entry) throw new OptionError(`there is no model ${name}; there are: ${[...MODELS.keys()].join(', ')}`);
  return entry;
}

/**
 * The model of a run, for its data.
 *
 * @param options of the run, of which the model gets its own
 */
export function createModel(data: Dataset, options: Readonly<Record<string, OptionValue>>): Model {
  const entry = modelEntry(String(options.model));
  const own = Object.keys(entry.options).map((name) => [name, options[name]]);
  return entry.create(data, Object.fromEntries(own));
}

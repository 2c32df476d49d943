// The models that are trained by name: a file each, and an import and an entry here.
import type { Dataset } from '../../data/images.ts';
import type { TextDataset } from '../../data/text.ts';
import { DataError, OptionError } from '../../errors.ts';
import type { Model } from '../../models/model.ts';
import type { Module } from '../../nn/module.ts';
import type { OptionValue } from '../rules.ts';
import { betaVae } from './beta_vae.ts';
import { burda } from './burda.ts';
import { burdaTwo } from './burda_two.ts';
import { classifier } from './classifier.ts';
import { convClassifier } from './conv_classifier.ts';
import { convVae } from './conv_vae.ts';
import { cvae } from './cvae.ts';
import { denoising } from './denoising.ts';
import type { ModelEntry } from './entry.ts';
import { gpt } from './gpt.ts';
import { hvae } from './hvae.ts';
import { iwae } from './iwae.ts';
import { ladder } from './ladder.ts';
import type { TextEntry } from './text_entry.ts';
import { textVae } from './text_vae.ts';
import { vae } from './vae.ts';
import { vqVae } from './vq_vae.ts';

/** The first is the one by default. */
const ENTRIES: readonly (ModelEntry | TextEntry)[] = [
  vae,
  convVae,
  betaVae,
  iwae,
  burda,
  burdaTwo,
  ladder,
  hvae,
  cvae,
  vqVae,
  classifier,
  convClassifier,
  denoising,
  gpt,
  textVae,
];

export const MODELS: ReadonlyMap<string, ModelEntry | TextEntry> = new Map(ENTRIES.map((entry) => [entry.name, entry]));

/** @throws OptionError if there is none of this name */
export function modelEntry(name: string): ModelEntry | TextEntry {
  const entry = MODELS.get(name);
  if (!entry) throw new OptionError(`there is no model ${name}; there are: ${[...MODELS.keys()].join(', ')}`);
  return entry;
}

export const isTextEntry = (entry: ModelEntry | TextEntry): entry is TextEntry => 'kind' in entry;

/** What a batch of a model holds, in words. */
export function examplesOf(model: string): 'images' | 'sentences' | 'windows' {
  const entry = modelEntry(model);
  return isTextEntry(entry) ? (entry.examples ? 'sentences' : 'windows') : 'images';
}

/** What a model's loss is counted in. */
export function unitOf(model: string): string {
  return { images: 'nats an image', sentences: 'nats a sentence', windows: 'nats a token' }[examplesOf(model)];
}

type Options = Readonly<Record<string, OptionValue>>;

/** Of a run's options, the model's own. */
function ownOptions(entry: ModelEntry | TextEntry, options: Options) {
  const own = Object.keys(entry.options).map((name) => [name, options[name]]);
  return Object.fromEntries(own) as Record<string, never>;
}

/**
 * The model of a run, for its images.
 *
 * @param options of the run, of which the model gets its own
 * @throws DataError if it is one of text
 */
export function createModel(data: Dataset, options: Options): Model {
  const entry = modelEntry(String(options.model));
  if (isTextEntry(entry)) throw new DataError(`${entry.name} learns from text, and ${data.name} holds images`);
  return entry.create(data, ownOptions(entry, options));
}

/**
 * The model of a run, for its text.
 *
 * @throws DataError if it is one of images
 */
export function createTextModel(data: TextDataset, options: Options): { entry: TextEntry; model: Module } {
  const entry = modelEntry(String(options.model));
  if (!isTextEntry(entry)) throw new DataError(`${entry.name} learns from images, and ${data.name} holds text`);
  return { entry, model: entry.create(data, ownOptions(entry, options)) };
}

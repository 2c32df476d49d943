// The models that can be trained by name: how each is made for a data set, and what pictures show what it learned.
import type { Dataset } from '../data/images.ts';
import { DataError, OptionError } from '../errors.ts';
import { Classifier, convClassifier } from '../models/classifier.ts';
import type { Batch, Model } from '../models/model.ts';
import { convNetworks } from '../models/networks.ts';
import { VAE, type VAEOptions } from '../models/vae.ts';
import { VqVae } from '../models/vq_vae.ts';
import type { RandomKey } from '../ops/random.ts';
import type { ModelName, TrainOptions } from './options.ts';
import { COLUMNS, codes, manifold, type Picture, reconstructions, samples, samplesByClass, usage } from './pictures.ts';

interface ModelEntry {
  /** Options that mean something to this model alone, beside those of every run. */
  readonly options: readonly (keyof TrainOptions)[];
  /** Learning rate, and steps after which it is half, unless the run says otherwise: 0.001, and constant, unless these do. */
  readonly lr?: number;
  readonly decay?: number;
  create(data: Dataset, options: TrainOptions): Model;
  /** @param examples test images, [exampleCount(…), pixels], and their labels */
  pictures?(model: Model, examples: Batch, key: RandomKey): Record<string, Picture>;
}

/** Test images that pictures are made of. */
const EXAMPLES = 32;

/** Of so many test images, those that fill rows. */
export function exampleCount(available: number): number {
  return available < COLUMNS ? available : Math.min(EXAMPLES, available - (available % COLUMNS));
}

const pixelsOf = ({ train }: Dataset) => train.height * train.width * train.channels;

function classesOf({ name, train: { classes } }: Dataset, model: string): number {
  if (classes < 2) throw new DataError(`${name} has no labels, and the ${model} learns from labels`);
  return classes;
}

/** What all VAEs show. */
function vaePictures(model: Model, { images }: Batch, key: RandomKey): Record<string, Picture> {
  const vae = model as VAE;
  return {
    reconstructions: reconstructions(images, vae.reconstruct(images)),
    samples: samples(vae, key),
    manifold: manifold(vae, images),
  };
}

/** A VAE of multilayer perceptrons, or of what `more` makes of it. */
function vaeEntry(
  own: readonly (keyof TrainOptions)[],
  more: (options: TrainOptions, data: Dataset) => Partial<VAEOptions> = () => ({}),
): ModelEntry {
  return {
    options: ['latent', 'likelihood', ...own],
    create: (data, options) => {
      const { hidden, latent, likelihood, beta, warmup } = options;
      const given = { hidden, latent, likelihood, beta: beta ?? 1, warmup: warmup ?? 0 };
      return new VAE({ pixels: pixelsOf(data), ...given, ...more(options, data) });
    },
    pictures: vaePictures,
  };
}

export const MODELS: Readonly<Record<ModelName, ModelEntry>> = {
  vae: vaeEntry(['hidden', 'beta', 'warmup']),
  'conv-vae': vaeEntry(['beta', 'warmup'], ({ latent }, { train }) => ({
    networks: convNetworks({ shape: train, latent, codes: 2 * latent, norm: true }),
  })),
  'beta-vae': vaeEntry(['hidden', 'beta', 'warmup'], ({ beta = 4, warmup = 500 }) => ({ beta, warmup })),
  iwae: vaeEntry(['hidden', 'particles'], ({ particles = 5 }) => ({ particles })),
  cvae: {
    ...vaeEntry(['hidden', 'beta', 'warmup'], (_, data) => ({ classes: classesOf(data, 'cvae') })),
    pictures(model, { images, labels }, key) {
      const vae = model as VAE;
      return {
        reconstructions: reconstructions(images, vae.reconstruct(images, labels)),
        samples: samplesByClass(vae, key),
      };
    },
  },
  'vq-vae': {
    options: ['latent', 'beta', 'codes'],
    create: (data, { latent, codes, beta }) =>
      new VqVae({ shape: data.train, latent, codes, ...(beta !== undefined && { beta }) }),
    pictures(model, { images }) {
      const vqVae = model as VqVae;
      return {
        reconstructions: reconstructions(images, vqVae.reconstruct(images)),
        codes: codes(vqVae),
        usage: usage(vqVae, images),
      };
    },
  },
  classifier: {
    options: ['hidden'],
    create: (data, { hidden }) =>
      new Classifier({ pixels: pixelsOf(data), classes: classesOf(data, 'classifier'), hidden }),
  },
  'conv-classifier': {
    options: ['hidden'],
    // Steps that become smaller: a constant rate leaves a tenth of a percent or two to chance.
    lr: 3e-3,
    decay: 200,
    create(data, { hidden }) {
      const classes = classesOf(data, 'conv-classifier');
      return new Classifier({ pixels: pixelsOf(data), classes, layers: convClassifier(data.train, classes, hidden) });
    },
  },
};

/** Options that only some models read. */
export const MODEL_OPTIONS: ReadonlySet<keyof TrainOptions> = new Set(
  Object.values(MODELS).flatMap(({ options }) => options),
);

export function modelEntry(name: string): ModelEntry {
  const entry = Object.hasOwn(MODELS, name) ? MODELS[name as ModelName] : undefined;
  if (!entry) throw new OptionError(`there is no model ${name}; there are: ${Object.keys(MODELS).join(', ')}`);
  return entry;
}

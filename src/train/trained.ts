// The model that a file holds, to be used rather than trained.
import type { Dataset } from '../data/images.ts';
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { LatentModel } from '../models/latent_model.ts';
import { Parameters } from '../nn/module.ts';
import { writeVariable } from '../runtime/variables.ts';
import { restoredModel, type Trained } from './checkpoint.ts';
import { createModel, modelEntry } from './registry/registry.ts';

/**
 * The VAE that a file holds, checked against the data, and its weights; `restoreVae` sets these on a device.
 *
 * @throws OptionError if the model has no density, or was trained on images or classes of another kind; CheckpointError
 * if a tensor is missing or of another shape
 */
export function trainedVae(trained: Trained, dataset: Dataset) {
  const { name, options, data, tensors } = trained;
  const model = createModel(dataset, options);
  if (!(model instanceof LatentModel)) {
    const entry = modelEntry(options.model);
    const why = ('withoutDensity' in entry && entry.withoutDensity) || 'it says nothing of how likely images are';
    throw new OptionError(`${name} holds a ${options.model}: ${why}; --nll is for the VAEs`);
  }
  const { height, width, channels } = dataset.train;
  const pixels = height * width * channels;
  const trainedPixels = Number(/\d+/.exec(data?.tensors.images?.split(' ')[1] ?? '')?.[0] ?? pixels);
  if (data && trainedPixels !== pixels) {
    const trainedOn = `images of ${trainedPixels} numbers (${data.name})`;
    throw new OptionError(`${name} was trained on ${trainedOn}, and those of ${dataset.name} have ${pixels}`);
  }
  const classes = (tensors.get('encoder.0.weight')?.shape[1] ?? 0) - pixels;
  if (model.classes > 0 && classes > 0 && classes !== model.classes) {
    throw new OptionError(`${name} was told ${classes} classes, and ${dataset.name} has ${model.classes}`);
  }
  const parameters = new Parameters(model);
  return { vae: model, parameters, weights: restoredModel(parameters, model.namedBuffers(), trained) };
}

export function restoreVae(gpu: Gpu, { weights }: ReturnType<typeof trainedVae>): void {
  for (const { variable, flat } of weights) writeVariable(gpu, variable, flat);
}

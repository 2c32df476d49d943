// The model that a file holds, to be used rather than trained.
import type { Dataset } from '../data/images.ts';
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { VAE } from '../models/vae.ts';
import { VqVae } from '../models/vq_vae.ts';
import { Parameters } from '../nn/module.ts';
import { writeVariable } from '../runtime/variables.ts';
import { restoredModel, type Trained } from './checkpoint.ts';
import { modelEntry } from './models.ts';

/**
 * The VAE that a file holds, checked against the data, and its weights; `restoreVae` sets these on a device.
 *
 * @throws OptionError if the model has no density, or was trained on images or classes of another kind; CheckpointError
 * if a tensor is missing or of another shape
 */
export function trainedVae(trained: Trained, dataset: Dataset) {
  const { name, options, data, tensors } = trained;
  const model = modelEntry(options.model).create(dataset, options);
  if (!(model instanceof VAE)) {
    const why =
      model instanceof VqVae
        ? 'its code is looked up, not drawn, and it has no prior over codes, so p(x) is not defined'
        : 'it tells classes of images, not how likely images are';
    throw new OptionError(`${name} holds a ${options.model}: ${why}; --nll is for the VAEs`);
  }
  const { height, width, channels } = dataset.train;
  const pixels = height * width * channels;
  if (data && data.pixels !== pixels) {
    const trainedOn = `images of ${data.pixels} numbers (${data.name})`;
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

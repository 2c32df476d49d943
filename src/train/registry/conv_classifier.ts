// `conv-classifier`: convolutions from images to classes, with batch norm.

import { Classifier, convClassifier as convLayers } from '../../models/classifier.ts';
import { classifierAbilities } from '../abilities.ts';
import { classesOf, defineModel, pixelsOf } from './entry.ts';
import { hidden } from './vae_options.ts';

export const convClassifier = defineModel({
  name: 'conv-classifier',
  options: { hidden },
  // Steps that become smaller: a constant rate leaves a tenth of a percent or two to chance.
  lr: 3e-3,
  decay: 200,
  withoutDensity: 'it tells classes of images, not how likely images are',
  create(data, { hidden }) {
    const classes = classesOf(data, 'conv-classifier');
    return new Classifier({ pixels: pixelsOf(data), classes, layers: convLayers(data.train, classes, hidden) });
  },
  abilities: classifierAbilities,
});

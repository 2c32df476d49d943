// `classifier`: a multilayer perceptron from images to classes.

import { Classifier } from '../../models/classifier.ts';
import { classifierAbilities } from '../abilities.ts';
import { classesOf, defineModel, pixelsOf } from './entry.ts';
import { hidden } from './vae_options.ts';

export const classifier = defineModel({
  name: 'classifier',
  options: { hidden },
  withoutDensity: 'it tells classes of images, not how likely images are',
  create: (data, { hidden }) =>
    new Classifier({ pixels: pixelsOf(data), classes: classesOf(data, 'classifier'), hidden }),
  abilities: classifierAbilities,
});

// Runs by name in tests: options that a model does not read are left out, so that several models take the same ones.
import { savedOptions, type TrainOptions } from '../src/train/options.ts';

export const optionsFor = (given: object): TrainOptions => savedOptions({ model: 'vae', ...given });

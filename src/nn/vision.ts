// The public API of what images need: what `import { … } from 'glia/vision'` gives.
export { type ConvOptions, conv2d, convTranspose2d } from '../ops/conv.ts';
export { groupNorm, layerNorm, normalize } from '../ops/norm.ts';
export { patches, sumPatches, type Window } from '../ops/patches.ts';
export { avgPool2d, maxPool2d, type PoolOptions, type UpsampleMode, upsample2d } from '../ops/pool.ts';
export {
  Conv2d,
  type Conv2dOptions,
  ConvTranspose2d,
  type ConvTranspose2dOptions,
  Flatten,
  Unflatten,
} from './conv.ts';
export { ModuleBuffer } from './module.ts';
export { BatchNorm2d, type BatchNormOptions, GroupNorm, LayerNorm } from './norm.ts';
export { AvgPool2d, Dropout, Embedding, MaxPool2d, Upsample } from './pool.ts';
export { inEvaluation, inTraining } from './training.ts';

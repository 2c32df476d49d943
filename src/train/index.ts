// The public API of training runs: what `import { … } from 'glia/train'` gives.
export type { Files, ReadProgress } from '../data/files.ts';
export { readDataset } from '../data/formats.ts';
export { datasetFromFiles, type NamedFile, readIdxDataset } from '../data/idx.ts';
export type { Dataset, ImageSet } from '../data/images.ts';
export type { Look } from '../data/resize.ts';
export { type Checkpoint, decodeCheckpoint } from './checkpoint.ts';
export type { EpochEvent, Means, StepEvent, TrainEvent } from './events.ts';
export { completeOptions, type TrainOptions } from './options.ts';
export { decodeSafetensors, encodeSafetensors } from './safetensors.ts';
export { type ShownPicture, Trainer } from './trainer.ts';

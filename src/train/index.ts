// The public API of training runs: what `import { … } from 'glia/train'` gives.
export type { Files, ReadProgress } from '../data/files.ts';
export { readDataset } from '../data/formats.ts';
export { datasetFromFiles, type NamedFile, readIdxDataset } from '../data/idx.ts';
export type { Dataset, ImageSet } from '../data/images.ts';
export type { Look } from '../data/resize.ts';
export {
  type Batch,
  type Examples,
  type ExampleTensor,
  imageTensors,
  type TensorDataset,
} from '../data/tensors.ts';
export { type Checkpoint, decodeCheckpoint, decodeTrained, type Trained } from './checkpoint.ts';
export type { Estimate } from './estimates.ts';
export {
  type EvaluateOptions,
  type Evaluation,
  type EvaluationProgress,
  type EvaluationState,
  estimateLikelihood,
  estimateSentences,
  type LayerUse,
  type NllEstimate,
  type SentenceEvaluation,
} from './evaluate.ts';
export type { EpochEvent, Means, StepEvent, TrainEvent } from './events.ts';
export type { Loss } from './graphs.ts';
export type { Recovery } from './healing.ts';
export type { LossContext } from './loss.ts';
export { type NamedRun, trainByName } from './named.ts';
export { completeOptions, type GivenOptions, type TrainOptions } from './options.ts';
export { decodeSafetensors, encodeSafetensors } from './safetensors.ts';
export type { ShownText, TextSource } from './texts.ts';
export { restoreVae, trainedVae } from './trained.ts';
export { Trainer } from './trainer.ts';
export type { ShownPicture, TrainerOptions } from './trainer_options.ts';

// The public API: what `import { … } from 'glia'` gives.

// Data sets, in memory.
export { datasetFromFiles, type NamedFile, readIdxDataset } from './data/idx.ts';
export type { Dataset, ImageSet } from './data/images.ts';
export * from './errors.ts';
// The device.
export { Gpu, type GpuOptions } from './gpu/gpu.ts';
// Graphs and their transforms.
export { grad, gradients, valueAndGrad } from './graph/autodiff.ts';
export { type Graph, printGraph, type Update } from './graph/graph.ts';
// Models.
export { Classifier, type ClassifierOptions } from './models/classifier.ts';
export { type Batch, Model, type Terms } from './models/model.ts';
export { type ElboTerms, type Likelihood, type Posterior, VAE, type VAEOptions } from './models/vae.ts';
// Modules and optimizers.
export { Generator } from './nn/generator.ts';
export * as init from './nn/init.ts';
export {
  GELU,
  Layer,
  LeakyReLU,
  Linear,
  ReLU,
  Sequential,
  Sigmoid,
  SiLU,
  Softplus,
  Tanh,
} from './nn/layers.ts';
export { Module, Parameter, Parameters } from './nn/module.ts';
export {
  Adam,
  type AdamOptions,
  AdamW,
  Optimizer,
  type OptimizerOptions,
  SGD,
  type SGDOptions,
  type Step,
} from './nn/optimizers.ts';
export { constantSchedule, cosineSchedule, type Schedule, warmup } from './nn/schedules.ts';
// Ops.
export {
  bernoulliNll,
  gaussianKl,
  gaussianNll,
  gelu,
  leakyRelu,
  logSoftmax,
  silu,
  softmax,
} from './ops/composite.ts';
export {
  abs,
  add,
  cos,
  div,
  divideFloor,
  equal,
  erf,
  exp,
  expm1,
  greater,
  isFinite,
  less,
  log,
  maximum,
  minimum,
  modulo,
  mul,
  neg,
  type Operand,
  relu,
  rsqrt,
  sigmoid,
  sign,
  sin,
  softplus,
  sqrt,
  square,
  sub,
  tanh,
  toF32,
  where,
} from './ops/elementwise.ts';
export { gather, scatterAdd } from './ops/gather.ts';
export { matmul } from './ops/matmul.ts';
export { bernoulli, normal, permutation, type RandomKey, randomKey, uniform } from './ops/random.ts';
export { logsumexp, max, mean, type ReduceOptions, sum } from './ops/reduce.ts';
export { constant, input, iota, Variable } from './ops/source.ts';
export { type DType, type Shape, scope, Tensor } from './ops/tensor.ts';
export { broadcastTo, concat, pack, padTo, reshape, slice, stopGradient, transpose } from './ops/view.ts';
export type { Ceilings } from './runtime/ceilings.ts';
// Programs.
export { type CompileOptions, compile, evaluate, type InputData, type ProgramDescription } from './runtime/compile.ts';
export type { Dispatch, RunInputs } from './runtime/dispatch.ts';
export { type DispatchProfile, type Profile, type ProfileOptions, traceOf } from './runtime/profile.ts';
export type { Program, ProgramInput, RunOptions } from './runtime/program.ts';
export { type BufferRange, Readback, type Values } from './runtime/readback.ts';
export { type TuneCandidate, type Tuned, type TuneOptions, type TuneResult, tune } from './runtime/tune.ts';
export type { TuneStore } from './runtime/tune_store.ts';
export { freeVariables, readVariable, type VariableData, writeVariable } from './runtime/variables.ts';
// Training runs.
export { type Checkpoint, decodeCheckpoint } from './train/checkpoint.ts';
export type { EpochEvent, Means, StepEvent, TrainEvent } from './train/events.ts';
export { completeOptions, type TrainOptions } from './train/options.ts';
export { decodeSafetensors, encodeSafetensors } from './train/safetensors.ts';
export { type ShownPicture, Trainer } from './train/trainer.ts';

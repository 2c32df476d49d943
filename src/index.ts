// The public API, core: what `import { … } from 'glia'` gives.
export * from './errors.ts';
// The device.
export type { GpuOptions } from './gpu/adapter.ts';
export { Gpu } from './gpu/gpu.ts';
// Graphs and their transforms.
export { grad, gradients, valueAndGrad } from './graph/autodiff.ts';
export { type Graph, printGraph, type Update } from './graph/graph.ts';
export type { MemoryNeed } from './graph/sizes.ts';
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
  type ParameterGroup,
  SGD,
  type SGDOptions,
  type Step,
} from './nn/optimizers.ts';
export {
  constantSchedule,
  cosineSchedule,
  inverseTimeSchedule,
  type LearningRateSchedule,
  warmup,
} from './nn/schedules.ts';
export { argmax } from './ops/argmax.ts';
// Ops.
export {
  bernoulliNll,
  gaussianKl,
  gaussianNll,
  gelu,
  leakyRelu,
  silu,
} from './ops/composite.ts';
export { crossEntropy } from './ops/cross_entropy.ts';
export { defineOp, type KernelSpec, type PointwiseGrad, type PointwiseSpec } from './ops/define.ts';
export { einsum } from './ops/einsum.ts';
export {
  abs,
  add,
  clamp,
  cos,
  div,
  divideFloor,
  equal,
  erf,
  exp,
  expm1,
  floor,
  greater,
  isFinite,
  less,
  log,
  log1p,
  maximum,
  minimum,
  modulo,
  mul,
  neg,
  type Operand,
  pow,
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
  toF16,
  toF32,
  where,
} from './ops/elementwise.ts';
export { gather, oneHot, scatterAdd } from './ops/gather.ts';
export { matmul } from './ops/matmul.ts';
export { bernoulli, normal, permutation, type RandomKey, randomKey, uniform } from './ops/random.ts';
export { logsumexp, max, mean, min, type ReduceOptions, sum } from './ops/reduce.ts';
export { logSoftmax, softmax } from './ops/softmax.ts';
export { constant, type Input, input, iota, tensor, Variable } from './ops/source.ts';
export {
  apply,
  applyAll,
  type Check,
  type DType,
  type NdArray,
  type Op,
  type Sample,
  type Shape,
  scope,
  Tensor,
  type TensorOf,
  zeroGrad,
} from './ops/tensor.ts';
export { std, type VarianceOptions, variance, variance as var } from './ops/variance.ts';
export { broadcastTo, concat, pack, padTo, reshape, slice, stopGradient, transpose } from './ops/view.ts';
export type { Ceilings } from './runtime/ceilings.ts';
// Programs.
export {
  type CompileOptions,
  compile,
  evaluate,
  type InputData,
  memoryOf,
  type ProgramDescription,
} from './runtime/compile.ts';
export type { Dispatch, InputsOf, OutputArray, Outputs, RunInputs } from './runtime/dispatch.ts';
export type { DispatchProfile, Profile, ProfileOptions } from './runtime/profile.ts';
export type { Program, ProgramInput, RunOptions } from './runtime/program.ts';
export { type ArrayOf, type BufferRange, type HostArray, Readback } from './runtime/readback.ts';
export type { TuneCandidate, TuneOptions, TuneResult } from './runtime/tune.ts';
export type { TuneStore } from './runtime/tune_store.ts';
export { freeVariables, readVariable, writeVariable } from './runtime/variables.ts';

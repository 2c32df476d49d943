// TensorFlow.js, where it is, and what of its types is used. The package is large, so that nothing but the bench installs it:
// `npm run bench` puts it where this file looks for it.
import { TFJS_URL } from './results.ts';
import type { Prepared } from './workloads.ts';

export interface Tensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

export interface Variable extends Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  assign(value: Tensor): void;
}

export type Tensors = Record<string, Tensor>;

export interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  backend(): WebGPUBackend;
  engine(): { runKernel(name: string, inputs: Tensors, attributes: Readonly<Record<string, unknown>>): Tensor };
  tidy<T>(work: () => T): T;
  dispose(tensors: Tensor[]): void;
  tensor(data: Float32Array | Int32Array, shape: readonly number[], dtype?: 'int32'): Tensor;
  variable(value: Tensor, trainable: boolean): Variable;
  variableGrads(loss: () => Tensor, variables: readonly Variable[]): { value: Tensor; grads: Tensors };
  train: { adam(lr: number, beta1: number, beta2: number, epsilon: number): Optimizer };
  matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor;
  softmax(x: Tensor): Tensor;
  losses: { softmaxCrossEntropy(labels: Tensor, logits: Tensor): Tensor };
  oneHot(indices: Tensor, depth: number): Tensor;
  gather(x: Tensor, indices: Tensor): Tensor;
  argMax(x: Tensor, axis: number): Tensor;
  moments(x: Tensor, axis: number, keepDims: boolean): { mean: Tensor; variance: Tensor };
  split(x: Tensor, parts: number, axis: number): Tensor[];
  transpose(x: Tensor, axes: readonly number[]): Tensor;
  sum(x: Tensor, axis?: number): Tensor;
  concat(parts: readonly Tensor[]): Tensor;
  grads(f: (...inputs: Tensor[]) => Tensor): (inputs: readonly Tensor[]) => Tensor[];
  reshape(x: Tensor, shape: readonly number[]): Tensor;
  /** Images [N, H, W, C], filter [H, W, in, out]. */
  conv2d(x: Tensor, filter: Tensor, strides: number, padding: number): Tensor;
  conv2dTranspose(x: Tensor, filter: Tensor, outputShape: readonly number[], strides: number, padding: number): Tensor;
  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
  add(a: Tensor, b: Tensor | number): Tensor;
  sub(a: Tensor, b: Tensor | number): Tensor;
  mul(a: Tensor, b: Tensor | number): Tensor;
  div(a: Tensor | number, b: Tensor): Tensor;
  minimum(a: Tensor, b: number): Tensor;
  exp(x: Tensor): Tensor;
  sqrt(x: Tensor): Tensor;
  rsqrt(x: Tensor): Tensor;
  tanh(x: Tensor): Tensor;
  square(x: Tensor): Tensor;
  relu(x: Tensor): Tensor;
  softplus(x: Tensor): Tensor;
}

interface WebGPUBackend {
  readonly queue: GPUQueue;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

export interface Optimizer {
  minimize(loss: () => Tensor, returnCost: true, variables: Variable[]): Tensor;
  applyGradients(gradients: Tensors): void;
  dispose(): void;
}

export async function load(): Promise<TensorFlow> {
  try {
    // The address is no literal, so that Vite leaves the import to the browser: the file may not be there.
    return await import(/* @vite-ignore */ TFJS_URL);
  } catch {
    throw new Error('not installed; npm run bench installs it');
  }
}

/** Submits what is only encoded yet, and waits until the device has done it all. */
export async function finish(tf: TensorFlow): Promise<void> {
  const backend = tf.backend();
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
  await backend.queue.onSubmittedWorkDone();
}

/** What `apply` gives, done again and again. */
export function prepared(
  tf: TensorFlow,
  apply: () => Tensor,
  destroy: () => void,
  inOrder = (values: Float32Array) => values,
): Prepared {
  return {
    async once() {
      const result = apply();
      const values = inOrder(await result.data());
      result.dispose();
      return { values };
    },
    async run(repeats) {
      for (let i = 0; i < repeats; i++) apply().dispose();
      await finish(tf);
    },
    destroy,
  };
}

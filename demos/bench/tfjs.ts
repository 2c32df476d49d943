// TensorFlow.js at the bench's work. The package is large, so that nothing but the bench installs it: `npm run bench`
// puts it where this file looks for it, and types are declared here as far as they are used.
import { TFJS_URL } from '../../src/cli/bench/results.ts';
import { type Engine, layersOf, type NdArray, type Prepared, type Task, type TrainTask } from './workloads.ts';

interface Tensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

type Tensors = Record<string, Tensor>;

interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  backend(): WebGPUBackend;
  tidy<T>(work: () => T): T;
  dispose(tensors: Tensor[]): void;
  tensor(data: Float32Array, shape: readonly number[]): Tensor;
  variable(value: Tensor, trainable: boolean, name?: string): Tensor;
  train: { adam(lr: number, beta1: number, beta2: number, epsilon: number): Optimizer };
  matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor;
  softmax(x: Tensor): Tensor;
  sum(x: Tensor, axis?: number): Tensor;
  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  sub(a: Tensor, b: Tensor | number): Tensor;
  mul(a: Tensor, b: Tensor | number): Tensor;
  exp(x: Tensor): Tensor;
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

interface Optimizer {
  minimize(loss: () => Tensor, returnCost: true, variables: Tensor[]): Tensor;
  dispose(): void;
}

export async function createEngine(): Promise<Engine> {
  const tf = await load();
  if (!(await tf.setBackend('webgpu'))) throw new Error('TensorFlow.js has no WebGPU backend here');
  await tf.ready();
  return { prepare: async (task) => (task.kind === 'train' ? prepareStep(tf, task) : prepareOp(tf, task)) };
}

async function load(): Promise<TensorFlow> {
  try {
    // The address is no literal, so that Vite leaves the import to the browser: the file may not be there.
    return await import(/* @vite-ignore */ TFJS_URL);
  } catch {
    throw new Error('not installed; npm run bench installs it');
  }
}

/** Submits what is only encoded yet, and waits until the device has done it all. */
async function finish(tf: TensorFlow): Promise<void> {
  const backend = tf.backend();
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
  await backend.queue.onSubmittedWorkDone();
}

function prepared(tf: TensorFlow, apply: () => Tensor, destroy: () => void): Prepared {
  return {
    async once() {
      const result = apply();
      const values = await result.data();
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

function prepareOp(tf: TensorFlow, task: Exclude<Task, TrainTask>): Prepared {
  const toDevice = ({ data, shape }: NdArray) => tf.tensor(data, shape);
  const inputs = (task.kind === 'product' ? [task.a, task.b] : [task.x]).map(toDevice);
  const [x, y] = inputs as [Tensor, Tensor];
  const operation = (): Tensor => {
    if (task.kind === 'product') return tf.matMul(x, y, task.transposeA, task.transposeB);
    return task.kind === 'softmax' ? tf.softmax(x) : tf.sum(x, task.axis);
  };
  return prepared(
    tf,
    () => tf.tidy(operation),
    () => tf.dispose(inputs),
  );
}

function prepareStep(tf: TensorFlow, task: TrainTask): Prepared {
  const { sizes, batch, lr, weights, batches } = task;
  const { pixels, latent } = sizes;
  const p: Tensors = {};
  for (const [name, { data, shape }] of weights) p[name] = tf.tidy(() => tf.variable(tf.tensor(data, shape), true));
  const data = batches.map(({ images, noise }) => ({
    x: tf.tensor(images, [batch, pixels]),
    noise: tf.tensor(noise, [batch, latent]),
  }));
  const optimizer = tf.train.adam(lr, 0.9, 0.999, 1e-8);
  let steps = 0;
  const step = () => {
    const { x, noise } = data[steps++ % 2]!;
    return optimizer.minimize(() => vaeLoss(tf, task, p, x, noise), true, Object.values(p));
  };
  return prepared(tf, step, () => {
    optimizer.dispose();
    tf.dispose([...Object.values(p), ...data.flatMap(({ x, noise }) => [x, noise])]);
  });
}

/** Negative ELBO of the Bernoulli VAE, nats per image. */
function vaeLoss(tf: TensorFlow, { sizes, batch }: TrainTask, p: Tensors, x: Tensor, noise: Tensor): Tensor {
  const { latent } = sizes;
  const stack = (layers: readonly { name: string }[], input: Tensor) =>
    layers.reduce((value, { name }, i) => {
      const product = tf.matMul(i ? tf.relu(value) : value, p[`${name}.weight`]!, false, true);
      return tf.add(product, p[`${name}.bias`]!);
    }, input);
  const { encoder, decoder } = layersOf(sizes);
  const code = stack(encoder, x);
  const mean = tf.slice(code, [0, 0], [batch, latent]);
  const logvar = tf.slice(code, [0, latent], [batch, latent]);
  const logits = stack(decoder, tf.add(mean, tf.mul(tf.exp(tf.mul(logvar, 0.5)), noise)));
  const reconstruction = tf.sum(tf.sub(tf.softplus(logits), tf.mul(logits, x)));
  const kl = tf.sum(tf.sub(tf.sub(tf.add(tf.square(mean), tf.exp(logvar)), logvar), 1));
  return tf.mul(tf.add(reconstruction, tf.mul(kl, 0.5)), 1 / batch);
}

// TensorFlow.js at the bench's work.

import type { NdArray } from './arrays.ts';
import { prepareGptStep, prepareWriting } from './gpt/tfjs.ts';
import { CHANNELS_FIRST, CHANNELS_LAST, permute } from './layout.ts';
import { type ImageShape, type LayerSpec, type LinearLayer, type Network, shapesOf } from './network.ts';
import { load, prepared, type Tensor, type TensorFlow, type Tensors, type Variable } from './tfjs_api.ts';
import type { AttentionTask, ConvTask, Engine, OpTask, Prepared, TrainTask } from './workloads.ts';

export async function createEngine(): Promise<Engine> {
  const tf = await load();
  if (!(await tf.setBackend('webgpu'))) throw new Error('TensorFlow.js has no WebGPU backend here');
  await tf.ready();
  return {
    async prepare(task) {
      if (task.kind === 'train') return prepareStep(tf, task);
      if (task.kind === 'gpt') return prepareGptStep(tf, task);
      return task.kind === 'write' ? prepareWriting(tf, task) : prepareOp(tf, task);
    },
  };
}

function prepareOp(tf: TensorFlow, task: OpTask): Prepared {
  if (task.kind === 'conv') return prepareConvolution(tf, task);
  if (task.kind === 'attention') return prepareAttention(tf, task);
  const toDevice = ({ data, shape }: NdArray) => tf.tensor(data, shape);
  const inputs = (task.kind === 'matmul' ? [task.a, task.b] : [task.x]).map(toDevice);
  const [x, y] = inputs as [Tensor, Tensor];
  const operation = (): Tensor => {
    if (task.kind === 'matmul') return tf.matMul(x, y, task.transposeA, task.transposeB);
    return task.kind === 'softmax' ? tf.softmax(x) : tf.sum(x, task.axis);
  };
  return prepared(
    tf,
    () => tf.tidy(operation),
    () => tf.dispose(inputs),
  );
}

/** By separate ops, as there is none for it, with heads in front, as its matmul wants them. */
function prepareAttention(tf: TensorFlow, { heads, length, size, arrays }: AttentionTask): Prepared {
  const inputs = arrays.map((array) => {
    const { shape, data } = permute(array, HEADS_FIRST);
    return tf.tensor(data, shape);
  });
  const [q, k, v, cotangent] = inputs as [Tensor, Tensor, Tensor, Tensor];
  const hidden = (_: unknown, at: number) => (at % length > Math.floor(at / length) ? -1e9 : 0);
  const mask = tf.tensor(Float32Array.from({ length: length * length }, hidden), [1, length, length]);
  const weighed = (...[q, k, v]: Tensor[]) => {
    const scores = tf.add(tf.mul(tf.matMul(q!, k!, false, true), 1 / Math.sqrt(size)), mask);
    return tf.sum(tf.mul(tf.matMul(tf.softmax(scores), v!, false, false), cotangent));
  };
  const inOrder = (data: Float32Array) => {
    const count = data.length / 3;
    const parts = [0, 1, 2].map(
      (i) => permute({ shape: [heads, length, size], data: data.slice(i * count, (i + 1) * count) }, HEADS_FIRST).data,
    );
    return Float32Array.from(parts.flatMap((part) => [...part]));
  };
  return prepared(
    tf,
    () => tf.tidy(() => tf.concat(tf.grads(weighed)([q, k, v]))),
    () => tf.dispose([...inputs, mask]),
    inOrder,
  );
}

/** From [length, heads, size] to [heads, length, size], and back. */
const HEADS_FIRST = [1, 0, 2];

/** From [out, in, H, W] to [H, W, in, out], and back. */
const FILTER = [2, 3, 1, 0];
const FROM_FILTER = [3, 2, 0, 1];

/** Every form in TensorFlow.js's own layouts; only what is checked is brought into the task's. */
function prepareConvolution(tf: TensorFlow, { form, convolution, ...task }: ConvTask): Prepared {
  const { large, small, kernel, stride, padding } = convolution;
  const toDevice = (array: NdArray, axes: readonly number[]) => {
    const { data, shape } = permute(array, axes);
    return tf.tensor(data, shape);
  };
  const x = toDevice(task.images, CHANNELS_LAST);
  const filter = toDevice(task.weight, FILTER);
  const dy = toDevice(task.cotangent, CHANNELS_LAST);
  const last = ([channels, ...size]: ImageShape) => [task.batch, ...size, channels];
  const { operation, shape, axes } = {
    forward: {
      operation: () => tf.conv2d(x, filter, stride, padding),
      shape: last(small),
      axes: CHANNELS_FIRST,
    },
    input: {
      operation: () => tf.conv2dTranspose(dy, filter, last(large), stride, padding),
      shape: last(large),
      axes: CHANNELS_FIRST,
    },
    weight: {
      // Its gradients run this kernel, which has no function of its own.
      operation: () => tf.engine().runKernel('Conv2DBackpropFilter', { x, dy }, attributes),
      shape: [kernel, kernel, large[0], small[0]],
      axes: FROM_FILTER,
    },
  }[form];
  const attributes = { strides: stride, pad: padding, dataFormat: 'NHWC', filterShape: shape };
  return prepared(
    tf,
    () => tf.tidy(operation),
    () => tf.dispose([x, filter, dy]),
    (data) => permute({ shape, data }, axes).data,
  );
}

function prepareStep(tf: TensorFlow, task: TrainTask): Prepared {
  const { network, batch, lr, batches } = task;
  const p: Record<string, Variable> = {};
  for (const [name, { data, shape }] of inItsLayout(task)) {
    p[name] = tf.tidy(() => tf.variable(tf.tensor(data, shape), true));
  }
  const data = batches.map(({ images, noise }) => ({
    x: tf.tensor(images, [batch, network.pixels]),
    noise: tf.tensor(noise, [batch, network.latent]),
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

/** Which weights are kept as [inputs, outputs]: so no long sum is by a transposed matrix, which TensorFlow.js gets wrong. */
const inputsFirst = ({ inputs, outputs }: LinearLayer) => inputs > outputs;

/** First weights as TensorFlow.js wants them: with channels of images last, in linear layers next to convolutions too. */
function inItsLayout({ network, weights }: TrainTask): Map<string, NdArray> {
  const result = new Map(weights);
  for (const layers of [network.encoder, network.decoder]) {
    for (const [i, layer] of layers.entries()) {
      const { name } = layer;
      const [weight, bias] = [weights.get(`${name}.weight`)!, weights.get(`${name}.bias`)!];
      if (layer.kind !== 'linear') {
        result.set(`${name}.weight`, permute(weight, FILTER));
        continue;
      }
      // Its outputs are numbers of images where a convolution comes next, its inputs where one went before.
      const rows = channelsOf(layers[i + 1] ? shapesOf(layers[i + 1]!).input : [], layer.outputs);
      const columns = channelsOf(i > 0 ? shapesOf(layers[i - 1]!).output : [], layer.inputs);
      const [axes, shape] = inputsFirst(layer)
        ? [
            [3, 2, 1, 0],
            [layer.inputs, layer.outputs],
          ]
        : [[1, 0, 3, 2], weight.shape];
      const { data } = permute({ shape: [...rows, ...columns], data: weight.data }, axes);
      result.set(`${name}.weight`, { shape, data });
      result.set(`${name}.bias`, { ...bias, data: permute({ shape: rows, data: bias.data }, [1, 0]).data });
    }
  }
  return result;
}

/** Channels and pixels of so many numbers. */
function channelsOf(shape: readonly number[], size: number): [number, number] {
  return shape.length === 3 ? [shape[0]!, size / shape[0]!] : [size, 1];
}

/** Negative ELBO of the Bernoulli VAE, nats per image. */
function vaeLoss(tf: TensorFlow, { network, batch }: TrainTask, p: Tensors, x: Tensor, noise: Tensor): Tensor {
  const { encoder, decoder, pixels, latent } = network;
  const stack = (layers: Network['encoder'], input: Tensor) =>
    layers.reduce((value, layer, i) => apply(tf, p, layer, i ? tf.relu(value) : value, batch), input);
  const code = stack(encoder, x);
  const mean = tf.slice(code, [0, 0], [batch, latent]);
  const logvar = tf.slice(code, [0, latent], [batch, latent]);
  const z = tf.add(mean, tf.mul(tf.exp(tf.mul(logvar, 0.5)), noise));
  const logits = tf.reshape(stack(decoder, z), [batch, pixels]);
  const reconstruction = tf.sum(tf.sub(tf.softplus(logits), tf.mul(logits, x)));
  const kl = tf.sum(tf.sub(tf.sub(tf.add(tf.square(mean), tf.exp(logvar)), logvar), 1));
  return tf.mul(tf.add(reconstruction, tf.mul(kl, 0.5)), 1 / batch);
}

function apply(tf: TensorFlow, p: Tensors, layer: LayerSpec, x: Tensor, batch: number): Tensor {
  const [weight, bias] = [p[`${layer.name}.weight`]!, p[`${layer.name}.bias`]!];
  const { input, output } = shapesOf(layer);
  const last = (shape: readonly number[]) => [batch, ...shape.slice(1), shape[0]!];
  const shaped = tf.reshape(x, last(input));
  const product = () => {
    if (layer.kind === 'linear') return tf.matMul(shaped, weight, false, !inputsFirst(layer));
    const { kind, stride, padding } = layer;
    if (kind === 'conv') return tf.conv2d(shaped, weight, stride, padding);
    return tf.conv2dTranspose(shaped, weight, last(output), stride, padding);
  };
  return tf.add(product(), bias);
}

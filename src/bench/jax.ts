// jax-js at the bench's work, and the VAE that tests check Glia against.
// jax-js frees an array when its last reference is used, hence every `.ref`.
import { blockUntilReady, type Device, grad, jit, lax, nn, numpy as np, tree } from '@jax-js/jax';
import type { NdArray } from './arrays.ts';
import { prepareGptStep, prepareWriting } from './gpt/jax.ts';
import { type Arrays, type Loss, prepareTraining, startJax, toArray } from './jax_training.ts';
import { type Convolution, type LayerSpec, type Network, outputPadding, shapesOf } from './network.ts';
import type { ConvTask, Engine, OpTask, Prepared, TrainTask } from './workloads.ts';

function convolve(x: np.Array, weight: np.Array, { stride, padding }: Convolution): np.Array {
  const pads: [number, number] = [padding, padding];
  return lax.convGeneralDilated(x, weight, [stride, stride], [pads, pads]);
}

/** Consumes x, and the parameters not. */
function apply(p: Arrays, layer: LayerSpec, x: np.Array): np.Array {
  const { input, output } = shapesOf(layer);
  const [weight, bias] = [p[`${layer.name}.weight`]!.ref, p[`${layer.name}.bias`]!.ref];
  const shaped = np.reshape(x, [x.shape[0]!, ...input]);
  const product = () => {
    if (layer.kind === 'linear') return np.matmul(shaped, np.transpose(weight));
    if (layer.kind === 'conv') return convolve(shaped, weight, layer);
    const { stride, padding } = layer;
    const pads = outputPadding(layer).map((more): [number, number] => [padding, padding - more]);
    return lax.convTranspose(shaped, weight, [stride, stride], pads, { transposeKernel: true });
  };
  return product().add(np.reshape(bias, [-1, ...output.slice(1).map(() => 1)]));
}

/**
 * Negative ELBO of the Bernoulli VAE, nats per image: a function of parameters under Glia's names, images and noise, which
 * consumes what it is given.
 */
export function vaeLoss({ encoder, decoder, pixels, latent }: Network): Loss {
  return (p, ...given) => {
    const [x, noise] = given as [np.Array, np.Array];
    const batch = x.shape[0]!;
    const stack = (layers: readonly LayerSpec[], input: np.Array) =>
      layers.reduce((value, layer, i) => apply(p, layer, i ? nn.relu(value) : value), input);
    const code = stack(encoder, x.ref);
    const mean = code.ref.slice([], [0, latent]);
    const logvar = code.slice([], [latent]);
    const z = mean.ref.add(np.exp(logvar.ref.mul(0.5)).mul(noise));
    const logits = np.reshape(stack(decoder, z), [batch, pixels]);
    const reconstruction = nn.softplus(logits.ref).sub(logits.mul(x)).sum();
    const kl = np.square(mean).add(np.exp(logvar.ref)).sub(logvar).sub(1).sum().mul(0.5);
    tree.dispose(p);
    return reconstruction.add(kl).mul(1 / batch);
  };
}

/** Results of an op that are awaited together. */
const KEPT = 16;

export async function createEngine(device: Device): Promise<Engine> {
  await startJax(device);
  return {
    prepare(task) {
      if (task.kind === 'train') return prepareStep(task, device);
      if (task.kind === 'gpt') return prepareGptStep(task, device);
      return task.kind === 'write' ? prepareWriting(task, device) : prepareOp(task, device);
    },
  };
}

function toDevice({ data, shape }: NdArray, device: Device): np.Array {
  return toArray(data, shape, device);
}

function operation(task: OpTask): (...arrays: np.Array[]) => np.Array {
  if (task.kind === 'softmax') return (x) => nn.softmax(x!, -1);
  if (task.kind === 'sum') return (x) => np.sum(x!, task.axis ?? null);
  if (task.kind === 'conv') return convolution(task);
  if (task.kind === 'attention') return attentionGradients;
  const { transposeA, transposeB } = task;
  return (a, b) => np.matmul(transposeA ? np.transpose(a!) : a!, transposeB ? np.transpose(b!) : b!);
}

function attentionGradients(...[q, k, v, cotangent]: np.Array[]): np.Array {
  const weighed = (...[q, k, v, cotangent]: np.Array[]) =>
    nn.dotProductAttention(q!, k!, v!, { isCausal: true }).mul(cotangent!).sum();
  return np.concatenate(grad(weighed, { argnums: [0, 1, 2] })(q!, k!, v!, cotangent!) as np.Array[]);
}

/** Of the two arrays that the form needs; what of the gradient's own computation it does not need, jit leaves out. */
function convolution({ form, convolution, images, weight }: ConvTask): (...arrays: np.Array[]) => np.Array {
  if (form === 'forward') return (x, w) => convolve(x!, w!, convolution);
  const weighed = (x: np.Array, w: np.Array, cotangent: np.Array) => np.sum(convolve(x, w, convolution).mul(cotangent));
  if (form === 'input') return (w, cotangent) => grad(weighed)(np.zeros([...images.shape]), w!, cotangent!) as np.Array;
  return (x, cotangent) => grad(weighed, { argnums: 1 })(x!, np.zeros([...weight.shape]), cotangent!) as np.Array;
}

function inputsOf(task: OpTask): readonly NdArray[] {
  if (task.kind === 'matmul') return [task.a, task.b];
  if (task.kind === 'attention') return task.arrays;
  if (task.kind !== 'conv') return [task.x];
  const { form, images, weight, cotangent } = task;
  if (form === 'forward') return [images, weight];
  return form === 'input' ? [weight, cotangent] : [images, cotangent];
}

async function prepareOp(task: OpTask, device: Device): Promise<Prepared> {
  const inputs = inputsOf(task).map((x) => toDevice(x, device));
  const f = jit(operation(task));
  const apply = () => f(...inputs.map((x) => x.ref)) as np.Array;
  return {
    once: async () => ({ values: (await apply().data()) as Float32Array }),
    async run(repeats) {
      // What is disposed of before it is ready is never computed, hence all are kept, though not too many.
      for (let left = repeats; left > 0; left -= KEPT) {
        const results = Array.from({ length: Math.min(left, KEPT) }, apply);
        await blockUntilReady(results);
        tree.dispose(results);
      }
    },
    destroy() {
      tree.dispose(inputs);
      f.dispose();
    },
  };
}

function prepareStep({ network, batch, lr, weights, batches }: TrainTask, device: Device): Promise<Prepared> {
  const data = batches.map(({ images, noise }) => [
    toArray(images, [batch, network.pixels], device),
    toArray(noise, [batch, network.latent], device),
  ]);
  return prepareTraining({ loss: vaeLoss(network), optimizer: { lr }, weights, batches: data, device });
}

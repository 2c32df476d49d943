// Glia at the bench's work. It needs no page: where `navigator.gpu` is not, it is given a WebGPU implementation.

import { imageTensors } from '../data/tensors.ts';
import {
  Adam,
  compile,
  concat,
  constant,
  evaluate,
  Gpu,
  type GpuOptions,
  gradients,
  Linear,
  matmul,
  mean,
  mul,
  normal,
  Parameters,
  ReLU,
  reshape,
  Sequential,
  softmax,
  sum,
  type Tensor,
  transpose,
  Variable,
} from '../index.ts';
import { VAE } from '../models/index.ts';
import { convNetworks, type Networks } from '../models/networks.ts';
import { attention } from '../models/text.ts';
import { conv2d } from '../nn/vision.ts';
import { measureCeilings } from '../runtime/ceilings.ts';
import { GpuDataset } from '../train/dataset.ts';
import type { NdArray } from './arrays.ts';
import { prepareProgram } from './glia_programs.ts';
import { prepareGptStep, prepareWriting } from './gpt/glia.ts';
import { CHANNELS_FIRST, CHANNELS_LAST, permute } from './layout.ts';
import type { LayerSpec, LinearLayer, Network } from './network.ts';
import type { AttentionTask, Batch, ConvTask, Engine, OpTask, Prepared, TrainTask } from './workloads.ts';

export async function createEngine(options?: GpuOptions): Promise<Engine> {
  const gpu = await Gpu.request(options);
  return {
    adapter: gpu.name,
    software: gpu.adapter.software,
    ceilings: () => measureCeilings(gpu),
    prepare(task) {
      if (task.kind === 'train') return prepareStep(gpu, task);
      if (task.kind === 'gpt') return prepareGptStep(gpu, task);
      return task.kind === 'write' ? prepareWriting(gpu, task) : prepareOp(gpu, task);
    },
  };
}

type ToDevice = (array: NdArray) => Tensor;

async function prepareOp(gpu: Gpu, task: OpTask): Promise<Prepared> {
  const variables: Variable[] = [];
  const result = operation(task, ({ shape, data }) => {
    const variable = new Variable('x', shape, { init: () => data });
    variables.push(variable);
    return variable.tensor;
  });
  const prepared = prepareProgram(await compile(gpu, { outputs: { result } }), variables);
  if (task.kind !== 'conv' || task.form === 'weight') return prepared;
  const inTaskOrder = (values: ArrayLike<number>) =>
    permute({ shape: result.shape, data: values as Float32Array }, CHANNELS_FIRST).data;
  return { ...prepared, once: async () => ({ values: inTaskOrder((await prepared.once()).values) }) };
}

function operation(task: OpTask, toDevice: ToDevice): Tensor {
  if (task.kind === 'conv') return convolution(task, toDevice);
  if (task.kind === 'attention') return attentionGradients(task, toDevice);
  if (task.kind === 'matmul') return matmul(toDevice(task.a), toDevice(task.b), task);
  const x = toDevice(task.x);
  if (task.kind === 'softmax') return softmax(x);
  return task.axis === undefined ? sum(x) : sum(x, { axis: task.axis });
}

function attentionGradients({ heads, length, size, arrays }: AttentionTask, toDevice: ToDevice): Tensor {
  const [q, k, v, g] = arrays.map((array) => reshape(toDevice(array), [1, length, heads * size])) as Tensor[];
  const [y] = attention(q!, k!, v!, { heads, causal: true });
  return concat(gradients(sum(mul(y, g!)), [q!, k!, v!]), 1);
}

/** With images, and results that are images, as they lie between the layers of a network: channels last. */
function convolution({ form, convolution, ...task }: ConvTask, toDevice: ToDevice): Tensor {
  const images = (array: NdArray) => transpose(toDevice(permute(array, CHANNELS_LAST)), CHANNELS_FIRST);
  const [x, weight] = [images(task.images), toDevice(task.weight)];
  const y = conv2d(x, weight, convolution);
  if (form === 'forward') return transpose(y, CHANNELS_LAST);
  const [gradX, gradWeight] = gradients(sum(mul(y, images(task.cotangent))), [x, weight]) as [Tensor, Tensor];
  return form === 'input' ? transpose(gradX, CHANNELS_LAST) : gradWeight;
}

/** A VAE of the task's network, with the first weights that it says. */
function vaeOf({ network, weights }: TrainTask): VAE {
  const vae = new VAE({ pixels: network.pixels, latent: network.latent, networks: networksOf(network) });
  for (const [name, parameter] of vae.namedParameters()) {
    Object.assign(parameter, { init: () => weights.get(name)!.data });
  }
  return vae;
}

function networksOf({ encoder, decoder, latent }: Network): Networks {
  const linear = (layers: readonly LayerSpec[]) => layers.filter((layer) => layer.kind === 'linear');
  const convolutions = encoder.filter((layer) => layer.kind !== 'linear');
  if (convolutions.length === 0) return { encoder: perceptron(linear(encoder)), decoder: perceptron(linear(decoder)) };
  const [channels, height, width] = convolutions[0]!.large;
  const widths = convolutions.map(({ small }) => small[0]);
  return convNetworks({ shape: { channels, height, width }, widths, latent, codes: 2 * latent });
}

/** With any number of hidden layers. */
function perceptron(layers: readonly LinearLayer[]): Sequential {
  return new Sequential(
    ...layers.flatMap(({ inputs, outputs }, i) => [...(i ? [new ReLU()] : []), new Linear(inputs, outputs)]),
  );
}

/** The whole step as the trainer makes it: it also chooses its batch and draws its noise. */
async function prepareStep(gpu: Gpu, task: TrainTask): Promise<Prepared> {
  const { network, batch, lr } = task;
  const images = { images: task.images, count: 2 * batch, height: 1, width: network.pixels, channels: 1, classes: 0 };
  const examples = imageTensors({ name: 'bench', train: images, test: images });
  const vae = vaeOf(task);
  const parameters = new Parameters(vae);
  const adam = new Adam(parameters, { lr });
  const key = new Variable('key', [2], { dtype: 'u32', init: () => Uint32Array.of(1, 2) });
  const data = new GpuDataset(gpu, examples, { batch, key });
  const batchOf = (step: Tensor) => ({
    images: data.trainBatch(step).images!,
    noise: normal([batch, network.latent], { key: key.tensor, counter: step, stream: 1 }),
  });
  const drawn = batchOf(adam.step.tensor);
  const loss = mean(vae.elbo(drawn.images, drawn.noise).loss);
  const program = await compile(gpu, { outputs: { result: loss }, updates: adam.minimize(loss).updates });
  const prepared = prepareProgram(program, [parameters.flat, ...adam.variables, key, ...data.variables]);
  let steps = 0;
  return {
    ...prepared,
    async once() {
      const step = constant(steps++, 'u32');
      const batch = () => evaluate(gpu, batchOf(step)) as Promise<unknown> as Promise<Batch>;
      return { ...(await prepared.once()), batch };
    },
    run(repeats) {
      steps += repeats;
      return prepared.run(repeats);
    },
  };
}

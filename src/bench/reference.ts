// Training of a VAE, and convolutions, in plain JavaScript in float64: what engines are judged by. Shares nothing with them.
import { sizeOf } from './arrays.ts';
import { type Convolution, type LayerSpec, type LinearLayer, type Network, shapesOf } from './network.ts';
import type { AttentionTask, Batch, ConvForm, TrainTask } from './workloads.ts';

/** Images of both sizes, [batch, channels, height, width], and the weight between them. */
export type ConvArrays = Readonly<Record<'large' | 'weight' | 'small', Float64Array>>;

/** Adds to the small images (`forward`), the large ones (`input`) or the weight what the two others make of it. */
export function convolve(form: ConvForm, convolution: Convolution, batch: number, arrays: ConvArrays): void {
  const { kernel, stride, padding } = convolution;
  const [channels, height, width] = convolution.large;
  const [outs, rows, columns] = convolution.small;
  const { large, weight, small } = arrays;
  for (let tap = 0; tap < weight.length; tap++) {
    const x = (tap % kernel) - padding;
    const y = (Math.floor(tap / kernel) % kernel) - padding;
    const channel = Math.floor(tap / kernel ** 2) % channels;
    const out = Math.floor(tap / kernel ** 2 / channels);
    // The columns from which this tap meets a pixel and no padding.
    const first = Math.max(0, Math.ceil(-x / stride));
    const end = Math.min(columns, Math.ceil((width - x) / stride));
    const w = weight[tap]!;
    let total = 0;
    for (let b = 0; b < batch; b++) {
      for (let row = 0; row < rows; row++) {
        const from = row * stride + y;
        if (from < 0 || from >= height) continue;
        const s = ((b * outs + out) * rows + row) * columns;
        const l = ((b * channels + channel) * height + from) * width + x;
        if (form === 'forward') {
          for (let column = first; column < end; column++) small[s + column]! += w * large[l + column * stride]!;
        } else if (form === 'input') {
          for (let column = first; column < end; column++) large[l + column * stride]! += w * small[s + column]!;
        } else {
          for (let column = first; column < end; column++) total += small[s + column]! * large[l + column * stride]!;
        }
      }
    }
    if (form === 'weight') weight[tap]! += total;
  }
}

type Weights = ReadonlyMap<string, Float64Array>;
type Update = (name: string, gradient: Float64Array) => void;

/** The losses of two steps in a row. */
export function twoLosses(task: TrainTask, batches: readonly [Batch, Batch]): [number, number] {
  const weights = new Map([...task.weights].map(([name, { data }]) => [name, Float64Array.from(data)]));
  const first = lossOf(task, weights, batches[0], (name, gradient) => {
    const values = weights.get(name)!;
    // Adam's first step: both moments, corrected for their start at 0, are the gradient and its square.
    for (let i = 0; i < values.length; i++) values[i]! -= (task.lr * gradient[i]!) / (Math.abs(gradient[i]!) + 1e-8);
  });
  return [first, lossOf(task, weights, batches[1])];
}

/**
 * Negative ELBO, nats per image.
 *
 * @param update takes the gradient of each weight, once nothing needs the weight any more
 */
function lossOf({ network, batch }: TrainTask, weights: Weights, { images, noise }: Batch, update?: Update): number {
  const { encoder, decoder, latent } = network;
  const encoded = forward(encoder, weights, Float64Array.from(images), batch);
  const code = encoded.at(-1)!;
  const z = new Float64Array(batch * latent);
  const gradCode = new Float64Array(code.length);
  let loss = 0;
  for (let i = 0; i < z.length; i++) {
    const at = Math.floor(i / latent) * 2 * latent + (i % latent);
    const [mean, logvar] = [code[at]!, code[at + latent]!];
    z[i] = mean + Math.exp(logvar / 2) * noise[i]!;
    loss += (mean * mean + Math.exp(logvar) - logvar - 1) / 2;
    gradCode[at] = mean / batch;
    gradCode[at + latent] = (Math.exp(logvar) - 1) / 2 / batch;
  }
  const decoded = forward(decoder, weights, z, batch);
  const logits = decoded.at(-1)!;
  const gradLogits = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    const [l, x] = [logits[i]!, images[i]!];
    loss += Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l))) - l * x;
    gradLogits[i] = (1 / (1 + Math.exp(-l)) - x) / batch;
  }
  if (update) {
    const gradZ = backward(decoder, weights, decoded, gradLogits, batch, update)!;
    for (let i = 0; i < z.length; i++) {
      const at = Math.floor(i / latent) * 2 * latent + (i % latent);
      gradCode[at]! += gradZ[i]!;
      gradCode[at + latent]! += (gradZ[i]! * Math.exp(code[at + latent]! / 2) * noise[i]!) / 2;
    }
    backward(encoder, weights, encoded, gradCode, batch, update);
  }
  return loss / batch;
}

type Layers = Network['encoder'];

/** What goes into each layer, and what comes out of the last; ReLU between them. */
function forward(layers: Layers, weights: Weights, x: Float64Array, batch: number): Float64Array[] {
  const values = [x];
  for (const [index, layer] of layers.entries()) {
    const [weight, bias] = [weights.get(`${layer.name}.weight`)!, weights.get(`${layer.name}.bias`)!];
    const channelOf = channels(layer);
    const y = new Float64Array(batch * sizeOf(shapesOf(layer).output));
    for (let i = 0; i < y.length; i++) y[i] = bias[channelOf(i)]!;
    contract(isUpwards(layer) ? 'input' : 'forward', layer, batch, values.at(-1)!, weight, y);
    if (index < layers.length - 1) for (let i = 0; i < y.length; i++) y[i] = Math.max(0, y[i]!);
    values.push(y);
  }
  return values;
}

/** Gradient of the first layer's input, given that of the last one's output. */
function backward(
  layers: Layers,
  weights: Weights,
  values: readonly Float64Array[],
  gradOutput: Float64Array,
  batch: number,
  update: Update,
): Float64Array {
  let grad = gradOutput;
  for (let index = layers.length - 1; index >= 0; index--) {
    const layer = layers[index]!;
    const [weight, bias] = [weights.get(`${layer.name}.weight`)!, weights.get(`${layer.name}.bias`)!];
    const x = values[index]!;
    const gradX = new Float64Array(x.length);
    const [gradWeight, gradBias] = [new Float64Array(weight.length), new Float64Array(bias.length)];
    contract(isUpwards(layer) ? 'forward' : 'input', layer, batch, gradX, weight, grad);
    contract('weight', layer, batch, x, gradWeight, grad);
    const channelOf = channels(layer);
    for (let i = 0; i < grad.length; i++) gradBias[channelOf(i)]! += grad[i]!;
    update(`${layer.name}.weight`, gradWeight);
    update(`${layer.name}.bias`, gradBias);
    // What went in came out of a ReLU, save for the first layer.
    if (index > 0) for (let i = 0; i < gradX.length; i++) if (x[i] === 0) gradX[i] = 0;
    grad = gradX;
  }
  return grad;
}

/** The channel, of a layer's result, that a number of it belongs to. */
function channels(layer: LayerSpec): (index: number) => number {
  const { output } = shapesOf(layer);
  const pixels = sizeOf(output.slice(1));
  return (index) => Math.floor(index / pixels) % output[0]!;
}

const isUpwards = ({ kind }: LayerSpec) => kind === 'convTranspose';

/** Adds to x, weight or y, or their gradients, what the two others make of it; `form` as for `convolve`. */
function contract(
  form: ConvForm,
  layer: LayerSpec,
  batch: number,
  x: Float64Array,
  weight: Float64Array,
  y: Float64Array,
): void {
  if (layer.kind === 'linear') multiply(form, layer, batch, x, weight, y);
  else if (isUpwards(layer)) convolve(form, layer, batch, { large: y, weight, small: x });
  else convolve(form, layer, batch, { large: x, weight, small: y });
}

function multiply(
  form: ConvForm,
  { inputs, outputs }: LinearLayer,
  batch: number,
  x: Float64Array,
  weight: Float64Array,
  y: Float64Array,
): void {
  for (let b = 0; b < batch; b++) {
    for (let o = 0; o < outputs; o++) {
      const [xs, ws, at] = [b * inputs, o * inputs, b * outputs + o];
      const value = y[at]!;
      let total = 0;
      if (form === 'forward') for (let i = 0; i < inputs; i++) total += x[xs + i]! * weight[ws + i]!;
      else if (value === 0) continue;
      else if (form === 'input') for (let i = 0; i < inputs; i++) x[xs + i]! += value * weight[ws + i]!;
      else for (let i = 0; i < inputs; i++) weight[ws + i]! += value * x[xs + i]!;
      y[at] = value + total;
    }
  }
}

type AttentionSizes = Pick<AttentionTask, 'heads' | 'length' | 'size'>;
/** Queries, keys, values and the cotangent, [length, heads, size] each. */
type AttentionArrays = readonly [Float64Array, Float64Array, Float64Array, Float64Array];

/** Of `size` numbers, from i and j on. */
export function dot(a: Float64Array, i: number, b: Float64Array, j: number, size: number): number {
  let total = 0;
  for (let d = 0; d < size; d++) total += a[i + d]! * b[j + d]!;
  return total;
}

/** The gradients of causal attention for queries, keys and values, one after the other. */
export function attentionGradients({ heads, length, size }: AttentionSizes, arrays: AttentionArrays): Float64Array {
  const [q, k, v, g] = arrays;
  const width = heads * size;
  const count = length * width;
  const result = new Float64Array(3 * count);
  const p = new Float64Array(length);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < length; i++) {
      const query = i * width + head * size;
      let sum = 0;
      for (let j = 0; j <= i; j++)
        sum += p[j] = Math.exp(dot(q, query, k, j * width + head * size, size) / Math.sqrt(size));
      let mean = 0;
      const slopes = Float64Array.from({ length: i + 1 }, (_, j) => {
        p[j]! /= sum;
        const slope = dot(g, query, v, j * width + head * size, size);
        mean += p[j]! * slope;
        return slope;
      });
      for (let j = 0; j <= i; j++) {
        const key = j * width + head * size;
        const slope = (p[j]! * (slopes[j]! - mean)) / Math.sqrt(size);
        for (let d = 0; d < size; d++) {
          result[query + d]! += slope * k[key + d]!;
          result[count + key + d]! += slope * q[query + d]!;
          result[2 * count + key + d]! += p[j]! * g[query + d]!;
        }
      }
    }
  }
  return result;
}

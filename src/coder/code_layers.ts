// The code of a model as a chain of layers: a decoder says of what lies below a layer where that is, given the layer; the last layer is
// standard normal. An encoder says of each layer where it is: given what lies below it (the images, or the layer before), or, of a code
// that is drawn from the top down, given the images, to be weighed with what the layers above say. A VAE has one layer.
import { OptionError } from '../errors.ts';
import { DeepVAE } from '../models/deep_vae.ts';
import { LadderVAE } from '../models/ladder_vae.ts';
import type { LatentModel } from '../models/latent_model.ts';
import { VAE } from '../models/vae.ts';
import { type Layer, Linear, ReLU, Sequential, Tanh } from '../nn/layers.ts';
import { philox } from '../ops/philox.ts';
import { exp, normalQuantile, powerOfTwo } from './exact_math.ts';
import { type TrainedLayer, trainedForward } from './exact_network.ts';
import { CODE_STEPS } from './latent_bins.ts';

export interface CodeLayer {
  /** Numbers of the code. */
  readonly size: number;
  /** From what lies below, or the images, to means, then log-variances. */
  readonly encoder: readonly TrainedLayer[];
  /** From the layer to what is said of the pixels; of a layer below, means, then log-variances. */
  readonly decoder: readonly TrainedLayer[];
}

export interface Code {
  /** From the one that is nearest to the images on. */
  readonly layers: readonly CodeLayer[];
  /** Whether all encoders are given the images. */
  readonly topDown: boolean;
}

/** Where the numbers of a layer lie that is not the last. */
interface Place {
  /** Means, in steps of 1/1024. */
  readonly middles: readonly number[];
  /** Deviations, as exponents of 2. */
  readonly shifts: readonly number[];
}

const MOST_SHIFT = 20;

type Values = ReadonlyMap<string, { data: Float32Array }>;

/**
 * Layers that follow each other, those within a `Sequential` by its members.
 *
 * @throws OptionError if there is one that no exact network has
 */
function layersOf(named: readonly (readonly [name: string, layer: Layer])[], values: Values): TrainedLayer[] {
  const layers: TrainedLayer[] = [];
  const flat = named.flatMap(([name, layer]): (readonly [string, Layer])[] => {
    return layer instanceof Sequential ? layer.layers.map((one, i) => [`${name}.${i}`, one]) : [[name, layer]];
  });
  for (const [name, layer] of flat) {
    if (layer instanceof Linear) {
      const [outputs, inputs] = layer.weight.shape as [number, number];
      const weight = values.get(`${name}.weight`)!.data;
      const bias = values.get(`${name}.bias`)?.data ?? new Float32Array(outputs);
      layers.push({ weight, bias, inputs, outputs, activation: 'none' });
    } else if ((layer instanceof Tanh || layer instanceof ReLU) && layers.at(-1)?.activation === 'none') {
      layers.push({ ...layers.pop()!, activation: layer instanceof Tanh ? 'tanh' : 'relu' });
    } else {
      throw new OptionError(
        `${name} is ${layer.constructor.name}, which cannot be made exact: models of linear layers, tanh and ReLU can`,
      );
    }
  }
  return layers;
}

/**
 * The code of a model.
 *
 * @param values of its parameters, by name
 * @returns undefined if it is no such chain
 * @throws OptionError if there is a layer that no exact network has
 */
export function codeOf(model: LatentModel, values: Values): Code | undefined {
  const named = (name: string, layer: Layer) => layersOf([[name, layer]], values);
  if (model instanceof VAE) {
    const [encoder, decoder] = [named('encoder', model.encoder), named('decoder', model.decoder)];
    return { layers: [{ size: model.latent, encoder, decoder }], topDown: false };
  }
  if (model instanceof DeepVAE) {
    const layers = model.layers.map(({ size }, i) => ({
      size,
      encoder: named(`encoders.${i}`, model.encoders[i]!),
      decoder: named(`decoders.${i}`, model.decoders[i]!),
    }));
    return { layers, topDown: false };
  }
  if (!(model instanceof LadderVAE)) return undefined;
  // Each encoder begins with the image again: what it costs to see the features of the lower layers anew is less than the decoders take.
  const features = model.encoders.map((one, i) => [`encoders.${i}`, one] as const);
  const layers = model.layers.map(({ size }, i) => ({
    size,
    encoder: layersOf([...features.slice(0, i + 1), [`heads.${i}`, model.heads[i]!]], values),
    decoder: named(`decoders.${i}`, model.decoders[i]!),
  }));
  return { layers, topDown: true };
}

/** Codes of the model that places are found by. */
const DRAWN = 256;
const KEY = [0x67, 0x6c] as const;

/** Standard normal numbers, the same in every engine. */
function normals(count: number, stream: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const word = philox([i, stream, 0, 0], KEY)[0]!;
    return normalQuantile(((word >>> 8) + 0.5) / 2 ** 24);
  });
}

/** The exponent of the power of two that is nearest to √variance. */
function shiftOf(variance: number): number {
  let shift = -MOST_SHIFT;
  while (shift < MOST_SHIFT && variance > powerOfTwo(2 * shift + 1)) shift++;
  return shift;
}

/** Where the numbers of all layers but the last lie under the model, which draws some codes: by the same arithmetic in every engine. */
function placesOf(layers: readonly CodeLayer[]): Place[] {
  const places: Place[] = [];
  const last = layers.length - 1;
  if (last === 0) return places;
  let z = normals(DRAWN * layers[last]!.size, last);
  for (let i = last - 1; i >= 0; i--) {
    const { size } = layers[i]!;
    const { values } = trainedForward(layers[i + 1]!.decoder, z, DRAWN);
    const mean = (row: number, j: number) => values[row * 2 * size + j]!;
    const deviation = (row: number, j: number) => exp(0.5 * Math.min(40, Math.max(-40, mean(row, size + j))));
    const [middles, shifts]: [number[], number[]] = [[], []];
    for (let j = 0; j < size; j++) {
      let [sum, squares] = [0, 0];
      for (let row = 0; row < DRAWN; row++) {
        sum += mean(row, j);
        squares += mean(row, j) ** 2 + deviation(row, j) ** 2;
      }
      const middle = sum / DRAWN;
      middles.push(Math.floor(middle * CODE_STEPS + 0.5));
      shifts.push(shiftOf(squares / DRAWN - middle ** 2));
    }
    places.unshift({ middles, shifts });
    const noise = normals(DRAWN * size, i);
    z = noise.map((one, k) => {
      const [row, j] = [Math.floor(k / size), k % size];
      return mean(row, j) + deviation(row, j) * one;
    });
  }
  return places;
}

/** A network whose result, means and then log-variances, is of the numbers when they are moved by −middle and divided by 2^shift. */
function resultMoved(network: readonly TrainedLayer[], { middles, shifts }: Place): TrainedLayer[] {
  const last = network.at(-1)!;
  const { inputs } = last;
  const size = middles.length;
  const weight = last.weight.map((w, i) => {
    const row = Math.floor(i / inputs);
    return row < size ? w * powerOfTwo(-shifts[row]!) : w;
  });
  const bias = last.bias.map((b, row) =>
    row < size ? (b - middles[row]! / CODE_STEPS) * powerOfTwo(-shifts[row]!) : b - 2 * shifts[row - size]! * Math.LN2,
  );
  return [...network.slice(0, -1), { ...last, weight, bias }];
}

/** A network that takes the numbers as they are after that move. */
function inputMoved(network: readonly TrainedLayer[], { middles, shifts }: Place): TrainedLayer[] {
  const first = network[0]!;
  const { inputs } = first;
  const weight = first.weight.map((w, i) => w * powerOfTwo(shifts[i % inputs]!));
  const bias = first.bias.map((b, row) => {
    let sum = b;
    for (let i = 0; i < inputs; i++) sum += (first.weight[row * inputs + i]! * middles[i]!) / CODE_STEPS;
    return sum;
  });
  return [{ ...first, weight, bias }, ...network.slice(1)];
}

/**
 * The same model, whose numbers of each layer have about the mean 0 and the deviation 1: as those of the last have. Where they
 * lay follows from the model alone, so that no file has to say it.
 */
export function normalised({ layers, topDown }: Code): CodeLayer[] {
  const places = placesOf(layers);
  return layers.map(({ size, encoder, decoder }, i) => {
    const [own, below] = [places[i], places[i - 1]];
    const taking = below && !topDown ? inputMoved(encoder, below) : encoder;
    const giving = own ? inputMoved(decoder, own) : decoder;
    return {
      size,
      encoder: own ? resultMoved(taking, own) : taking,
      decoder: below ? resultMoved(giving, below) : giving,
    };
  });
}

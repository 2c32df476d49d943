// A codec from a VAE: the encoder and decoder of each layer of its code as exact networks, and the coder of its pixels.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { LatentModel } from '../models/latent_model.ts';
import { COMPONENTS, OBSERVATIONS, type Observation } from '../models/observation.ts';
import type { Parameters } from '../nn/module.ts';
import type { Codec } from './bits_back.ts';
import { BetaBinomialCoder, CategoricalCoder } from './byte_coders.ts';
import { type CodeLayer, codeOf, normalised } from './code_layers.ts';
import { sha256 } from './container.ts';
import { BernoulliCoder, LogisticCoder, type PixelCoder } from './distributions.ts';
import {
  calibrate,
  type ExactLayer,
  ExactProgram,
  exactForward,
  exactNetwork,
  trainedForward,
} from './exact_network.ts';
import { CODE_STEPS, coarseBins, fineBins, type LatentBins } from './latent_bins.ts';
import { digestOf, type Network } from './layer_coder.ts';

/** Steps a unit of what each layer of a network gives: of the encoder and the decoder of each layer of the code, in turns. */
export type Scales = readonly (readonly number[])[];

/** Images that the scales are found on. */
const EXAMPLES = 32;
const PROBES = 4;

/** @throws OptionError if the model gives no probability to pixels of this kind */
function pixelCoder({ observation }: CodedModel, binary: boolean, pixels: number): PixelCoder {
  if (observation === OBSERVATIONS.logistic) return new LogisticCoder(pixels, 1, false);
  if (observation === OBSERVATIONS['logistic-mixture']) return new LogisticCoder(pixels, COMPONENTS, true);
  if (observation === OBSERVATIONS.categorical) return new CategoricalCoder(pixels);
  if (observation === OBSERVATIONS['beta-binomial']) return new BetaBinomialCoder(pixels);
  if (binary) return new BernoulliCoder();
  throw new OptionError(
    'the model takes pixels as probabilities, which cannot be coded: train with --likelihood logistic-mixture for grey ' +
      'or coloured images, or with --binarize dynamic or threshold',
  );
}

type CodedModel = LatentModel & { readonly observation: Observation | undefined };

export interface VaeCodecOptions {
  /** The weights, laid out as `parameters`. */
  readonly flat: Float32Array;
  readonly parameters: Parameters;
  /** Bytes 0 and 255 alone. */
  readonly binary: boolean;
  /** Those that a file was made with, or else images (bytes) to find them on. */
  readonly scales?: Scales | undefined;
  readonly examples?: Uint8Array;
}

interface ExactCodeLayer {
  readonly size: number;
  readonly encoder: readonly ExactLayer[];
  readonly decoder: readonly ExactLayer[];
}

const digestOfAll = (parts: readonly Float32Array[]) =>
  parts.reduce((sum, part) => (sum + digestOf(part, part.length)) >>> 0, 0);

/** The exact networks of a VAE. */
export class VaeCodec {
  readonly pixel: PixelCoder;
  readonly pixels: number;
  readonly scales: Scales;
  readonly layers: readonly ExactCodeLayer[];
  readonly topDown: boolean;
  readonly bins: LatentBins;
  /** What the first encoder gets for a byte, which stands for the byte's share of 255. */
  private readonly binary: boolean;

  /** @throws OptionError if the model cannot be made exact, or has other pixels */
  constructor(model: CodedModel, { flat, parameters, binary, scales, examples = new Uint8Array(0) }: VaeCodecOptions) {
    if (model.classes > 0) throw new OptionError('a model that is told labels cannot compress: it would need them');
    if (!model.observation)
      throw new OptionError('a Gaussian likelihood says nothing of bytes: train with another --likelihood');
    const code = codeOf(model, parameters.split(flat));
    if (!code)
      throw new OptionError(
        'a hierarchy of convolutions cannot be made exact: ladder and burda-2 have layers, and can',
      );
    this.topDown = code.topDown;
    this.pixels = code.layers[0]!.encoder[0]!.inputs;
    this.pixel = pixelCoder(model, binary, this.pixels);
    this.bins = this.pixel instanceof BernoulliCoder ? coarseBins() : fineBins();
    this.binary = binary;
    const layers = normalised(code);
    this.scales = scales ?? this.findScales(layers, examples);
    const networks = layers.flatMap(({ encoder, decoder }) => [encoder, decoder]);
    const found = this.scales;
    if (found.length !== networks.length || networks.some(({ length }, i) => length !== found[i]!.length)) {
      throw new OptionError('the model has not as many layers as the file was made with');
    }
    const fromImages = binary ? { unit: 1, most: 1 } : { unit: 1 / 255, most: 255 };
    const fromCodes = { unit: 1 / this.bins.steps, most: this.mostCode };
    this.layers = layers.map(({ size, encoder, decoder }, i) => ({
      size,
      encoder: exactNetwork(encoder, this.seesImages(i) ? fromImages : fromCodes, found[2 * i]!),
      decoder: exactNetwork(decoder, fromCodes, found[2 * i + 1]!),
    }));
  }

  /** Whether the encoder of a layer is given the images. */
  private seesImages(layer: number): boolean {
    return layer === 0 || this.topDown;
  }

  /** The greatest integer that stands for a number of a code. */
  private get mostCode(): number {
    return this.topDown ? this.bins.mostPlace : this.bins.mostMedian;
  }

  /** By what the networks give for examples, and for the means of their codes. */
  private findScales(layers: readonly CodeLayer[], bytes: Uint8Array): number[][] {
    const { pixels } = this;
    const rows = Math.max(1, Math.min(EXAMPLES, bytes.length / pixels));
    const images = new Float64Array(rows * pixels);
    images.set(Float64Array.from(bytes.subarray(0, images.length), (byte) => byte / 255));
    let below = images;
    return layers.flatMap(({ size, encoder, decoder }, layer) => {
      const codes = trainedForward(encoder, this.seesImages(layer) ? images : below, rows);
      below = Float64Array.from({ length: rows * size }, (_, i) => {
        return codes.values[Math.floor(i / size) * 2 * size + (i % size)]!;
      });
      const said = trainedForward(decoder, below, rows);
      const steps = layer > 0 ? CODE_STEPS : this.pixel.steps;
      return [calibrate(encoder, codes.most, CODE_STEPS), calibrate(decoder, said.most, steps)];
    });
  }

  readonly toInput = (byte: number): number => (this.binary ? Number(byte >= 128) : byte);

  private get networks(): (readonly ExactLayer[])[] {
    return this.layers.flatMap(({ encoder, decoder }) => [encoder, decoder]);
  }

  /** SHA-256 of all integers of all networks. */
  async digest(): Promise<string> {
    const parts = this.networks
      .flat()
      .flatMap(({ weight, bias, factor, table }) => [...[weight, bias, factor], ...(table ? [table] : [])]);
    const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return sha256(all);
  }

  /** Inputs of no meaning, of each network. */
  private probeInputs(): Float32Array[] {
    const most = this.mostCode;
    return this.networks.map(([first], network) => {
      const fromImages = network % 2 === 0 && this.seesImages(network / 2);
      const value = fromImages ? (i: number) => this.toInput(i % 256) : (i: number) => (i % (2 * most + 1)) - most;
      return Float32Array.from({ length: PROBES * first!.inputs }, (_, i) => value(Math.imul(i + 1, 2654435761) >>> 8));
    });
  }

  /** What the probes' digest must be. */
  probe(): number {
    const { networks } = this;
    return digestOfAll(this.probeInputs().map((x, i) => exactForward(networks[i]!, x, PROBES)));
  }

  /** The networks on a device. */
  on(gpu: Gpu): CodecOnGpu {
    return new CodecOnGpu(gpu, this);
  }

  /** The networks computed here, without a device. */
  onHost(): Codec & { destroy(): Promise<void> } {
    const { pixels, pixel, toInput, topDown, bins } = this;
    const forward = (layers: readonly ExactLayer[]) => async (x: Float32Array, rows: number) =>
      exactForward(layers, x, rows);
    const layers = this.layers.map(({ size, encoder, decoder }) => ({
      size,
      encoder: forward(encoder),
      decoder: forward(decoder),
    }));
    return { pixels, layers, topDown, bins, pixel, toInput, destroy: async () => {} };
  }

  /** Whether a device computes what every other does, by a few inputs. */
  async proves({ programs }: CodecOnGpu): Promise<boolean> {
    const said: Float32Array[] = [];
    for (const [i, x] of this.probeInputs().entries()) said.push(await programs[i]!.runOnDevice(x, PROBES));
    return digestOfAll(said) === this.probe();
  }
}

export class CodecOnGpu implements Codec {
  readonly pixels: number;
  readonly pixel: PixelCoder;
  readonly toInput: Codec['toInput'];
  readonly layers: Codec['layers'];
  readonly topDown: boolean;
  readonly bins: LatentBins;
  /** Of the encoder and the decoder of each layer, in turns. */
  readonly programs: readonly ExactProgram[];

  constructor(gpu: Gpu, { pixels, pixel, toInput, layers, topDown, bins }: VaeCodec) {
    this.topDown = topDown;
    this.bins = bins;
    this.pixels = pixels;
    this.pixel = pixel;
    this.toInput = toInput;
    this.programs = layers.flatMap(({ encoder, decoder }) => [
      new ExactProgram(gpu, encoder),
      new ExactProgram(gpu, decoder),
    ]);
    const network =
      (i: number): Network =>
      (x, rows) =>
        this.programs[i]!.run(x, rows);
    this.layers = layers.map(({ size }, i) => ({ size, encoder: network(2 * i), decoder: network(2 * i + 1) }));
  }

  async destroy(): Promise<void> {
    for (const program of this.programs) await program.destroy();
  }
}

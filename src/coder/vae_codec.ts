// A codec from a VAE: its encoder and decoder as exact networks, and the coder of its pixels.
import { OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { COMPONENTS, OBSERVATIONS } from '../models/observation.ts';
import type { VAE } from '../models/vae.ts';
import { Linear, ReLU, type Sequential, Tanh } from '../nn/layers.ts';
import type { Parameters } from '../nn/module.ts';
import { type Codec, digestOf } from './bits_back.ts';
import { BetaBinomialCoder, CategoricalCoder } from './byte_coders.ts';
import { sha256 } from './container.ts';
import {
  BernoulliCoder,
  CODE_STEPS,
  LATENT_STEPS,
  LogisticCoder,
  mostMedian,
  type PixelCoder,
} from './distributions.ts';
import {
  calibrate,
  type ExactLayer,
  ExactProgram,
  exactForward,
  exactNetwork,
  type TrainedLayer,
  trainedForward,
} from './exact_network.ts';

/** Steps a unit of what each layer of encoder and decoder gives. */
export type Scales = readonly [readonly number[], readonly number[]];

/** Images that the scales are found on. */
const EXAMPLES = 32;
const PROBES = 4;

/** @throws OptionError if there is a layer that no exact network has */
function layersOf(
  network: Sequential,
  name: string,
  values: ReadonlyMap<string, { data: Float32Array }>,
): TrainedLayer[] {
  const layers: TrainedLayer[] = [];
  for (const [i, layer] of network.layers.entries()) {
    if (layer instanceof Linear) {
      const [outputs, inputs] = layer.weight.shape as [number, number];
      const weight = values.get(`${name}.${i}.weight`)!.data;
      const bias = values.get(`${name}.${i}.bias`)?.data ?? new Float32Array(outputs);
      layers.push({ weight, bias, inputs, outputs, activation: 'none' });
    } else if ((layer instanceof Tanh || layer instanceof ReLU) && layers.at(-1)?.activation === 'none') {
      layers.push({ ...layers.pop()!, activation: layer instanceof Tanh ? 'tanh' : 'relu' });
    } else {
      throw new OptionError(
        `${name}.${i} is ${layer.constructor.name}, which cannot be made exact: models of linear layers, tanh and ReLU can`,
      );
    }
  }
  return layers;
}

/** @throws OptionError if the model gives no probability to pixels of this kind */
function pixelCoder({ observation }: VAE, binary: boolean, pixels: number): PixelCoder {
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

/** The exact networks of a VAE. */
export class VaeCodec {
  readonly pixel: PixelCoder;
  readonly latent: number;
  readonly pixels: number;
  readonly scales: Scales;
  readonly encoder: readonly ExactLayer[];
  readonly decoder: readonly ExactLayer[];
  /** What the encoder gets for a byte, which stands for the byte's share of 255. */
  private readonly binary: boolean;

  /** @throws OptionError if the model cannot be made exact, or has other pixels */
  constructor(vae: VAE, { flat, parameters, binary, scales, examples = new Uint8Array(0) }: VaeCodecOptions) {
    if (vae.classes > 0) throw new OptionError('a model that is told labels cannot compress: it would need them');
    if (vae.logvar)
      throw new OptionError('a Gaussian likelihood says nothing of bytes: train with another --likelihood');
    const values = parameters.split(flat);
    const encoder = layersOf(vae.encoder, 'encoder', values);
    const decoder = layersOf(vae.decoder, 'decoder', values);
    this.pixel = pixelCoder(vae, binary, encoder[0]!.inputs);
    this.binary = binary;
    this.latent = vae.latent;
    this.pixels = encoder[0]!.inputs;
    this.scales = scales ?? this.findScales(encoder, decoder, examples);
    const [forEncoder, forDecoder] = this.scales;
    if (forEncoder.length !== encoder.length || forDecoder.length !== decoder.length) {
      throw new OptionError('the model has not as many layers as the file was made with');
    }
    this.encoder = exactNetwork(encoder, binary ? { unit: 1, most: 1 } : { unit: 1 / 255, most: 255 }, forEncoder);
    this.decoder = exactNetwork(decoder, { unit: 1 / LATENT_STEPS, most: mostMedian() }, forDecoder);
  }

  private findScales(encoder: readonly TrainedLayer[], decoder: readonly TrainedLayer[], bytes: Uint8Array): Scales {
    const { pixels, latent } = this;
    const rows = Math.max(1, Math.min(EXAMPLES, bytes.length / pixels));
    const x = new Float64Array(rows * pixels);
    x.set(Float64Array.from(bytes.subarray(0, x.length), (byte) => byte / 255));
    const codes = trainedForward(encoder, x, rows);
    const z = Float64Array.from({ length: rows * latent }, (_, i) => {
      return codes.values[Math.floor(i / latent) * 2 * latent + (i % latent)]!;
    });
    const said = trainedForward(decoder, z, rows);
    return [calibrate(encoder, codes.most, CODE_STEPS), calibrate(decoder, said.most, this.pixel.steps)];
  }

  readonly toInput = (byte: number): number => (this.binary ? Number(byte >= 128) : byte);

  /** SHA-256 of all integers of both networks. */
  async digest(): Promise<string> {
    const parts = [...this.encoder, ...this.decoder].flatMap(({ weight, bias, factor, table }) => [
      ...[weight, bias, factor],
      ...(table ? [table] : []),
    ]);
    const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return sha256(all);
  }

  private probes(inputs: number, value: (i: number) => number): Float32Array {
    return Float32Array.from({ length: PROBES * inputs }, (_, i) => value(Math.imul(i + 1, 2654435761) >>> 8));
  }

  private probeInputs(): [Float32Array, Float32Array] {
    const most = mostMedian();
    return [
      this.probes(this.pixels, (i) => this.toInput(i % 256)),
      this.probes(this.latent, (i) => (i % (2 * most + 1)) - most),
    ];
  }

  /** What the probes' digest must be. */
  probe(): number {
    const [x, z] = this.probeInputs();
    const codes = exactForward(this.encoder, x, PROBES);
    const said = exactForward(this.decoder, z, PROBES);
    return (digestOf(codes, codes.length) + digestOf(said, said.length)) >>> 0;
  }

  /** The networks on a device. */
  on(gpu: Gpu): CodecOnGpu {
    return new CodecOnGpu(gpu, this);
  }

  /** The networks computed here, without a device. */
  onHost(): Codec & { destroy(): Promise<void> } {
    const { pixels, latent, pixel, toInput } = this;
    const forward = (layers: readonly ExactLayer[]) => async (x: Float32Array, rows: number) =>
      exactForward(layers, x, rows);
    const networks = { encoder: forward(this.encoder), decoder: forward(this.decoder) };
    return { pixels, latent, pixel, toInput, ...networks, destroy: async () => {} };
  }

  /** Whether a device computes what every other does, by a few inputs. */
  async proves({ encoder, decoder }: CodecOnGpu['onDevice']): Promise<boolean> {
    const [x, z] = this.probeInputs();
    const [codes, said] = [await encoder(x, PROBES), await decoder(z, PROBES)];
    return (digestOf(codes, codes.length) + digestOf(said, said.length)) >>> 0 === this.probe();
  }
}

export class CodecOnGpu implements Codec {
  readonly pixels: number;
  readonly latent: number;
  readonly pixel: PixelCoder;
  readonly toInput: Codec['toInput'];
  readonly encoder: Codec['encoder'];
  readonly decoder: Codec['decoder'];
  /** Without what is computed here. */
  readonly onDevice: Pick<Codec, 'encoder' | 'decoder'>;
  private readonly programs: readonly ExactProgram[];

  constructor(gpu: Gpu, { pixels, latent, pixel, toInput, encoder, decoder }: VaeCodec) {
    this.pixels = pixels;
    this.latent = latent;
    this.pixel = pixel;
    this.toInput = toInput;
    const [first, second] = [new ExactProgram(gpu, encoder), new ExactProgram(gpu, decoder)];
    this.encoder = (x, rows) => first.run(x, rows);
    this.decoder = (x, rows) => second.run(x, rows);
    this.onDevice = {
      encoder: (x, rows) => first.runOnDevice(x, rows),
      decoder: (x, rows) => second.runOnDevice(x, rows),
    };
    this.programs = [first, second];
  }

  async destroy(): Promise<void> {
    for (const program of this.programs) await program.destroy();
  }
}

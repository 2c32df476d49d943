// The VQ-VAE (van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017): an autoencoder whose
// code is a grid of entries of a table, each position of which takes the entry that is nearest to it.
import { Conv2d, ConvTranspose2d } from '../nn/conv.ts';
import { type Layer, ReLU, Sequential } from '../nn/layers.ts';
import { ModuleBuffer } from '../nn/module.ts';
import { BatchNorm2d } from '../nn/norm.ts';
import { nextKey, noteUpdate } from '../nn/training.ts';
import { argmax } from '../ops/argmax.ts';
import { bernoulliNll } from '../ops/composite.ts';
import { add, div, less, maximum, modulo, mul, sigmoid, square, sub, where } from '../ops/elementwise.ts';
import { gather, oneHot } from '../ops/gather.ts';
import { matmul } from '../ops/matmul.ts';
import { permutation } from '../ops/random.ts';
import { max, sum } from '../ops/reduce.ts';
import { constant, iota } from '../ops/source.ts';
import { scope, sizeOf, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, reshape, stopGradient, transpose } from '../ops/view.ts';
import { type ImageBatch, Model, type Terms } from './model.ts';
import { checkSizes, convDecoder, convEncoder, type ImageShape, sizeAfter } from './networks.ts';

export interface VqVaeOptions {
  readonly shape: ImageShape;
  /** Entries of the table. */
  readonly codes?: number;
  /** Numbers in an entry. */
  readonly latent?: number;
  /** Weight of the commitment loss, which keeps the encoder near the table. */
  readonly beta?: number;
  /** Channels after each halving of the image. */
  readonly widths?: readonly number[];
}

/** What a moving mean keeps a step. */
const DECAY = 0.97;
/** Of the mean number of positions an entry: below the first an entry begins again, as if it had been taken so often. */
const IDLE = 0.05;
const FRESH = 0.1;
/** Less than any count that an entry keeps. */
const TINY = 1e-6;

interface Quantised {
  /** u32 [batch · height · width] */
  readonly indices: Tensor;
  /** The entries themselves, [batch · height · width, latent]. */
  readonly entries: Tensor;
}

export class VqVae extends Model {
  readonly encoder: Sequential;
  readonly decoder: Sequential;
  /** How many positions took each entry lately, a step: [codes, 1]. */
  readonly counts: ModuleBuffer;
  /** What these positions' codes sum to: [codes, latent]. An entry is their mean. */
  readonly sums: ModuleBuffer;
  readonly codes: number;
  readonly latent: number;
  readonly beta: number;
  /** Height and width of the grid of codes. */
  readonly grid: readonly [height: number, width: number];

  constructor({ shape, codes = 64, latent = 16, beta = 0.25, widths = [32, 64] }: VqVaeOptions) {
    super();
    checkSizes('VqVae', { codes, latent, height: shape.height, width: shape.width });
    this.codes = codes;
    this.latent = latent;
    this.beta = beta;
    const { height, width } = sizeAfter(shape, widths.length);
    this.grid = [height, width];
    const last = widths.at(-1)!;
    // Channels of each position become its code, and back.
    // The norm keeps codes from drifting away from the table, and from shrinking, which would make rounding cheap.
    const norm = new BatchNorm2d(latent, { affine: false });
    const down: Layer[] = [...convEncoder(shape, widths), new Conv2d(last, latent, 1), norm];
    const up: Layer[] = [new ConvTranspose2d(latent, last, 1), new ReLU(), ...convDecoder(shape, widths)];
    this.encoder = new Sequential(...down);
    this.decoder = new Sequential(...up);
    this.counts = new ModuleBuffer([codes, 1], (shape) => new Float32Array(sizeOf(shape)));
    this.sums = new ModuleBuffer([codes, latent], (shape) => new Float32Array(sizeOf(shape)));
  }

  /** The encoder's numbers at each position: [batch · height · width, latent]. */
  encode(images: Tensor): Tensor {
    return scope('encoder', () => {
      const code = this.encoder.forward(images);
      return reshape(transpose(code, [0, 2, 3, 1]), [code.size / this.latent, this.latent]);
    });
  }

  /** The entries: [codes, latent]. */
  get table(): Tensor {
    return div(this.sums.tensor, maximum(this.counts.tensor, TINY));
  }

  /** The nearest entry of each position. */
  quantise(z: Tensor): Quantised {
    return scope('codebook', () => {
      const { table } = this;
      // −½|z − e|² without |z|², which is the same for every entry.
      const nearness = sub(matmul(z, table, { transposeB: true }), mul(sum(square(table), { axis: 1 }), 0.5));
      const indices = argmax(stopGradient(nearness));
      return { indices, entries: gather(table, indices) };
    });
  }

  /**
   * Entries follow the positions that take them, as moving means (appendix A.1 of the paper). One that hardly any takes
   * begins again where some position of the batch is (Dhariwal et al., Jukebox, 2020); so does the whole table at first.
   */
  private follow(z: Tensor, indices: Tensor): void {
    const key = nextKey('VqVae');
    if (!key) return;
    const positions = indices.size;
    const taken = oneHot(indices, this.codes);
    const mix = (before: Tensor, now: Tensor) => add(mul(before, DECAY), mul(now, 1 - DECAY));
    const counts = mix(this.counts.tensor, reshape(sum(taken, { axis: 0 }), [this.codes, 1]));
    const sums = mix(this.sums.tensor, matmul(taken, z, { transposeA: true }));
    const order = modulo(iota([this.codes], 0, 'u32'), constant(positions, 'u32'));
    const picked = gather(z, permutation(order, broadcastTo(key.counter, [this.codes]), key.key, positions));
    const mean = positions / this.codes;
    const idle = less(counts, IDLE * mean);
    noteUpdate({ variable: this.counts, value: where(idle, FRESH * mean, counts) });
    noteUpdate({ variable: this.sums, value: where(idle, mul(picked, FRESH * mean), sums) });
  }

  /** Logits of the pixels: [batch, pixels]. */
  decodeRaw(entries: Tensor): Tensor {
    const [height, width] = this.grid;
    const images = reshape(entries, [entries.size / (height * width * this.latent), height, width, this.latent]);
    return scope('decoder', () => this.decoder.forward(transpose(images, [0, 3, 1, 2])));
  }

  /** Images, through their nearest codes and back: intensities. */
  reconstruct(images: Tensor): Tensor {
    return sigmoid(this.decodeRaw(this.quantise(this.encode(images)).entries));
  }

  /** How many positions of the images took each entry: f32 [codes]. */
  usage(images: Tensor): Tensor {
    return sum(oneHot(this.quantise(this.encode(images)).indices, this.codes), { axis: 0 });
  }

  /**
   * `loss` is reconstruction and commitment, nats per image; `commitment` is the squared distance between code and entry,
   * and `used` the fraction of the table that the batch takes.
   */
  override terms({ images }: ImageBatch): Terms {
    const z = this.encode(images);
    const { indices, entries } = this.quantise(z);
    scope('codebook', () => this.follow(stopGradient(z), indices));
    // Backward as if nothing had been rounded (Bengio, Léonard and Courville, 2013).
    const raw = this.decodeRaw(add(z, stopGradient(sub(entries, z))));
    return scope('loss', () => {
      const batch = images.shape[0]!;
      const perImage = (x: Tensor) => sum(reshape(x, [batch, x.size / batch]), { axis: 1 });
      const reconstruction = sum(bernoulliNll(raw, images), { axis: 1 });
      const commitment = perImage(square(sub(z, stopGradient(entries))));
      const taken = max(oneHot(indices, this.codes), { axis: 0 });
      const used = broadcastTo(mul(sum(taken), 1 / this.codes), [batch]);
      return { loss: add(reconstruction, mul(commitment, this.beta)), reconstruction, commitment, used };
    });
  }
}

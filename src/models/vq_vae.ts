// The VQ-VAE (van den Oord, Vinyals and Kavukcuoglu, Neural Discrete Representation Learning, 2017): an autoencoder whose
// code is a grid of entries of a table, each position of which takes the entry that is nearest to it.
import { Conv2d, ConvTranspose2d } from '../nn/conv.ts';
import { uniform } from '../nn/init.ts';
import { type Layer, ReLU, Sequential } from '../nn/layers.ts';
import { Parameter } from '../nn/module.ts';
import { argmax } from '../ops/argmax.ts';
import { bernoulliNll } from '../ops/composite.ts';
import { add, mul, sigmoid, square, sub } from '../ops/elementwise.ts';
import { gather, oneHot } from '../ops/gather.ts';
import { matmul } from '../ops/matmul.ts';
import { max, sum } from '../ops/reduce.ts';
import { scope, type Tensor } from '../ops/tensor.ts';
import { broadcastTo, reshape, stopGradient, transpose } from '../ops/view.ts';
import { type Batch, Model, type Terms } from './model.ts';
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

interface Quantised {
  /** u32 [batch · height · width] */
  readonly indices: Tensor;
  /** The entries themselves, [batch · height · width, latent]. */
  readonly entries: Tensor;
}

export class VqVae extends Model {
  readonly encoder: Sequential;
  readonly decoder: Sequential;
  /** The table: [codes, latent]. */
  readonly codebook: Parameter;
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
    const down: Layer[] = [...convEncoder(shape, widths), new Conv2d(last, latent, 1)];
    const up: Layer[] = [new ConvTranspose2d(latent, last, 1), new ReLU(), ...convDecoder(shape, widths)];
    this.encoder = new Sequential(...down);
    this.decoder = new Sequential(...up);
    this.codebook = new Parameter([codes, latent], uniform(1));
  }

  /** The encoder's numbers at each position: [batch · height · width, latent]. */
  encode(images: Tensor): Tensor {
    return scope('encoder', () => {
      const code = this.encoder.forward(images);
      return reshape(transpose(code, [0, 2, 3, 1]), [code.size / this.latent, this.latent]);
    });
  }

  /** The nearest entry of each position. */
  quantise(z: Tensor): Quantised {
    return scope('codebook', () => {
      const table = this.codebook.tensor;
      // −½|z − e|² without |z|², which is the same for every entry.
      const nearness = sub(matmul(z, table, { transposeB: true }), mul(sum(square(table), { axis: 1 }), 0.5));
      const indices = argmax(stopGradient(nearness));
      return { indices, entries: gather(table, indices) };
    });
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
   * `loss` is that of equation 3: reconstruction, codebook and commitment, nats per image; `commitment` is the squared
   * distance between code and entry, and `used` the fraction of the table that the batch takes.
   */
  override terms({ images }: Batch): Terms {
    const z = this.encode(images);
    const { indices, entries } = this.quantise(z);
    // Backward as if nothing had been rounded (Bengio, Léonard and Courville, 2013).
    const raw = this.decodeRaw(add(z, stopGradient(sub(entries, z))));
    return scope('loss', () => {
      const batch = images.shape[0]!;
      const perImage = (x: Tensor) => sum(reshape(x, [batch, x.size / batch]), { axis: 1 });
      const reconstruction = sum(bernoulliNll(raw, images), { axis: 1 });
      const commitment = perImage(square(sub(z, stopGradient(entries))));
      const learned = perImage(square(sub(stopGradient(z), entries)));
      const taken = max(oneHot(indices, this.codes), { axis: 0 });
      const used = broadcastTo(mul(sum(taken), 1 / this.codes), [batch]);
      const loss = add(add(reconstruction, learned), mul(commitment, this.beta));
      return { loss, reconstruction, commitment, used };
    });
  }
}

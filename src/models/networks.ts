// Encoders and decoders of autoencoders: from flattened images to numbers, and back. A model takes any such pair.
import { OptionError, ShapeError } from '../errors.ts';
import { Conv2d, ConvTranspose2d, Flatten, Unflatten } from '../nn/conv.ts';
import { type Initialiser, xavierUniform, zeros } from '../nn/init.ts';
import { Layer, Linear, ReLU, Sequential, Tanh } from '../nn/layers.ts';
import { BatchNorm2d } from '../nn/norm.ts';
import { show, type Tensor } from '../ops/tensor.ts';
import { reshape, transpose } from '../ops/view.ts';

export interface Networks {
  /** [batch, pixels] to [batch, codes]. */
  readonly encoder: Sequential;
  /** [batch, latent] to [batch, pixels]. */
  readonly decoder: Sequential;
}

/** How images lie in their rows: [height, width, channels]. */
export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export function checkSizes(name: string, sizes: Readonly<Record<string, number>>): void {
  for (const [size, value] of Object.entries(sizes)) {
    if (!Number.isInteger(value) || value < 1) {
      throw new OptionError(`${name}: ${size} must be a positive integer, got ${value}`);
    }
  }
}

export interface MlpSizes {
  readonly pixels: number;
  /** Numbers that the decoder gives for an image; one a pixel by default. */
  readonly outputs?: number;
  readonly hidden: number;
  readonly latent: number;
  /** Numbers that the encoder gives for an image. */
  readonly codes: number;
  /** Numbers that are told to both beside the image or the code: a class, say. */
  readonly condition?: number;
}

/** One hidden layer each way. */
export function mlpNetworks({ pixels, outputs = pixels, hidden, latent, codes, condition = 0 }: MlpSizes): Networks {
  return {
    encoder: new Sequential(new Linear(pixels + condition, hidden), new ReLU(), new Linear(hidden, codes)),
    decoder: new Sequential(new Linear(latent + condition, hidden), new ReLU(), new Linear(hidden, outputs)),
  };
}

/** Linear layers of these widths with tanh between them, initialised as Glorot and Bengio (2010) do. */
export function tanhLayers(widths: readonly number[], last: Initialiser = zeros): Layer[] {
  return widths.slice(1).flatMap((width, i) => {
    const isLast = i === widths.length - 2;
    const linear = new Linear(widths[i]!, width, { weight: xavierUniform, bias: isLast ? last : zeros });
    return isLast ? [linear] : [linear, new Tanh()];
  });
}

/**
 * Two hidden layers of tanh each way, 200 wide by default (Burda, Grosse and Salakhutdinov, 2015, section 5).
 *
 * @param bias of what is said of the pixels, at first
 */
export function tanhNetworks(
  { pixels, outputs = pixels, hidden, latent, codes }: MlpSizes,
  bias?: Initialiser,
): Networks {
  return {
    encoder: new Sequential(...tanhLayers([pixels, hidden, hidden, codes])),
    decoder: new Sequential(...tanhLayers([latent, hidden, hidden, outputs], bias)),
  };
}

/** [batch, pixels] to [batch, channels, height, width]. */
export class ToImages extends Layer {
  readonly shape: ImageShape;

  constructor(shape: ImageShape) {
    super();
    this.shape = shape;
  }

  override forward(x: Tensor): Tensor {
    const { height, width, channels } = this.shape;
    if (x.shape[1] !== height * width * channels) {
      throw new ShapeError(`images of ${height} × ${width} × ${channels} numbers are wanted, got ${show(x.shape)}`);
    }
    return transpose(reshape(x, [x.shape[0]!, height, width, channels]), [0, 3, 1, 2]);
  }
}

/** [batch, channels, height, width] to [batch, pixels]. */
export class FromImages extends Layer {
  override forward(x: Tensor): Tensor {
    return reshape(transpose(x, [0, 2, 3, 1]), [x.shape[0]!, x.size / x.shape[0]!]);
  }
}

/** Kernel, and how far it steps: each layer halves height and width, rounding up. */
const KERNEL = 3;
const HALVING = { stride: 2, padding: 1 } as const;
const half = (size: number) => Math.ceil(size / 2);

/** What makes a layer back of a halving one reach the size that was halved. */
const outputPadding = (size: number) => size - (2 * half(size) - 1);

/** What stands between convolutions. A norm shifts by itself, so that before it a bias would do nothing. */
const between = (channels: number, norm: boolean): Layer[] => [
  ...(norm ? [new BatchNorm2d(channels)] : []),
  new ReLU(),
];

/** Convolutions down through these numbers of channels, each halving height and width; with batch norm if wanted. */
export function convEncoder(shape: ImageShape, widths: readonly number[], norm = false): Layer[] {
  const layers: Layer[] = [new ToImages(shape)];
  let { channels } = shape;
  for (const width of widths) {
    layers.push(new Conv2d(channels, width, KERNEL, { ...HALVING, bias: !norm }), ...between(width, norm));
    channels = width;
  }
  return layers;
}

/** Transposed convolutions back up; the last layer gives what is said of each pixel. */
export function convDecoder(shape: ImageShape, widths: readonly number[], norm = false): Layer[] {
  const layers: Layer[] = [];
  for (let i = widths.length - 1; i >= 0; i--) {
    const { height, width } = sizeAfter(shape, i);
    const padding = [outputPadding(height), outputPadding(width)] as const;
    const channels = i > 0 ? widths[i - 1]! : shape.channels;
    const options = { ...HALVING, outputPadding: padding, bias: i === 0 || !norm };
    layers.push(new ConvTranspose2d(widths[i]!, channels, KERNEL, options));
    if (i > 0) layers.push(...between(channels, norm));
  }
  return [...layers, new FromImages()];
}

/** Height and width after so many halvings. */
export function sizeAfter({ height, width }: ImageShape, count: number): { height: number; width: number } {
  return count === 0
    ? { height, width }
    : sizeAfter({ height: half(height), width: half(width), channels: 1 }, count - 1);
}

export interface ConvSizes {
  readonly shape: ImageShape;
  /** Channels after each halving of the image. */
  readonly widths?: readonly number[];
  readonly latent: number;
  readonly codes: number;
  /** Batch norm between the convolutions: it learns in fewer steps. */
  readonly norm?: boolean;
}

/** Strided convolutions down and transposed ones back up, with a linear layer at the code. */
export function convNetworks({ shape, widths = [32, 64], latent, codes, norm = false }: ConvSizes): Networks {
  const { height, width } = sizeAfter(shape, widths.length);
  const inner = [widths.at(-1)!, height, width] as const;
  const size = inner[0] * height * width;
  return {
    encoder: new Sequential(...convEncoder(shape, widths, norm), new Flatten(), new Linear(size, codes)),
    decoder: new Sequential(
      ...[new Linear(latent, size), new ReLU(), new Unflatten(inner)],
      ...convDecoder(shape, widths, norm),
    ),
  };
}

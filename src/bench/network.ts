// The networks of the bench's VAEs, as lists of layers that each engine builds in its own way. Knows no engine.
import { sizeOf } from './arrays.ts';

export type ImageShape = readonly [channels: number, height: number, width: number];

/**
 * What lies between large images and small ones: a convolution leads down from the large ones to the small ones, its
 * transpose back up. Both have weights [channels of the small, channels of the large, kernel, kernel].
 */
export interface Convolution {
  readonly large: ImageShape;
  readonly small: ImageShape;
  /** These are the same for height and width. */
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

export interface LinearLayer {
  readonly kind: 'linear';
  /** As Glia names it. */
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
}

export interface ConvLayer extends Convolution {
  readonly kind: 'conv' | 'convTranspose';
  readonly name: string;
}

/** A layer with a bias. */
export type LayerSpec = LinearLayer | ConvLayer;

/** A VAE with Bernoulli pixels: ReLU between the layers of each part, and images reshaped to what the next layer takes. */
export interface Network {
  readonly pixels: number;
  readonly latent: number;
  /** From pixels to the mean and the logarithm of the variance of the code, side by side. */
  readonly encoder: readonly LayerSpec[];
  /** From a code to logits of pixels. */
  readonly decoder: readonly LayerSpec[];
}

/** Shapes of what goes into a layer and of what comes out, for one image. */
export function shapesOf(layer: LayerSpec): { input: readonly number[]; output: readonly number[] } {
  if (layer.kind === 'linear') return { input: [layer.inputs], output: [layer.outputs] };
  const { large, small } = layer;
  return layer.kind === 'conv' ? { input: large, output: small } : { input: small, output: large };
}

export function weightShape(layer: LayerSpec): readonly number[] {
  if (layer.kind === 'linear') return [layer.outputs, layer.inputs];
  return [layer.small[0], layer.large[0], layer.kernel, layer.kernel];
}

/** Rows and columns by which a transposed convolution reaches further than its first and last pixels alone would. */
export function outputPadding({ large, small, kernel, stride, padding }: Convolution): [number, number] {
  const missing = (axis: 1 | 2) => large[axis] - ((small[axis] - 1) * stride - 2 * padding + kernel);
  return [missing(1), missing(2)];
}

/** Operations of a convolution or of either gradient, taps on the padding counted too, as is usual. */
export function convFlops({ large, small, kernel }: Convolution, batch: number): number {
  return 2 * batch * sizeOf(small) * large[0] * kernel ** 2;
}

/** Operations of a training step in products and convolutions: forward, and both gradients where both are wanted. */
export function stepFlops({ encoder, decoder }: Network, batch: number): number {
  const flops = [...encoder, ...decoder].map((layer) =>
    layer.kind === 'linear' ? 2 * batch * layer.inputs * layer.outputs : convFlops(layer, batch),
  );
  // Nobody asks for the gradient of the images.
  return 3 * flops.reduce((sum, value) => sum + value) - flops[0]!;
}

/** Bytes that a convolution or either gradient moves at least. */
export function convBytes({ large, small, kernel }: Convolution, batch: number): number {
  return 4 * (batch * (sizeOf(large) + sizeOf(small)) + small[0] * large[0] * kernel ** 2);
}

/** Bytes that a training step with Adam moves at least: weights and both moments in and out, and images of a byte a pixel. */
export function stepBytes({ encoder, decoder, pixels }: Network, batch: number): number {
  const layers = [...encoder, ...decoder];
  const parameters = layers.map((layer) => sizeOf(weightShape(layer)) + shapesOf(layer).output[0]!);
  return 4 * 6 * parameters.reduce((sum, count) => sum + count) + batch * pixels;
}

export interface MlpSizes {
  readonly pixels: number;
  /** Widths of the encoder's hidden layers; the decoder has them in reverse. */
  readonly hidden: readonly number[];
  readonly latent: number;
}

export function mlpNetwork({ pixels, hidden, latent }: MlpSizes): Network {
  const chain = (part: string, widths: readonly number[]) =>
    widths.slice(1).map((outputs, i): LinearLayer => {
      // Every second place is an activation's.
      return { kind: 'linear', name: `${part}.${2 * i}`, inputs: widths[i]!, outputs };
    });
  return {
    pixels,
    latent,
    encoder: chain('encoder', [pixels, ...hidden, 2 * latent]),
    decoder: chain('decoder', [latent, ...[...hidden].reverse(), pixels]),
  };
}

export interface ConvSizes {
  /** Height and width of images of one channel. */
  readonly size: number;
  /** Channels after each halving of the image. */
  readonly widths: readonly number[];
  readonly latent: number;
}

/** A convolution of 3×3 that halves height and width, rounding up. */
export function halving(large: ImageShape, channels: number): Convolution {
  const half = (size: number) => Math.ceil(size / 2);
  return { large, small: [channels, half(large[1]), half(large[2])], kernel: 3, stride: 2, padding: 1 };
}

/** Convolutions down and transposed ones back up, with a linear layer each way at the code. */
export function convNetwork({ size, widths, latent }: ConvSizes): Network {
  const down: Convolution[] = [];
  let shape: ImageShape = [1, size, size];
  for (const width of widths) {
    down.push(halving(shape, width));
    shape = down.at(-1)!.small;
  }
  const inner = sizeOf(shape);
  // In front, images get their shape, and behind the last one lose it; every second place is an activation's.
  const last = 2 * widths.length;
  const encoder = down.map((convolution, i): LayerSpec => {
    return { kind: 'conv', name: `encoder.${1 + 2 * i}`, ...convolution };
  });
  const decoder = [...down].reverse().map((convolution, i): LayerSpec => {
    return { kind: 'convTranspose', name: `decoder.${3 + 2 * i}`, ...convolution };
  });
  return {
    pixels: size ** 2,
    latent,
    encoder: [...encoder, { kind: 'linear', name: `encoder.${last + 2}`, inputs: inner, outputs: 2 * latent }],
    decoder: [{ kind: 'linear', name: 'decoder.0', inputs: latent, outputs: inner }, ...decoder],
  };
}

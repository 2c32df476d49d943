// Images made to the size and the colours that a model takes. The rule, whatever they came from: the largest part in the
// middle that has the shape wanted, scaled by the triangle filter, as wide as a source pixel or a target pixel, whichever
// is the larger (bilinear with antialiasing, as PIL and torchvision do it); grey is the luma of ITU-R BT.601.
import { DataError } from '../errors.ts';
import type { Dataset, ImageSet } from './images.ts';

/** What images have to be; as they are stored where it does not say. */
export interface Look {
  /** Height and width, in pixels. */
  readonly size?: number | undefined;
  readonly colors?: 'grey' | 'rgb' | undefined;
}

/** The number of channels of a look, for images that have so many. */
export function channelsOf({ colors }: Look, stored: number): number {
  return colors === undefined ? stored : { grey: 1, rgb: 3 }[colors];
}

/** How an image lies in its bytes. */
export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** The largest part in the middle of an image that has the shape of another. */
export function centre(from: Omit<ImageShape, 'channels'>, to: Omit<ImageShape, 'channels'>) {
  const scale = Math.min(from.height / to.height, from.width / to.width);
  const [height, width] = [Math.round(to.height * scale), Math.round(to.width * scale)];
  return { top: Math.floor((from.height - height) / 2), left: Math.floor((from.width - width) / 2), height, width };
}

/** For each target pixel along one axis: its first source pixel, and the weights from there on, which sum to 1. */
function triangle(from: number, to: number) {
  const scale = from / to;
  const reach = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const middle = (i + 0.5) * scale;
    const first = Math.max(0, Math.round(middle - reach));
    const length = Math.min(from, Math.round(middle + reach)) - first;
    const raw = Array.from({ length }, (_, k) => Math.max(0, 1 - Math.abs(first + k + 0.5 - middle) / reach));
    const sum = raw.reduce((total, weight) => total + weight, 0);
    return { first, weights: Float32Array.from(raw, (weight) => weight / sum) };
  });
}

const LUMA = [0.299, 0.587, 0.114];

/** Makes images of one shape into another. */
export class Resizer {
  private readonly from: ImageShape;
  private readonly to: ImageShape;
  private readonly part: ReturnType<typeof centre>;
  private readonly columns: ReturnType<typeof triangle>;
  private readonly lines: ReturnType<typeof triangle>;
  /** Channels that count: grey is mixed of three, and gives three. */
  private readonly kept: number;
  /** The part with its width scaled: [part's height, target's width, kept]. */
  private readonly squeezed: Float32Array;

  constructor(from: ImageShape, to: ImageShape) {
    this.from = from;
    this.to = to;
    this.part = centre(from, to);
    this.columns = triangle(this.part.width, to.width);
    this.lines = triangle(this.part.height, to.height);
    this.kept = from.channels === to.channels ? from.channels : from.channels >= 3 ? 3 : 1;
    this.squeezed = new Float32Array(this.part.height * to.width * this.kept);
  }

  /** @param data an image of the first shape; @param out takes it in the second */
  resize(data: ArrayLike<number>, out: Uint8Array): void {
    const { from, to, part, columns, lines, kept, squeezed } = this;
    const step = from.channels;
    for (let y = 0, at = 0; y < part.height; y++) {
      const start = (part.top + y) * from.width + part.left;
      for (const { first, weights } of columns) {
        for (let c = 0; c < kept; c++) {
          let sum = 0;
          for (let k = 0; k < weights.length; k++) sum += weights[k]! * data[(start + first + k) * step + c]!;
          squeezed[at++] = sum;
        }
      }
    }
    const row = to.width * kept;
    const pixel = new Float64Array(kept);
    for (let y = 0, at = 0; y < to.height; y++) {
      const { first, weights } = lines[y]!;
      for (let x = 0; x < to.width; x++, at += to.channels) {
        for (let c = 0; c < kept; c++) {
          let sum = 0;
          for (let k = 0; k < weights.length; k++) sum += weights[k]! * squeezed[(first + k) * row + x * kept + c]!;
          pixel[c] = sum;
        }
        if (kept === 3 && to.channels === 1)
          out[at] = Math.round(LUMA.reduce((sum, share, c) => sum + share * pixel[c]!, 0));
        else for (let c = 0; c < to.channels; c++) out[at + c] = Math.round(pixel[Math.min(c, kept - 1)]!);
      }
    }
  }
}

/** Room for images. @throws DataError if that is more than there is */
export function roomFor(count: number, { height, width, channels }: ImageShape, name: string): Uint8Array {
  const bytes = count * height * width * channels;
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new DataError(
      `${name}: ${count} images of ${height}×${width}×${channels} take ${Math.ceil(bytes / 1e6)} MB, more than there ` +
        'is: give a smaller --size',
      { cause },
    );
  }
}

/** The same images, in another size or other colours where the look says so. */
export function withLook({ name, train, test }: Dataset, look: Look): Dataset {
  return { name, train: resized(train, look, name), test: resized(test, look, name) };
}

function resized(set: ImageSet, look: Look, name: string): ImageSet {
  const { count, images } = set;
  const { height = set.height, width = set.width } =
    look.size === undefined ? {} : { height: look.size, width: look.size };
  const to = { height, width, channels: channelsOf(look, set.channels) };
  if (height === set.height && width === set.width && to.channels === set.channels) return set;
  const out = roomFor(count, to, name);
  const [before, after] = [images.length / count, out.length / count];
  const resizer = new Resizer(set, to);
  for (let i = 0; i < count; i++) {
    resizer.resize(images.subarray(i * before, (i + 1) * before), out.subarray(i * after, (i + 1) * after));
  }
  return { ...set, ...to, images: out };
}

// Digits drawn stroke by stroke, for pages that have no data set at hand: skeletons, bent and shaken, and a round pen.
import { mat2d, vec2 } from 'gl-matrix';
import { OptionError } from '../errors.ts';
import type { Dataset, ImageSet } from './images.ts';
import { type Look, withLook } from './resize.ts';

/** What to draw. */
export interface StrokeDigitsOptions {
  /** Picks another set of the same kind; an integer. */
  readonly seed?: number;
  /** How many training images. */
  readonly train?: number;
  /** How many test images, drawn from a stream of their own. */
  readonly test?: number;
  /** Height and width, in pixels. */
  readonly size?: number;
}

/** What the built-in digits are called, where a run says what it learned from. */
export const STROKE_DIGITS = 'stroke digits';

/** Digits in the size and the colours wanted. */
export function builtInDigits({ seed, size, colors }: Look & { readonly seed: number }): Dataset {
  return withLook(strokeDigits({ seed, ...(size !== undefined && { size }) }), { colors });
}

/** A point of a skeleton; at a corner the pen turns, elsewhere it swings through. */
interface Knot {
  readonly x: number;
  readonly y: number;
  readonly corner: boolean;
}

/** Strokes are separated by |, points by spaces; an x,y with an exclamation mark is a corner. The digit is 100 high. */
function style(text: string): Knot[][] {
  return text.split('|').map((stroke) =>
    stroke
      .trim()
      .split(/\s+/)
      .map((point) => {
        const [x = 0, y = 0] = point.replace('!', '').split(',').map(Number);
        return { x, y, corner: point.endsWith('!') };
      }),
  );
}

/** The ways to write each digit; the more usual stand there more than once. */
const STYLES: readonly (readonly Knot[][])[][] = [
  [
    style('44,3 20,12 6,46 16,86 40,98 62,82 68,46 56,14 36,3'),
    style('58,14 36,2 12,20 5,56 19,90 42,97 64,74 66,36 52,10 34,8'),
  ],
  [
    style('31,0 30,50 29,100'),
    style('31,0 30,50 29,100'),
    style('31,0 30,50 29,100'),
    style('10,24 33,2! 32,50 31,100'),
    style('10,24 33,2! 32,50 31,100'),
    style('10,24 33,2! 32,50 31,98 | 6,99 32,98 60,97'),
  ],
  [
    style('7,24 24,4 50,6 58,28 44,56 22,80 4,97! 34,95 66,96'),
    style('8,22 28,3 54,10 56,36 36,68 14,93 5,86 18,77 38,90 68,94'),
  ],
  [
    style('8,13 30,2 55,14 52,36 26,48! 56,58 62,80 38,98 6,88'),
    style('8,13 30,2 55,14 52,36 26,48! 56,58 62,80 38,98 6,88'),
    style('8,5! 58,4! 30,42! 56,52 62,76 40,97 8,91'),
  ],
  [
    style('14,4 9,32 6,56! 34,57 68,52 | 56,3 53,50 49,100'),
    style('14,4 9,32 6,56! 34,57 68,52 | 56,3 53,50 49,100'),
    style('48,2! 26,34 4,66! 38,67 72,66 | 49,2 48,50 46,100'),
    style('16,5 9,36 18,54 38,52 56,28 60,5! 57,50 50,100'),
  ],
  [
    style('16,4! 11,43! 34,37 59,50 61,76 40,97 8,91 | 16,4 40,5 64,2'),
    style('62,4 40,5 18,6! 12,44! 36,38 60,53 57,83 34,98 6,89'),
  ],
  [
    style('48,2 22,24 7,60 14,88 34,98 56,85 56,63 38,53 18,64 9,80'),
    style('36,0 16,38 6,74 18,96 42,97 57,80 50,62 30,59 10,77'),
  ],
  [
    style('4,8 30,7 62,4! 46,44 33,72 24,100'),
    style('4,8 30,7 62,4! 46,44 33,72 24,100'),
    style('7,22 8,6! 34,6 62,4! 46,42 36,70 32,100'),
    style('4,8 30,7 62,4! 46,44 33,72 24,100 | 20,54 40,51 60,49'),
  ],
  [
    style('55,14 35,2 13,15 20,37 46,56 61,78 40,98 13,92 8,73 28,52 52,34 57,16 48,6'),
    style('34,48 12,34 14,11 36,2 56,13 54,35 34,48 10,63 9,89 36,98 60,88 58,62 34,48'),
  ],
  [
    style('57,17 36,4 13,16 9,38 26,50 48,38 58,15! 56,54 50,100'),
    style('57,16 34,2 10,20 14,44 36,48 54,30 58,12 60,50 50,87 28,98 8,89'),
  ],
];

/** Straight pieces between two points of a skeleton. */
const PIECES = 6;

/**
 * Draws the digits 0 to 9, white on black and centred as in MNIST, in equal shares and shuffled. The same options give
 * the same images.
 *
 * @returns one-channel images of size × size pixels with labels
 * @throws OptionError if a count or the size is not a positive integer, the size is below 8, or the seed no integer
 */
export function strokeDigits({ seed = 0, train = 20000, test = 2000, size = 28 }: StrokeDigitsOptions = {}): Dataset {
  const least = { seed: Number.MIN_SAFE_INTEGER, train: 1, test: 1, size: 8 };
  for (const [name, value] of Object.entries({ seed, train, test, size })) {
    const minimum = least[name as keyof typeof least];
    if (!Number.isSafeInteger(value) || value < minimum) {
      throw new OptionError(`stroke digits: ${name} is ${value}, and must be an integer of ${minimum} or more`);
    }
  }
  return { name: STROKE_DIGITS, train: draw(train, size, stream(seed, 1)), test: draw(test, size, stream(seed, 2)) };
}

function draw(count: number, size: number, random: Random): ImageSet {
  const images = new Uint8Array(count * size * size);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [labels[i], labels[j]] = [labels[j]!, labels[i]!];
  }
  const canvas = new Canvas(size);
  labels.forEach((digit, i) => {
    const styles = STYLES[digit]!;
    const strokes = write(styles[Math.floor(random() * styles.length)]!, random);
    // The pen's radius, in pixels.
    const pen = ((1.35 + 0.28 * normal(random)) * size) / 28;
    place(strokes, size, pen, random);
    canvas.clear();
    for (const stroke of strokes) {
      const pressure = [1 + 0.12 * normal(random), 1 + 0.12 * normal(random)] as const;
      canvas.stroke(stroke, pressure[0] * pen, pressure[1] * pen);
    }
    canvas.copyTo(images.subarray(i * size * size, (i + 1) * size * size));
  });
  return { images, labels, count, height: size, width: size, channels: 1, classes: 10 };
}

/** One person's version of a skeleton: lines of points [x0, y0, x1, y1, …], around the origin and about 1 high. */
function write(skeleton: readonly Knot[][], random: Random): Float32Array[] {
  const hand = mat2d.fromRotation(mat2d.create(), 0.1 * normal(random));
  // Handwriting leans to the right more often than to the left.
  const slant = mat2d.fromValues(1, 0, -0.12 - 0.17 * normal(random), 1, 0, 0);
  const stretch = mat2d.fromScaling(mat2d.create(), [0.95 + 0.13 * normal(random), 1]);
  mat2d.multiply(hand, hand, slant);
  mat2d.multiply(hand, hand, stretch);
  // Bends that all points share, so that the shape stays whole where independent jitter would tear it.
  const bend = Array.from({ length: 4 }, () => 0.16 * normal(random));
  return skeleton.map((knots) => {
    const points = new Float32Array(2 * knots.length);
    knots.forEach(({ x, y }, i) => {
      const u = x / 100 - 0.32 + 0.02 * normal(random);
      const v = y / 100 - 0.5 + 0.02 * normal(random);
      points[2 * i] = u + bend[0]! * v * v + bend[1]! * u * v;
      points[2 * i + 1] = v + bend[2]! * u * u + bend[3]! * u * v;
    });
    vec2.forEach(points, 2, 0, 0, vec2.transformMat2d, hand);
    return swing(points, knots);
  });
}

/** A Catmull-Rom spline through points, in straight pieces; at a corner it starts anew. */
function swing(points: Float32Array, knots: readonly Knot[]): Float32Array {
  const line = new Float32Array(2 * ((knots.length - 1) * PIECES + 1));
  line.set(points.subarray(0, 2));
  for (let i = 0; i + 1 < knots.length; i++) {
    const before = i === 0 || knots[i]!.corner ? i : i - 1;
    const after = i + 2 === knots.length || knots[i + 1]!.corner ? i + 1 : i + 2;
    for (let piece = 1; piece <= PIECES; piece++) {
      const t = piece / PIECES;
      for (let axis = 0; axis < 2; axis++) {
        const [p, q] = [points[2 * i + axis]!, points[2 * i + 2 + axis]!];
        const [leave, arrive] = [(q - points[2 * before + axis]!) / 2, (points[2 * after + axis]! - p) / 2];
        const cubic = 2 * (p - q) + leave + arrive;
        line[2 * (i * PIECES + piece) + axis] = p + t * (leave + t * (q - p - leave - cubic + t * cubic));
      }
    }
  }
  return line;
}

/** Moves strokes to where MNIST has them: the longer side about 20 of 28 pixels, the centre of mass in the middle. */
function place(strokes: readonly Float32Array[], size: number, pen: number, random: Random): void {
  const [low, high, centre] = [vec2.fromValues(9, 9), vec2.fromValues(-9, -9), vec2.create()];
  let length = 0;
  for (const stroke of strokes) {
    for (let i = 0; i < stroke.length; i += 2) {
      const point = stroke.subarray(i, i + 2) as vec2;
      vec2.min(low, low, point);
      vec2.max(high, high, point);
      if (i === 0) continue;
      const previous = stroke.subarray(i - 2, i) as vec2;
      const step = vec2.distance(previous, point);
      vec2.scaleAndAdd(centre, centre, previous, step / 2);
      vec2.scaleAndAdd(centre, centre, point, step / 2);
      length += step;
    }
  }
  vec2.scale(centre, centre, 1 / length);
  const room = ((20 + 0.7 * normal(random)) * size) / 28 - 2 * pen;
  const scale = room / Math.max(high[0] - low[0], high[1] - low[1]);
  const shake = () => (0.5 * normal(random) * size) / 28;
  const start = vec2.fromValues(size / 2 + shake(), size / 2 + shake());
  vec2.scaleAndAdd(start, start, centre, -scale);
  // What is heavy on one side must not leave the image on the other.
  const margin = size / 28 + 1.3 * pen;
  vec2.max(start, start, vec2.scaleAndAdd(low, [margin, margin], low, -scale));
  vec2.min(start, start, vec2.scaleAndAdd(high, [size - margin, size - margin], high, -scale));
  const move = mat2d.fromValues(scale, 0, 0, scale, start[0], start[1]);
  for (const stroke of strokes) vec2.forEach(stroke, 2, 0, 0, vec2.transformMat2d, move);
}

/** A grey image that a round pen draws on. */
class Canvas {
  private readonly size: number;
  /** How deep inside the pen's trace each pixel's centre lies, in pixels; below zero outside. */
  private readonly depth: Float32Array;

  constructor(size: number) {
    this.size = size;
    this.depth = new Float32Array(size * size);
    this.clear();
  }

  clear(): void {
    this.depth.fill(-1);
  }

  /** Draws a line [x0, y0, x1, y1, …] with a pen whose radius goes from one value to the other; all in pixels. */
  stroke(line: Float32Array, from: number, to: number): void {
    const pieces = line.length / 2 - 1;
    for (let i = 0; i < pieces; i++) {
      const radius = from + ((to - from) * (i + 0.5)) / pieces;
      this.piece(line[2 * i]!, line[2 * i + 1]!, line[2 * i + 2]!, line[2 * i + 3]!, radius);
    }
  }

  private piece(x0: number, y0: number, x1: number, y1: number, radius: number): void {
    const { size, depth } = this;
    const reach = radius + 1;
    const [left, right] = [Math.max(0, Math.floor(Math.min(x0, x1) - reach)), Math.min(size, Math.max(x0, x1) + reach)];
    const [top, bottom] = [Math.max(0, Math.floor(Math.min(y0, y1) - reach)), Math.min(size, Math.max(y0, y1) + reach)];
    const [dx, dy] = [x1 - x0, y1 - y0];
    const scale = 1 / Math.max(dx * dx + dy * dy, 1e-9);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
        const t = Math.min(1, Math.max(0, (px * dx + py * dy) * scale));
        const [ex, ey] = [px - t * dx, py - t * dy];
        const inside = radius - Math.sqrt(ex * ex + ey * ey);
        if (inside > depth[y * size + x]!) depth[y * size + x] = inside;
      }
    }
  }

  /** Writes the image: full inside, nothing outside, a ramp of a pixel and a half across the edge. */
  copyTo(pixels: Uint8Array): void {
    for (let i = 0; i < pixels.length; i++) {
      pixels[i] = Math.round(255 * Math.min(1, Math.max(0, this.depth[i]! / 1.5 + 0.5)));
    }
  }
}

/** Uniform numbers from 0 up to, not including, 1. */
type Random = () => number;

/** The sfc32 generator: 128 bits of state, so that streams do not meet. */
function stream(seed: number, index: number): Random {
  let [a, b, c, counter] = [seed | 0, Math.floor(seed / 2 ** 32) | 0, index, 1];
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  // The first numbers of close seeds are close.
  for (let i = 0; i < 20; i++) next();
  return next;
}

/** Roughly normal with variance 1, never beyond 3, and without logarithms, whose last bits differ between machines. */
function normal(random: Random): number {
  return 2 * (random() + random() + random()) - 3;
}

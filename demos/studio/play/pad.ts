// What a person draws: strokes of a round pen, as the intensities of an image of the model's size.
import type { ImageShape } from '../../../src/data/resize.ts';

/** Pixels of the pad for each of the image: a stroke has soft edges then. */
const FINE = 8;
/** The pen's radius, of the image's side. */
const PEN = 0.055;

export class Pad {
  readonly canvas = new OffscreenCanvas(1, 1);
  private readonly context: OffscreenCanvasRenderingContext2D;
  private readonly shape: ImageShape;
  private readonly before: ImageData[] = [];

  constructor(shape: ImageShape) {
    this.shape = shape;
    this.canvas.width = shape.width * FINE;
    this.canvas.height = shape.height * FINE;
    this.context = this.canvas.getContext('2d', { willReadFrequently: true })!;
    this.clear();
    this.before.length = 0;
  }

  /** Keeps what is there, for `undo`. */
  keep(): void {
    this.before.push(this.context.getImageData(0, 0, this.canvas.width, this.canvas.height));
    if (this.before.length > 20) this.before.shift();
  }

  undo(): void {
    const last = this.before.pop();
    if (last) this.context.putImageData(last, 0, 0);
  }

  clear(): void {
    this.keep();
    this.context.fillStyle = '#000';
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** A stroke from one place to another, in shares of the side; a pen that is pressed draws wider. */
  stroke(from: readonly [number, number], to: readonly [number, number], pressure = 0.5, erase = false): void {
    const { context, canvas } = this;
    context.lineCap = 'round';
    context.lineWidth = 2 * PEN * canvas.width * (0.6 + 0.8 * pressure) * (erase ? 2 : 1);
    context.strokeStyle = erase ? '#000' : '#fff';
    context.beginPath();
    context.moveTo(from[0] * canvas.width, from[1] * canvas.height);
    context.lineTo(to[0] * canvas.width, to[1] * canvas.height);
    context.stroke();
  }

  /** Takes an image in place of what was drawn. */
  show(image: ImageData): void {
    this.keep();
    const one = new OffscreenCanvas(image.width, image.height);
    one.getContext('2d')!.putImageData(image, 0, 0);
    this.context.imageSmoothingEnabled = true;
    this.context.drawImage(one, 0, 0, this.canvas.width, this.canvas.height);
  }

  /**
   * Intensities [height, width, channels]: means over the pad's pixels.
   *
   * @param centre whether what was drawn is moved so that its centre of mass is in the middle, as the digits' is
   */
  intensities(centre: boolean): Float32Array {
    const { height, width, channels } = this.shape;
    const { data } = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    const wide = this.canvas.width;
    let [dx, dy] = [0, 0];
    if (centre) {
      let [mass, x, y] = [0, 0, 0];
      for (let i = 0; i < data.length / 4; i++) {
        const value = data[4 * i]!;
        mass += value;
        x += value * (i % wide);
        y += value * Math.floor(i / wide);
      }
      if (mass > 0) {
        dx = Math.round(x / mass - (wide - 1) / 2);
        dy = Math.round(y / mass - (this.canvas.height - 1) / 2);
      }
    }
    const image = new Float32Array(height * width * channels);
    for (let row = 0; row < height * FINE; row++) {
      const from = row + dy;
      if (from < 0 || from >= this.canvas.height) continue;
      for (let column = 0; column < wide; column++) {
        const at = column + dx;
        if (at < 0 || at >= wide) continue;
        const pixel = Math.floor(row / FINE) * width + Math.floor(column / FINE);
        for (let c = 0; c < channels; c++) {
          image[pixel * channels + c]! +=
            data[4 * (from * wide + at) + (channels < 3 ? 0 : Math.min(c, 2))]! / (255 * FINE * FINE);
        }
      }
    }
    return image;
  }
}

// Many small images as one picture: a grid with a gap between them.
import type { ImageShape } from '../data/resize.ts';
import type { ShownPicture } from '../train/trainer_options.ts';

/** Between images; those in colour mostly fill their cells, and need more to be told apart. */
const gapOf = (channels: number) => (channels > 1 ? 4 : 1);
const BACKGROUND = '#808080';
/** Images are drawn at a whole multiple of their size, so that their side is about this long. */
const SIDE = 56;

/** Images, whatever they show. */
type Pixels = Omit<ShownPicture, 'name' | 'caption'>;

/** Draws over whatever the canvas held, and gives it the size of the picture. */
export function drawPicture(canvas: HTMLCanvasElement | OffscreenCanvas, picture: Pixels): void {
  const { data, columns, height, width, channels } = picture;
  const count = data.length / (height * width * channels);
  const scale = Math.max(1, Math.round(SIDE / Math.max(height, width)));
  const gap = gapOf(channels);
  const place = (i: number, size: number) => gap + i * (size * scale + gap);
  canvas.width = place(Math.min(columns, count), width);
  canvas.height = place(Math.ceil(count / columns), height);
  const context = canvas.getContext('2d') as CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
  context.fillStyle = BACKGROUND;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  const cell = new OffscreenCanvas(width, height);
  const cellContext = cell.getContext('2d')!;
  for (let i = 0; i < count; i++) {
    cellContext.putImageData(pixelsOf(data, picture, i), 0, 0);
    const [x, y] = [place(i % columns, width), place(Math.floor(i / columns), height)];
    context.drawImage(cell, x, y, width * scale, height * scale);
  }
}

/**
 * One of several images of intensities as a browser's pixels; a single channel is grey, and of more than three the first three
 * are red, green and blue.
 */
export function pixelsOf(data: ArrayLike<number>, { height, width, channels }: ImageShape, index = 0): ImageData {
  const image = new ImageData(width, height);
  const start = index * height * width * channels;
  for (let pixel = 0; pixel < height * width; pixel++) {
    for (let c = 0; c < 3; c++) {
      // Intensities beyond 0 and 1 are cut off by the array itself.
      image.data[4 * pixel + c] = 255 * data[start + pixel * channels + (channels < 3 ? 0 : c)]!;
    }
    image.data[4 * pixel + 3] = 255;
  }
  return image;
}

export async function toPng(canvas: HTMLCanvasElement): Promise<Blob> {
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'));
  if (!blob) throw new Error(`a picture of ${canvas.width}×${canvas.height} pixels could not be written as PNG`);
  return blob;
}

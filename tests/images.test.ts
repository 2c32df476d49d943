// PNG and JPEG files through the browser's decoder, and models that learn from colour images.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCifar } from '../src/data/cifar.ts';
import type { Files } from '../src/data/files.ts';
import { readDataset } from '../src/data/formats.ts';
import type { Dataset } from '../src/data/images.ts';
import { DataError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import type { EpochEvent } from '../src/train/events.ts';
import { trainByName } from '../src/train/named.ts';
import { drawPicture } from '../src/view/pictures.ts';
import { optionsFor } from './named_run.ts';
import { randomFrom } from './numbers.ts';
import { sampled } from './sampled.ts';

/** Convolutions of many channels take their time to compile on a software adapter. */
const TIMEOUT = 240_000;

type Encoding = 'image/png' | 'image/jpeg' | 'image/webp';
type Color = readonly [red: number, green: number, blue: number, alpha?: number];

/** An image file, with a colour for each place. */
async function encode(
  width: number,
  height: number,
  color: (x: number, y: number) => Color,
  type: Encoding = 'image/png',
): Promise<Blob> {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++)
      image.data.set(
        [255, 255, 255, 255, ...[]].map((v, c) => color(x, y)[c] ?? v),
        4 * (y * width + x),
      );
  }
  canvas.getContext('2d')!.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type, quality: 0.95 });
}

function filesOf(blobs: Record<string, Blob>): Files {
  return { name: 'toy', paths: Object.keys(blobs), read: async (path) => blobs[path]! };
}

const noise = (seed: number) => {
  const random = randomFrom(seed);
  const values = Array.from({ length: 4096 }, () => Math.floor(256 * random()));
  return (x: number, y: number): Color => [0, 1, 2].map((c) => values[(x * 131 + y * 17 + c * 7) % 4096]!) as never;
};

describe('files', () => {
  test('of PNG come as they are, byte for byte', async () => {
    const blobs: Record<string, Blob> = {};
    for (let i = 0; i < 9; i++) blobs[`${i}.png`] = await encode(16, 16, noise(i + 1));
    const { train, test: held } = await readDataset(filesOf(blobs));
    expect([train.count, held.count, train.height, train.width, train.channels, train.classes]).toEqual([
      8, 1, 16, 16, 3, 0,
    ]);
    for (let i = 0; i < 8; i++) {
      const color = noise(i + 1);
      const expected = Array.from({ length: 256 }, (_, at) => color(at % 16, Math.floor(at / 16))).flat();
      expect([...train.images.subarray(i * 768, (i + 1) * 768)]).toEqual(expected);
    }
  });

  test('are cropped to the square in the middle and resized, colours or grey', async () => {
    const third = (x: number): Color =>
      [
        [255, 0, 0],
        [0, 200, 0],
        [0, 0, 255],
      ][Math.floor(x / 100)] as never;
    const blobs = { 'a.png': await encode(300, 100, third), 'b.jpg': await encode(300, 100, third, 'image/jpeg') };
    const { train, test: held } = await readDataset(filesOf(blobs), { size: 4 });
    expect([...train.images]).toEqual(Array(16).fill([0, 200, 0]).flat());
    for (const [i, value] of held.images.entries()) expect(Math.abs(value - (i % 3 === 1 ? 200 : 0))).toBeLessThan(8);
    const grey = await readDataset(filesOf(blobs), { size: 2, colors: 'grey' });
    expect(grey.train).toMatchObject({ channels: 1, images: new Uint8Array(4).fill(117) });
  });

  test('are 64 pixels wide by default, or smaller, and white where they are transparent', async () => {
    const large = await encode(100, 90, () => [9, 9, 9, 0]);
    expect((await readDataset(filesOf({ 'a.png': large, 'b.png': large }))).train).toMatchObject({
      height: 64,
      width: 64,
      images: new Uint8Array(64 * 64 * 3).fill(255),
    });
    const small = await encode(40, 30, () => [9, 9, 9]);
    expect((await readDataset(filesOf({ 'a.png': small, 'b.webp': large }))).test.width).toBe(30);
  });

  test('lie in folders that are classes and splits, and are told of as they are read', async () => {
    const blobs: Record<string, Blob> = {};
    for (const [c, name] of ['dim', 'lit'].entries()) {
      for (let i = 0; i < 6; i++) {
        blobs[`all/train/${name}/${i}.png`] = await encode(8, 8, () => [100 * c + i, 0, 0]);
        blobs[`all/test/${name}/${i}.png`] = await encode(8, 8, () => [100 * c + i, 1, 0]);
      }
    }
    const told: string[] = [];
    const { train, test: held } = await readDataset(filesOf(blobs), {}, (done, total) => told.push(`${done}/${total}`));
    expect(told).toEqual(Array.from({ length: 24 }, (_, i) => `${i + 1}/24`));
    for (const [green, set] of [train, held].entries()) {
      expect([...set.labels!]).toEqual(Array(6).fill([0, 1]).flat());
      const pixels = Array.from({ length: 12 }, (_, i) => [...set.images.subarray(i * 192, i * 192 + 3)]);
      expect(pixels).toEqual(Array.from({ length: 12 }, (_, i) => [100 * (i % 2) + Math.floor(i / 2), green, 0]));
    }
  });

  test.each([
    ['no image', async () => new Blob(['not at all'])],
    ['nothing', async () => new Blob([])],
    ['cut short', async () => (await encode(64, 64, noise(3))).slice(0, 60)],
  ])('that are damaged are named: %s', async (_, damaged) => {
    const sound = await encode(8, 8, () => [1, 2, 3]);
    const files = filesOf({ 'x/a.png': sound, 'x/b.png': sound, 'y/c.png': await damaged(), 'y/d.png': sound });
    const error = await readDataset(files).catch((reason) => reason);
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toBe('toy: y/c.png is no image that this browser can read, or is damaged');
  });
});

describe('colour images of 32×32', () => {
  let gpu: Gpu;
  let data: Dataset;

  /** Batches of CIFAR-10's format: each class has its colour, in a disc or a stripe on black. */
  function batch(count: number, seed: number): Uint8Array {
    const random = randomFrom(seed);
    const bytes = new Uint8Array(count * 3073);
    for (let i = 0; i < count; i++) {
      const label = Math.floor(random() * 6);
      bytes[i * 3073] = label;
      const [cx, cy] = [10 + 12 * random(), 10 + 12 * random()];
      const hue = [label % 3 === 0, label % 3 === 1, label % 3 === 2].map((on) => (on ? 255 : 0));
      for (let c = 0; c < 3; c++) {
        for (let y = 0; y < 32; y++) {
          for (let x = 0; x < 32; x++) {
            const inside = label < 3 ? (x - cx) ** 2 + (y - cy) ** 2 < 64 : Math.abs(y - cy) < 4;
            bytes[i * 3073 + 1 + c * 1024 + y * 32 + x] = inside ? hue[c]! : 0;
          }
        }
      }
    }
    return bytes;
  }

  beforeAll(async () => {
    gpu = await Gpu.request();
    const read = (count: number, seed: number) => readCifar([{ name: 'batch', bytes: batch(count, seed) }]);
    data = { name: 'colours', train: read(240, 1), test: read(60, 2) };
  });
  afterAll(() => gpu.destroy());

  async function learn(given: object) {
    using trainer = await trainByName(gpu, data, optionsFor({ batch: 20, hidden: 40, latent: 6, ...given }));
    const told: EpochEvent[] = [];
    for await (const event of trainer.train()) if (event.event === 'epoch') told.push(event);
    return { first: told[0]!.test!, last: told.at(-1)!.test!, pictures: await trainer.pictures() };
  }

  test.each(sampled(['vae', 'conv-vae'], 1))(
    'the %s learns, and shows them in colour',
    { timeout: TIMEOUT },
    async (model) => {
      const { first, last, pictures } = await learn({ model, epochs: 3, codes: 16, lr: 3e-3 });
      expect(last.reconstruction).toBeLessThan(first.reconstruction! * 0.8);
      for (const picture of pictures) {
        expect(picture).toMatchObject({ height: 32, width: 32, channels: 3 });
        expect(picture.data.length % 3072).toBe(0);
      }
      const { data: pixels, columns } = pictures.find(({ name }) => name === 'reconstructions')!;
      // The first row is of test images as they are, in the order of their channels.
      expect([...pixels.subarray(0, columns * 3072)].map((v) => Math.round(v * 255))).toEqual([
        ...data.test.images.subarray(0, columns * 3072),
      ]);
      const canvas = document.createElement('canvas');
      drawPicture(canvas, pictures[0]!);
      const { data: drawn } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
      const isColoured = (i: number) => Math.abs(drawn[4 * i]! - drawn[4 * i + 1]!) > 100;
      expect(Array.from({ length: drawn.length / 4 }, (_, i) => i).filter(isColoured).length).toBeGreaterThan(100);
    },
  );
});

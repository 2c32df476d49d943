// Archives, on lavapipe: networks whose integers are the same here and on the device, round trips, and what is damaged.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { compressImages, decompressImages } from '../src/coder/archive.ts';
import { crc32, decodeArchive, type StoredBlock } from '../src/coder/container.ts';
import { ExactProgram, exactForward, exactNetwork, type TrainedLayer } from '../src/coder/exact_network.ts';
import { GliaError } from '../src/errors.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import type { Trained } from '../src/train/checkpoint.ts';
import { imagesOf, type Made, modelOf } from './drawn_models.ts';
import { GOLDEN, goldenArchives } from './golden_archive.ts';
import { randomFrom } from './numbers.ts';

const missing = inject('withoutLavapipe');

test.runIf(missing)('lavapipe is there', ({ skip }) => skip(missing));

async function errorOf(work: Promise<unknown>): Promise<Error | undefined> {
  return work.then(
    () => undefined,
    (error) => error,
  );
}

describe.skipIf(missing)('on lavapipe', () => {
  let gpu: Gpu;
  const seed = TEST_SEED;
  const random = randomFrom(seed);
  const int = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
  const models: Made[] = [];

  beforeAll(async () => {
    gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
    const binary = { binarize: 'dynamic' };
    models.push(
      modelOf({ model: 'burda', hidden: 13, latent: 5, ...binary }, [7, 9], random),
      modelOf({ model: 'vae', hidden: 16, latent: 3, ...binary }, [4, 4], random),
      modelOf({ model: 'vae', hidden: 8, latent: 2, likelihood: 'logistic-mixture' }, [3, 5], random),
      modelOf({ model: 'burda', hidden: 6, latent: 4, likelihood: 'logistic' }, [2, 4], random),
    );
  });
  afterAll(() => gpu?.destroy());

  async function unpacked(bytes: Uint8Array, trained: Trained | undefined, size: number, salvage = false) {
    const back = await decompressImages(gpu, bytes, 'a.glia', { trained, salvage });
    const images = new Uint8Array(back.header.count * size);
    for (const { first, images: some } of back.recovered) images.set(some, first * size);
    return { ...back, images };
  }

  test('an exact network gives on the device what it gives here, though its sums reach up to 2²⁴', async () => {
    const layer = (
      inputs: number,
      outputs: number,
      activation: TrainedLayer['activation'],
      size: number,
    ): TrainedLayer => {
      const drawn = (length: number) => Float32Array.from({ length }, () => (random() - 0.5) * size);
      return { weight: drawn(inputs * outputs), bias: drawn(outputs), inputs, outputs, activation };
    };
    const layers = [layer(37, 50, 'tanh', 1), layer(50, 19, 'relu', 3), layer(19, 11, 'none', 0.01)];
    const made = exactNetwork(layers, { unit: 1 / 255, most: 255 }, [256, 16, 1024]);
    const rows = 9;
    const x = Float32Array.from({ length: rows * 37 }, () => int(0, 255));
    const program = new ExactProgram(gpu, made);
    const wanted = exactForward(made, x, rows);
    expect(await program.runOnDevice(x, rows), `seed ${seed}`).toEqual(wanted);
    expect(await program.run(x, rows), `seed ${seed}`).toEqual(wanted);
    await program.destroy();
    for (const { weight, bias, inputs, outputs } of made.slice(0, 1)) {
      for (let row = 0; row < outputs; row++) {
        const sum = weight
          .subarray(row * inputs, (row + 1) * inputs)
          .reduce((total, w) => total + 255 * Math.abs(w), 0);
        expect(sum + Math.abs(bias[row]!)).toBeLessThan(2 ** 24);
        // And no coarser than it must be, but for the largest shift.
        expect(sum).toBeGreaterThan(2 ** 22);
      }
    }
    // The integers stand for what the layers were.
    const real = layers[0]!;
    const first = exactForward(made.slice(0, 1), x, 1);
    for (let out = 0; out < 50; out++) {
      let sum = real.bias[out]!;
      for (let i = 0; i < 37; i++) sum += (real.weight[out * 37 + i]! * x[i]!) / 255;
      expect(first[out]! / 512).toBeCloseTo(Math.tanh(sum), 1.9);
    }
  });

  test('archives come back byte for byte, whatever model, number of images and size of blocks', async () => {
    // Many more, without a device, in archives.node.test.ts.
    for (let round = 0; round < 6; round++) {
      const made = models[round % models.length]!;
      const block = int(1, 40);
      const count = [0, 1, block, block + 1][round] ?? int(0, 60);
      const set = imagesOf(made, count, random);
      const withModel = random() < 0.3;
      const { bytes, modelBytes } = await compressImages(gpu, made.trained, set, { block, withModel });
      const { images, recovered, damaged } = await unpacked(
        bytes,
        withModel ? undefined : made.trained,
        made.height * made.width,
      );
      expect(images, `seed ${seed}, round ${round}`).toEqual(set.images);
      expect([recovered.length, damaged.length]).toEqual([Math.ceil(count / block), 0]);
      expect(modelBytes > 0).toBe(withModel);
    }
  });

  test('an archive has the same bytes on every adapter, and without one', async () => {
    expect(await goldenArchives(gpu)).toEqual(GOLDEN);
    expect(await goldenArchives(undefined)).toEqual(GOLDEN);
  });

  test('one block can be had without the others', async () => {
    const [made] = models as [Made];
    const set = imagesOf(made, 50, random);
    const { bytes } = await compressImages(gpu, made.trained, set, { block: 20 });
    const { recovered } = await decompressImages(gpu, bytes, 'a.glia', { trained: made.trained, blocks: [1] });
    expect(recovered).toMatchObject([{ block: 1, first: 20 }]);
    expect(recovered[0]!.images).toEqual(set.images.subarray(20 * 63, 40 * 63));
  });

  test('what is damaged is told in one line, and what is not is salvaged', async () => {
    const [, made] = models as [Made, Made];
    const size = made.height * made.width;
    const set = imagesOf(made, 60, random);
    const { bytes } = await compressImages(gpu, made.trained, set, { block: 20 });
    for (let at = 0; at < 16; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1;
      expect(() => decodeArchive(damaged, 'a.glia'), `byte ${at}`).toThrow(GliaError);
    }
    const { blocks } = decodeArchive(bytes, 'a.glia');
    const stacks = [...blocks.values()].map((block) => (block as StoredBlock).stack);
    const ends = stacks.map(({ byteOffset, length }) => byteOffset + length);
    for (let round = 0; round < 6; round++) {
      const damaged = bytes.slice();
      const at = int(0, bytes.length - 1);
      damaged[at]! ^= 1 << int(0, 7);
      const cut = round % 3 === 0 ? damaged.subarray(0, at) : damaged;
      const what = `seed ${seed}, round ${round}, byte ${at}`;
      const error = await errorOf(unpacked(cut, made.trained, size));
      expect(error, what).toBeInstanceOf(GliaError);
      expect(error!.message, what).not.toContain('\n');
      // Of a header that is damaged, nothing can be read.
      if (at < stacks[0]!.byteOffset - 40) continue;
      const saved = await unpacked(cut, made.trained, size, true);
      for (const { first, images } of saved.recovered) {
        expect(images, what).toEqual(set.images.subarray(first * size, (first + 20) * size));
      }
      // What ends before the cut is whole, and one flipped bit harms one block.
      const before = ends.filter((end) => end <= at).length;
      expect(saved.recovered.length, what).toBeGreaterThanOrEqual(round % 3 === 0 ? before : 2);
    }
  });

  test('swapped blocks are put in order, and headers that lie are refused before memory is taken', async () => {
    const [, made] = models as [Made, Made];
    const size = made.height * made.width;
    const set = imagesOf(made, 50, random);
    const { bytes } = await compressImages(gpu, made.trained, set, { block: 25 });
    const archive = decodeArchive(bytes, 'a.glia');
    const marks = [...bytes.keys()].filter((at) => [0x42, 0x4c, 0x4f, 0x4b].every((byte, i) => bytes[at + i] === byte));
    expect(marks).toHaveLength(2);
    const [first, second] = marks as [number, number];
    const swapped = [...bytes.subarray(0, first), ...bytes.subarray(second), ...bytes.subarray(first, second)];
    expect((await unpacked(Uint8Array.from(swapped), made.trained, size)).images).toEqual(set.images);

    const lying = (changes: object) => {
      const text = new TextEncoder().encode(JSON.stringify({ ...archive.header, ...changes }));
      const start = bytes.slice(0, 16);
      new DataView(start.buffer).setUint32(12, text.length, true);
      const sum = new Uint8Array(4);
      new DataView(sum.buffer).setUint32(0, crc32(text), true);
      return Uint8Array.from([...start, ...text, ...sum, ...bytes.subarray(first)]);
    };
    const older = bytes.slice();
    new DataView(older.buffer).setUint16(8, 3, true);
    await expect(unpacked(older, made.trained, size)).rejects.toThrow(/of version 3, and this reads version 4/);
    const { model } = archive.header;
    const lies: [object, RegExp][] = [
      [{ count: 2 ** 30 }, /blocks are missing/],
      [{ count: -1 }, /how much it holds/],
      [{ count: 40 }, /holds 25 images, and the header says 15/],
      [{ width: 2 ** 15 }, /too large|do not fit|differs/],
      [{ height: 0 }, /no size/],
      [{ block: 1e9 }, /blocks are too large/],
      [{ block: 24 }, /holds|missing/],
      [{ model: { ...model, bytes: 2 ** 29 } }, /model is cut off/],
      [{ model: { ...model, digest: '0'.repeat(64) } }, /was not made with drawn/],
      [{ model: { ...model, probe: 5 } }, /probe differs/],
      [{ model: { ...model, scales: [[3], [1]] } }, /scaled/],
      [{ model: { ...model, scales: [] } }, /scaled/],
      [{ model: { ...model, scales: [[1024], [128]] } }, /as many layers/],
      [{ binarize: 'none' }, /do not fit/],
    ];
    for (const [lie, message] of lies) {
      const error = await errorOf(unpacked(lying(lie), made.trained, size));
      expect(error, JSON.stringify(lie)).toBeInstanceOf(GliaError);
      expect(error!.message, JSON.stringify(lie)).toMatch(message);
    }
  });

  test('another model, grey pixels and models that cannot be exact are refused', async () => {
    const [made, other] = models as [Made, Made];
    const set = imagesOf(made, 3, random);
    const { bytes } = await compressImages(gpu, made.trained, set);
    const changed = modelOf({ model: 'burda', hidden: 13, latent: 5, binarize: 'dynamic' }, [7, 9], random);
    expect((await errorOf(unpacked(bytes, changed.trained, 63)))?.message).toMatch(/was not made with drawn/);
    expect((await errorOf(unpacked(bytes, other.trained, 63)))?.message).toMatch(/not/);
    expect((await errorOf(unpacked(bytes, undefined, 63)))?.message).toMatch(/does not hold its model/);
    const grey = { ...set, images: new Uint8Array(set.images.length).fill(7) };
    expect((await errorOf(compressImages(gpu, made.trained, grey)))?.message).toMatch(/grey pixels/);
    const conv = modelOf({ model: 'conv-vae', latent: 2, binarize: 'dynamic' }, [8, 8], random);
    expect((await errorOf(compressImages(gpu, conv.trained, imagesOf(conv, 1, random))))?.message).toMatch(
      /made exact|no tensor/,
    );
  });
});

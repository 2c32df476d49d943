// The model `denoising`, on lavapipe in Node: it learns, and shows what it mends.
import { expect, inject, test } from 'vitest';
import { startDawn } from '../src/cli/dawn/dawn.ts';
import { strokeDigits } from '../src/data/digits.ts';
import { Gpu } from '../src/gpu/gpu.ts';
import { trainByName } from '../src/train/named.ts';
import { completeOptions } from '../src/train/options.ts';

test.skipIf(inject('withoutLavapipe'))('denoising learns to mend images', async () => {
  const gpu = await Gpu.request({ gpu: await startDawn('lavapipe') });
  const data = strokeDigits({ seed: 1, train: 600, test: 100 });
  const given = { model: 'denoising', hidden: 40, latent: 10, batch: 30, epochs: 5, lr: 3e-3 };
  const trainer = await trainByName(gpu, data, completeOptions(given));
  const losses: number[] = [];
  for await (const event of trainer.train()) if (event.event === 'epoch') losses.push(event.test!.loss);
  expect(losses.at(-1)).toBeLessThan(losses[0]! * 0.85);
  const [picture] = await trainer.pictures();
  expect(picture).toMatchObject({ name: 'mended', height: 28, columns: 16 });
  expect(picture!.data.every((value) => value >= 0 && value <= 1)).toBe(true);
  trainer.destroy();
  gpu.destroy();
});

// The data of `npm run train`: where they come from, of which formats, and what is refused.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { scratchFolder, TIMEOUT } from './command.ts';
import { cifar, folder, images, png, tinyData } from './small_data.ts';
import { trainCommand } from './train_command.ts';

const scratch = scratchFolder();
const { train, expectRefusal, expectRefusedAtOnce } = trainCommand(scratch);
const inScratch = (name: string, files: Record<string, Uint8Array>) => folder(join(scratch, name), files);

const data = tinyData(scratch);

test('data come from an address too, and a classifier tells its accuracy', { timeout: TIMEOUT }, async () => {
  const server = createServer((request, response) => {
    const path = join(data, basename(request.url ?? ''));
    if (existsSync(path)) response.end(readFileSync(path));
    else response.writeHead(404).end();
  });
  const { port } = await new Promise<AddressInfo>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server.address() as AddressInfo));
  });
  const address = `http://127.0.0.1:${port}/some/tiny`;
  const out = join(scratch, 'classifier');
  const args = ['--data', address, '--model', 'classifier', '--hidden', '16', '--batch', '16', '--epochs', '2'];
  const { code, stdout } = await train([...args, '--node', '--out', out]);
  server.close();
  expect(code).toBe(0);
  expect(stdout).toContain(`${address}: 172 training and 28 test images of 8×8`);
  expect(stdout).toMatch(/test loss [\d.]+, accuracy [\d.]+ %/);
  await expectRefusedAtOnce(args, /cannot be fetched: .*ECONNREFUSED/);
});

test('colour images that do not fit the budget are streamed', { timeout: TIMEOUT }, async () => {
  const batches = { 'data_batch_1.bin': cifar(60), 'data_batch_2.bin': cifar(60), 'test_batch.bin': cifar(30) };
  const where = inScratch('cifar', { ...batches, 'batches.meta.txt': Buffer.from('airplane') });
  const options = ['--data', where, '--hidden', '8', '--latent', '2', '--batch', '16', '--size', '12', '--epochs', '2'];
  const out = join(scratch, 'streamed');
  const { code, stdout, stderr } = await train([...options, '--budget', '0.04', '--out', out]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/cifar: 120 training and 30 test images of 12×12×3, streamed through 1 MB on the GPU\n/);
  expect(existsSync(join(out, 'samples.png'))).toBe(true);
});

test('images in folders are classes, however odd their names', {
  timeout: TIMEOUT,
}, async () => {
  const where = inScratch('photos of ä % ? #', {});
  for (const name of ['cats & dogs', 'öther?#']) {
    mkdirSync(join(where, name));
    for (let i = 0; i < 9; i++) writeFileSync(join(where, name, `${i} 100%.png`), png());
  }
  const options = ['--data', where, '--model', 'classifier', '--hidden', '8', '--batch', '8', '--epochs', '1'];
  const { code, stdout, stderr } = await train([...options, '--size', '4', '--out', join(scratch, 'photo-run')]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/16 training and 2 test images of 4×4×3\n/);
});

describe('refuses, in one line and without a trace,', () => {
  test.each<[string, RegExp, () => string]>([
    ['a folder that is not there', /there is nothing at .*nowhere/, () => join(scratch, 'nowhere')],
    ['a file for a folder', /is a file/, () => join(data, 'train-images-idx3-ubyte')],
    ['an empty folder', /empty is empty: give IDX .*CIFAR-10.*PNG or JPEG/, () => inScratch('empty', {})],
    [
      'data of two kinds',
      /holds IDX .* and PNG .*\(cat.png\): give it one kind only/,
      () => inScratch('mixed', { 'train-images-idx3-ubyte': images, 'cat.png': images }),
    ],
  ])('%s', (_, message, where) => expectRefusedAtOnce(['--data', where()], message));

  // These are found where images are decoded: those of photos in the page.
  test.each<[string, RegExp, () => string[]]>([
    [
      'an image that cannot be decoded',
      /glia: photos: b.png is no image that this browser can read, or is damaged/,
      () => [inScratch('photos', { 'a.png': png(), 'b.png': images })],
    ],
    [
      'an IDX file cut short',
      /glia: train-images-idx3-ubyte is cut short/,
      () => [inScratch('short', { 'train-images-idx3-ubyte': images.subarray(0, -7) }), '--node'],
    ],
  ])('%s', { timeout: TIMEOUT }, (_, message, args) => expectRefusal(['--data', ...args()], message));
});

// `npm run train` as a person meets it: what it prints, writes, refuses, and how it stops and goes on.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { crc32, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findBrowser } from '../src/cli/browser.ts';
import { decodeSafetensors, encodeSafetensors } from '../src/train/safetensors.ts';

/** Browsers start slowly where several run on few cores. */
const TIMEOUT = 180_000;

const scratch = mkdtempSync(join(tmpdir(), 'glia-cli-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command; `interrupt` sends it SIGINT once, when its output so far says so. */
function train(
  args: readonly string[],
  options: { env?: Record<string, string>; interrupt?: (stdout: string) => boolean } = {},
): Promise<Result> {
  const { interrupt = () => false } = options;
  const child = spawn(process.execPath, ['src/cli/start.mjs', 'train', ...args], {
    env: { ...process.env, INIT_CWD: process.cwd(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const result: Result = { code: null, stdout: '', stderr: '' };
  let interrupted = false;
  child.stdout.setEncoding('utf8').on('data', (part) => {
    result.stdout += part;
    if (interrupted || !interrupt(result.stdout)) return;
    interrupted = true;
    child.kill('SIGINT');
  });
  child.stderr.setEncoding('utf8').on('data', (part) => {
    result.stderr += part;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...result, code }));
  });
}

function idx(sizes: readonly number[], byte: (i: number) => number): Buffer {
  const header = Buffer.alloc(4 + 4 * sizes.length);
  header.writeUInt32BE(0x0800 + sizes.length);
  for (const [i, size] of sizes.entries()) header.writeUInt32BE(size, 4 + 4 * i);
  const count = sizes.reduce((product, size) => product * size, 1);
  return Buffer.concat([header, Buffer.from(Array.from({ length: count }, (_, i) => byte(i)))]);
}

/** CIFAR-10's format: labels in turn, and an image of one colour each. */
function cifar(count: number): Buffer {
  const record = (i: number) => [i % 10, ...[25 * (i % 10), 90, 200].flatMap((value) => Array(1024).fill(value))];
  return Buffer.from(Array.from({ length: count }, (_, i) => record(i)).flat());
}

/** A PNG of one red pixel. */
function png(): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
  const parts = [
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.from([0, 255, 0, 0]))),
    chunk('IEND', Buffer.alloc(0)),
  ];
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...parts]);
}

const COUNT = 200;
const images = idx([COUNT, 8, 8], (i) => (i * 2654435761) >>> 24);
const labels = idx([COUNT], (i) => i % 10);

/** A folder of files by name. */
function folder(name: string, files: Record<string, Uint8Array>): string {
  const path = join(scratch, name);
  mkdirSync(path);
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(path, file), bytes);
  return path;
}

const data = folder('tiny', { 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte.gz': gzipSync(labels) });
const tiny = ['--data', data, '--hidden', '32', '--latent', '2', '--batch', '16'];
const long = [...tiny, '--epochs', '40'];

const events = (text: string) => text.split('\n').flatMap((line) => (line ? [JSON.parse(line)] : []));
const read = (run: string, name: string) => readFileSync(join(run, name));

test('--help tells every option and its default', { timeout: TIMEOUT }, async () => {
  const { code, stdout, stderr } = await train(['--help']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const names = ['model', 'epochs', 'steps', 'batch', 'lr', 'hidden', 'latent', 'beta', 'likelihood', 'seed'];
  names.push('size', 'colors', 'budget');
  for (const name of [...names, 'data', 'out', 'resume', 'headed', 'json']) expect(stdout).toContain(`--${name} `);
  const unwrapped = stdout.replace(/\s+/g, ' ');
  for (const value of ['128', '0.001', '400', '"bernoulli"']) expect(unwrapped).toContain(`(default: ${value})`);
});

describe('a run', () => {
  const whole = join(scratch, 'whole');
  beforeAll(async () => {
    const { code, stdout, stderr } = await train([...long, '--out', whole]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^adapter +\S.*\ndata +.*tiny: 172 training and 28 test images of 8×8\nmodel +vae, 4,420 weights/,
    );
    expect(stdout).toMatch(/\nepoch 40: train loss [\d.]+, reconstruction .*KL .* · test loss/);
    expect(stdout).toMatch(/\ndone after step 430, .*: test loss [\d.]+/);
  }, TIMEOUT);

  test('writes its files, and nothing beside them', () => {
    expect(readdirSync(whole).sort()).toEqual([
      'checkpoint.safetensors',
      'loss.png',
      'manifold.png',
      'metrics.jsonl',
      'model.safetensors',
      'reconstructions.png',
      'samples.png',
    ]);
    for (const name of readdirSync(whole).filter((name) => name.endsWith('.png'))) {
      expect(read(whole, name).subarray(1, 4).toString(), name).toBe('PNG');
    }
    const { tensors } = decodeSafetensors(read(whole, 'model.safetensors'), 'model');
    expect(tensors.get('encoder.0.weight')?.shape).toEqual([32, 64]);
  });

  test('tells its metrics as steps and epochs', () => {
    const told = events(read(whole, 'metrics.jsonl').toString());
    const steps = told.filter(({ event }) => event === 'step');
    const epochs = told.filter(({ event }) => event === 'epoch');
    expect(told.length).toBe(steps.length + epochs.length);
    expect(Object.keys(steps[0])).toEqual(['event', 'step', 'epoch', 'loss', 'reconstruction', 'kl', 'msPerStep']);
    expect([steps[0].step, steps.at(-1).step]).toEqual([1, 430]);
    expect(epochs.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(epochs[0]).toEqual({
      event: 'epoch',
      epoch: 1,
      train: { loss: expect.any(Number), reconstruction: expect.any(Number), kl: expect.any(Number) },
      test: { loss: expect.any(Number), reconstruction: expect.any(Number), kl: expect.any(Number) },
    });
    expect(epochs.at(-1).train.loss).toBeLessThan(epochs[0].train.loss);
  });

  test('stopped by Ctrl-C, goes on to the same bits and the same metrics', { timeout: TIMEOUT }, async () => {
    const out = join(scratch, 'stopped');
    const interrupt = (stdout: string) => stdout.includes('"event":"epoch"');
    const stopped = await train([...long, '--out', out, '--json'], { interrupt });
    expect({ code: stopped.code, stderr: stopped.stderr }).toEqual({ code: 130, stderr: '' });
    const last = events(stopped.stdout).at(-1);
    expect(last).toMatchObject({ event: 'stopped', out, resume: expect.stringMatching(/--epochs 40.* --resume$/) });
    expect(last.step).toBeLessThan(430);

    const { code, stdout } = await train([...long, '--out', out, '--resume']);
    expect(code).toBe(0);
    expect(stdout).toContain(`resumed     after step ${last.step} of 430`);
    for (const name of ['model.safetensors', 'checkpoint.safetensors']) {
      expect(read(out, name).equals(read(whole, name)), name).toBe(true);
    }
    const untimed = (run: string) => events(read(run, 'metrics.jsonl').toString()).map((e) => ({ ...e, msPerStep: 0 }));
    expect(untimed(out)).toEqual(untimed(whole));
  });

  test('is not overwritten by another', { timeout: TIMEOUT }, async () => {
    const { code, stderr } = await train([...long, '--out', whole]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^glia: .*whole holds a run: --resume goes on with it.*\n$/);
  });

  test('whose loss becomes infinite names the op and keeps a good checkpoint', { timeout: TIMEOUT }, async () => {
    const out = join(scratch, 'infinite');
    const { code, stderr } = await train([...tiny, '--out', out, '--lr', '1000']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^glia: step \d+: .* not finite; first made by \w+.*; the last good checkpoint is in .*\n$/);
    const { tensors } = decodeSafetensors(read(out, 'checkpoint.safetensors'), 'checkpoint');
    for (const [name, { data }] of tensors)
      expect(
        [...data].every((x) => Number.isFinite(Number(x))),
        name,
      ).toBe(true);
  });

  describe('does not go on from', () => {
    const checkpoint = () => decodeSafetensors(read(whole, 'checkpoint.safetensors'), 'checkpoint');
    const weight = 'encoder.0.weight';
    const damaged: [string, RegExp, (bytes: Buffer) => Uint8Array][] = [
      ['a file cut short', /cut short|beyond|bytes/, (bytes) => bytes.subarray(0, bytes.length - 100)],
      ['a header longer than the file', /header/, (bytes) => Buffer.concat([Buffer.alloc(8, 1), bytes.subarray(8)])],
      ['weights that are no checkpoint', /no checkpoint of Glia's/, () => read(whole, 'model.safetensors')],
      [
        'a checkpoint without a tensor',
        /has no tensor encoder\.0\.weight/,
        () => {
          const { tensors, metadata } = checkpoint();
          return encodeSafetensors(Object.fromEntries([...tensors].filter(([name]) => name !== weight)), metadata);
        },
      ],
      [
        'a checkpoint with another shape',
        /encoder\.0\.weight is \[64, 32\], and this model's is \[32, 64\]/,
        () => {
          const { tensors, metadata } = checkpoint();
          const turned = { ...tensors.get(weight)!, shape: [64, 32] };
          return encodeSafetensors({ ...Object.fromEntries(tensors), [weight]: turned }, metadata);
        },
      ],
    ];
    test.each(damaged)('%s', { timeout: TIMEOUT }, async (name, message, damage) => {
      const path = join(scratch, `${name.replaceAll(' ', '-')}.safetensors`);
      writeFileSync(path, damage(read(whole, 'checkpoint.safetensors')));
      await expectRefusal([...long, '--resume', path], message);
    });

    test('a checkpoint of other options', { timeout: TIMEOUT }, async () => {
      await expectRefusal([...long, '--resume', whole, '--hidden', '33'], /made with --hidden 32, not 33/);
    });
  });
});

test('the built-in digits need no data, and --steps stops early', { timeout: TIMEOUT }, async () => {
  const options = ['--hidden', '32', '--latent', '2', '--batch', '32'];
  const [whole, parts] = [join(scratch, 'steps'), join(scratch, 'parts')];
  const first = await train([...options, '--steps', '12', '--out', whole]);
  expect(first.code).toBe(0);
  expect(first.stdout).toContain('built-in stroke digits, because no --data was given');
  expect(events(read(whole, 'metrics.jsonl').toString()).at(-1)).toMatchObject({ event: 'step', step: 12, epoch: 1 });

  await train([...options, '--steps', '6', '--out', parts]);
  const { code } = await train(['--steps', '12', '--out', parts, '--resume']);
  expect(code).toBe(0);
  expect(read(parts, 'model.safetensors').equals(read(whole, 'model.safetensors'))).toBe(true);
});

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
  const { code, stdout } = await train([...args, '--out', out]);
  server.close();
  expect(code).toBe(0);
  expect(stdout).toContain(`${address}: 172 training and 28 test images of 8×8`);
  expect(stdout).toMatch(/test loss [\d.]+, accuracy [\d.]+ %/);
  await expectRefusal(args, /cannot be fetched: .*ECONNREFUSED/);
});

test('colour images are streamed, stopped and gone on with, to the same bits', { timeout: TIMEOUT }, async () => {
  const batches = { 'data_batch_1.bin': cifar(60), 'data_batch_2.bin': cifar(60), 'test_batch.bin': cifar(30) };
  const where = folder('cifar', { ...batches, 'batches.meta.txt': Buffer.from('airplane') });
  const options = ['--data', where, '--hidden', '8', '--latent', '2', '--batch', '16', '--size', '12', '--epochs', '2'];
  const [whole, parts] = [join(scratch, 'colours'), join(scratch, 'streamed')];
  const first = await train([...options, '--out', whole]);
  expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: '' });
  expect(first.stdout).toMatch(/cifar: 120 training and 30 test images of 12×12×3\n/);
  await train([...options, '--out', parts, '--steps', '5', '--budget', '0.04']);
  const { code, stdout } = await train([...options, '--out', parts, '--resume', '--budget', '0.03']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/12×12×3, streamed through 1 MB on the GPU\n/);
  const weights = (run: string) => decodeSafetensors(read(run, 'model.safetensors'), 'model').tensors;
  expect(weights(parts)).toEqual(weights(whole));
});

test('images in folders are classes, however odd their names', {
  timeout: TIMEOUT,
}, async () => {
  const where = folder('photos of ä % ? #', {});
  for (const name of ['cats & dogs', 'öther?#']) {
    mkdirSync(join(where, name));
    for (let i = 0; i < 9; i++) writeFileSync(join(where, name, `${i} 100%.png`), png());
  }
  const options = ['--data', where, '--model', 'classifier', '--hidden', '8', '--batch', '8', '--epochs', '1'];
  const { code, stdout, stderr } = await train([...options, '--size', '4', '--out', join(scratch, 'photo-run')]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/16 training and 2 test images of 4×4×3\n/);
});

/** One line on standard error, exit code 1, and no trace of a run. */
async function expectRefusal(args: readonly string[], message: RegExp, env: Record<string, string> = {}) {
  const out = join(scratch, 'never');
  const { code, stdout, stderr } = await train([...args, '--out', out], { env });
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^glia: [^\n]*\n$/);
  expect({ code, stdout, written: existsSync(out) }).toEqual({ code: 1, stdout: '', written: false });
}

describe('refuses, in one line and without a trace,', () => {
  const wrong: [string, RegExp, () => readonly string[]][] = [
    ['an unknown option', /unknown option '--hiden' \(Did you mean --hidden\?\)/, () => ['--hiden', '3']],
    ['an argument too many', /too many arguments/, () => ['mnist']],
    ['a learning rate that is no number', /--lr must be a number .* got "fast"/, () => ['--lr', 'fast']],
    ['half a step', /--steps must be a whole number/, () => ['--steps', '1.5']],
    ['an unknown model', /--model must be one of vae, .*classifier/, () => ['--model', 'gan']],
    ['a folder that is not there', /there is no folder .*nowhere/, () => ['--data', join(scratch, 'nowhere')]],
    ['a file for a folder', /is a file/, () => ['--data', join(data, 'train-images-idx3-ubyte')]],
    ['an empty folder', /empty is empty: give IDX .*CIFAR-10.*PNG or JPEG/, () => ['--data', folder('empty', {})]],
    [
      'IDX files without training images',
      /has no training images: none of train-images-idx3-ubyte/,
      () => ['--data', folder('half', { 't10k-images-idx3-ubyte': images })],
    ],
    [
      'data of two kinds',
      /holds IDX .* and PNG .*\(cat.png\): give it one kind only/,
      () => ['--data', folder('mixed', { 'train-images-idx3-ubyte': images, 'cat.png': images })],
    ],
    [
      'an image that cannot be decoded',
      /glia: photos: b.png is no image that this browser can read, or is damaged/,
      () => ['--data', folder('photos', { 'a.png': png(), 'b.png': images })],
    ],
    [
      'a batch of CIFAR-10 cut short',
      /data_batch_1.bin is cut short/,
      () => ['--data', folder('cut', { 'data_batch_1.bin': cifar(20).subarray(1) })],
    ],
    ['a budget of less than two batches', /--budget .* give it more/, () => [...tiny, '--budget', '0.001']],
    ['a batch larger than the data', /batch of 300 is larger .* 172/, () => ['--data', data, '--batch', '300']],
    [
      'images cut short',
      /train-images-idx3-ubyte is cut short/,
      () => ['--data', folder('short', { 'train-images-idx3-ubyte': images.subarray(0, -7) })],
    ],
    [
      'a wrong magic number',
      /train-images-idx3-ubyte begins with the magic number 0x00000d03/,
      () => {
        const wrongType = Buffer.from(images);
        wrongType[2] = 0x0d;
        return ['--data', folder('magic', { 'train-images-idx3-ubyte': wrongType })];
      },
    ],
    [
      'counts that differ',
      /200 images and .* 199 labels/,
      () => [
        '--data',
        folder('counts', { 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte': idx([199], () => 0) }),
      ],
    ],
    ['to resume from nothing', /--resume: there is no /, () => ['--resume', join(scratch, 'nowhere')]],
  ];
  test.each(wrong)('%s', { timeout: TIMEOUT }, (_, message, args) => expectRefusal(args(), message));

  test('no browser', { timeout: TIMEOUT }, async () => {
    await expectRefusal(tiny, /PUPPETEER_EXECUTABLE_PATH is .*there is no such file/, {
      PUPPETEER_EXECUTABLE_PATH: join(scratch, 'no-browser'),
    });
  });

  test('no WebGPU', { timeout: TIMEOUT }, async () => {
    const script = join(scratch, 'browser.sh');
    const lines = [
      '#!/bin/sh',
      'for arg; do shift; [ "$arg" = --enable-unsafe-webgpu ] || set -- "$@" "$arg"; done',
      `exec '${await findBrowser()}' "$@" --disable-features=WebGPUService,WebGPU --disable-gpu --disable-software-rasterizer`,
    ];
    writeFileSync(script, `${lines.join('\n')}\n`, { mode: 0o755 });
    await expectRefusal(tiny, /WebGPU/, { PUPPETEER_EXECUTABLE_PATH: script });
  });
});

// `npm run train` as a person meets it: what it prints and writes, and how it stops and goes on.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { findBrowser } from '../src/cli/browser.ts';
import { difference, runCommand as runKilled } from '../src/cli/soak/command.ts';
import { decodeSafetensors, encodeSafetensors } from '../src/train/safetensors.ts';
import { scratchFolder, TIMEOUT } from './command.ts';
import { sampled } from './sampled.ts';
import { tinyData } from './small_data.ts';
import { trainCommand } from './train_command.ts';

const scratch = scratchFolder();
const { train, expectRefusal, expectRefusedAtOnce } = trainCommand(scratch);

const tiny = ['--data', tinyData(scratch), '--hidden', '32', '--latent', '2', '--batch', '16'];
const long = [...tiny, '--epochs', '25'];
/** Where nothing is asked of a browser, none is started: that takes longer than the test. */
const inNode = '--node';

const events = (text: string) => text.split('\n').flatMap((line) => (line ? [JSON.parse(line)] : []));
const read = (run: string, name: string) => readFileSync(join(run, name));

test('--help tells every option and its default', { timeout: TIMEOUT }, async () => {
  const { code, stdout, stderr } = await train(['--help']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const names = ['model', 'epochs', 'steps', 'batch', 'lr', 'hidden', 'latent', 'beta', 'likelihood', 'seed'];
  names.push('decay', 'size', 'colors', 'budget');
  for (const name of [...names, 'data', 'out', 'resume', 'save-every', 'patience', 'headed', 'json'])
    expect(stdout).toContain(`--${name} `);
  const unwrapped = stdout.replace(/\s+/g, ' ');
  // Of some options, models have defaults of their own.
  for (const value of ['128', '0.001; 0.003 for conv-classifier', '1 for vae', '4 for beta-vae', '0.25 for vq-vae']) {
    expect(unwrapped).toMatch(new RegExp(`\\(default: [^)]*${value}`));
  }
});

test('--help of a model tells its own options, with its own defaults', { timeout: TIMEOUT }, async () => {
  const { code, stdout } = await train(['--model', 'text-vae', '--help']);
  const unwrapped = stdout.replace(/\s+/g, ' ');
  expect(code).toBe(0);
  for (const told of ['--word-dropout <n>', '(default: 20)', '(default: bpe)', '--out <folder>']) {
    expect(unwrapped).toContain(told);
  }
  for (const other of ['--particles', '--binarize', '--heads']) expect(stdout).not.toContain(other);
});

describe('a run', () => {
  const whole = join(scratch, 'whole');
  beforeAll(async () => {
    const { code, stdout, stderr } = await train([...long, '--out', whole]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /^adapter +\S.*\ndata +.*tiny: 172 training and 28 test images of 8×8\nmodel +vae, 4,420 weights/,
    );
    expect(stdout).toMatch(/\nepoch 25: train loss [\d.]+, reconstruction .*KL .* · test loss/);
    expect(stdout).toMatch(/\ndone after step 269, .*: test loss [\d.]+/);
  }, TIMEOUT);

  test('writes its files, and nothing beside them', () => {
    expect(readdirSync(whole).sort()).toEqual([
      'checkpoint.before.safetensors',
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
    expect([steps[0].step, steps.at(-1).step]).toEqual([1, 269]);
    expect(epochs.map(({ epoch }) => epoch)).toEqual(Array.from({ length: 25 }, (_, i) => i + 1));
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
    expect(last).toMatchObject({ event: 'stopped', out, resume: expect.stringMatching(/--epochs 25.* --resume$/) });
    expect(last.step).toBeLessThan(269);

    const { code, stdout } = await train([...long, '--out', out, '--resume']);
    expect(code).toBe(0);
    expect(stdout).toContain(`resumed     after step ${last.step} of 269`);
    for (const name of ['model.safetensors', 'checkpoint.safetensors']) {
      expect(read(out, name).equals(read(whole, name)), name).toBe(true);
    }
    const untimed = (run: string) => events(read(run, 'metrics.jsonl').toString()).map((e) => ({ ...e, msPerStep: 0 }));
    expect(untimed(out)).toEqual(untimed(whole));
  });

  test('whose GPU process is killed ends with the same bits, and tells each step once', {
    timeout: TIMEOUT,
  }, async () => {
    const out = join(scratch, 'killed');
    const victims = sampled(['gpu', 'gpu', 'gpu'] as const, 1);
    expect(await runKilled({ args: [...long, '--json'], out, victims, within: 100 })).toBe(victims.length);
    expect(difference(whole, out)).toBeUndefined();
  });

  test('is not overwritten by another', async () => {
    await expectRefusedAtOnce([...long, '--out', whole], /whole holds a run: --resume goes on with it/);
  });

  test('whose loss becomes infinite names the op and keeps a good checkpoint', { timeout: TIMEOUT }, async () => {
    const out = join(scratch, 'infinite');
    const { code, stderr } = await train([...tiny, inNode, '--out', out, '--lr', '1000']);
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
    const damaged: [string, RegExp, (bytes: Buffer) => Uint8Array][] = [
      ['a file cut short', /cut short|beyond|bytes/, (bytes) => bytes.subarray(0, bytes.length - 100)],
      ['a header longer than the file', /header/, (bytes) => Buffer.concat([Buffer.alloc(8, 1), bytes.subarray(8)])],
      ['weights that are no checkpoint', /no checkpoint of Glia's/, () => read(whole, 'model.safetensors')],
    ];
    test.each(damaged)('%s', async (name, message, damage) => {
      const path = join(scratch, `${name.replaceAll(' ', '-')}.safetensors`);
      writeFileSync(path, damage(read(whole, 'checkpoint.safetensors')));
      await expectRefusedAtOnce([...long, '--resume', path], message);
    });

    test('a checkpoint without a tensor', { timeout: TIMEOUT }, async () => {
      const { tensors, metadata } = checkpoint();
      const rest = [...tensors].filter(([name]) => name !== 'encoder.0.weight');
      const path = join(scratch, 'incomplete.safetensors');
      writeFileSync(path, encodeSafetensors(Object.fromEntries(rest), metadata));
      await expectRefusal([...long, inNode, '--resume', path], /has no tensor encoder\.0\.weight/);
    });

    test('a checkpoint of other options', { timeout: TIMEOUT }, async () => {
      await expectRefusal(
        [...long, inNode, '--resume', whole, '--hidden', '33'],
        /made with --hidden 32, not with --hidden 33/,
      );
    });
  });
});

test('the built-in digits need no data, and --steps stops early', { timeout: TIMEOUT }, async () => {
  const out = join(scratch, 'digits');
  const args = [inNode, '--hidden', '32', '--latent', '2', '--batch', '32', '--steps', '3'];
  const { code, stdout } = await train([...args, '--out', out]);
  expect(code).toBe(0);
  expect(stdout).toContain('built-in stroke digits, because no --data was given');
  expect(events(read(out, 'metrics.jsonl').toString()).at(-1)).toMatchObject({ event: 'step', step: 3, epoch: 1 });
});

describe('refuses, in one line and without a trace,', () => {
  test.each<[string, RegExp, string[]]>([
    ['an argument too many', /too many arguments/, ['mnist']],
    ['a learning rate that is no number', /--lr must be a number .* got "fast"/, ['--lr', 'fast']],
    ['half a step', /--steps must be a whole number/, ['--steps', '1.5']],
    ["an option of another model's", /--codes is for vq-vae; vae has: --model, .*--hidden/, ['--codes', '3']],
    ['an unknown model', /--model must be one of vae, .*classifier/, ['--model', 'gan']],
    ['to resume from nothing', /--resume: there is no /, ['--resume', join(scratch, 'nowhere')]],
  ])('%s', (_, message, args) => expectRefusedAtOnce(args, message));

  test('an unknown option', { timeout: TIMEOUT }, () =>
    expectRefusal(['--hiden', '3'], /unknown option '--hiden' \(Did you mean --hidden\?\)/),
  );

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

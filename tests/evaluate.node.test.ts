// `npm run evaluate` as a person meets it: trains a little on the built-in digits, and asks how likely others are.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseArguments } from '../src/cli/evaluate/arguments.ts';
import { main } from '../src/cli/evaluate.ts';
import { CheckpointError, OptionError } from '../src/errors.ts';
import { encodeSafetensors } from '../src/train/safetensors.ts';
import { runCommand, scratchFolder, TIMEOUT, untouched } from './command.ts';
import { tinyData } from './small_data.ts';

const scratch = scratchFolder();
const run = (command: string, ...args: string[]) => runCommand(command, args, scratch);
const evaluate = (...args: string[]) => run('evaluate', ...args);
tinyData(scratch);
const small = ['--hidden', '32', '--latent', '4', '--batch', '64'];

beforeAll(async () => {
  const { code, stderr } = await run(
    'train',
    ...small,
    '--node',
    '--model',
    'beta-vae',
    '--steps',
    '60',
    '--out',
    'beta',
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
}, TIMEOUT);

test('a run folder gives a table', { timeout: TIMEOUT }, async () => {
  const args = ['--checkpoint', 'beta', '--nll', '50,1,10', '--images', '120', '--batch', '50'];
  const { code, stdout, stderr } = await evaluate(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(
    /^adapter +\S.*\ncheckpoint +beta.checkpoint\.safetensors: beta-vae, 51,416 weights, after step/,
  );
  expect(stdout).toMatch(/after step 60, trained on 20000 images of stroke digits\n/);
  expect(stdout).toMatch(/\ndata +built-in stroke digits: the first 120 of 2000 test images of 28×28\n/);
  expect(stdout).toContain('trained with beta 4; the ELBO here is that of beta 1');
  const number = (row: string, column = 0) => {
    const cells = new RegExp(`^ *${row} +(-?[\\d.]+) ± [\\d.]+(?: +(-?[\\d.]+) ± [\\d.]+)?$`, 'm').exec(stdout);
    expect(cells, `${row} in\n${stdout}`).not.toBeNull();
    return Number(cells![1 + column]);
  };
  const [loss, reconstruction, kl] = ['ELBO, as a loss', 'reconstruction', 'KL'].map((row) => number(row));
  expect(loss).toBeCloseTo(reconstruction! + kl!, 2);
  const bounds = [1, 10, 50].map((k) => number(`−log p\\(x\\), K = ${k}`));
  expect(bounds).toEqual([...bounds].sort((a, b) => b - a));
  expect(number('−log p\\(x\\), K = 50', 1)).toBeCloseTo(loss! - bounds[2]!, 2);
  expect(number('−log p\\(x\\), K = 50', 1)).toBeGreaterThan(0.5);
});

test('with --json, a line each of what is evaluated and of what comes of it', { timeout: TIMEOUT }, async () => {
  const args = ['--checkpoint', 'beta', '--nll', '3,1', '--images', '20', '--json', '--node'];
  const lines = (await evaluate(...args)).stdout.trim().split('\n');
  const [start, done] = lines.map((line) => JSON.parse(line));
  expect(start).toMatchObject({ event: 'start', model: 'beta-vae', trained: { beta: 4 }, data: { images: 20 } });
  expect(done).toMatchObject({ event: 'done', images: 20, nll: [{ samples: 1 }, { samples: 3 }] });
});

describe('refuses, in one line,', () => {
  const foreign = () =>
    encodeSafetensors({ w: { dtype: 'F32', shape: [1], data: new Float32Array(1) } }, { format: 'pt' });
  test.each<[string, string, RegExp, (path: string) => void]>([
    ['a file that is not there', 'nowhere', /--checkpoint: there is no .*nowhere/, () => {}],
    ['a folder without a checkpoint', 'empty', /there is no checkpoint in .*empty/, (path) => mkdirSync(path)],
    [
      'weights that do not tell their options',
      'w.safetensors',
      /w\.safetensors holds tensors and does not say with which options they were trained: give a checkpoint/,
      (path) => writeFileSync(path, foreign()),
    ],
  ])('%s', async (_, name, message, prepare) => {
    const path = join(scratch, name);
    prepare(path);
    await expect(main(['--checkpoint', path], { server: untouched })).rejects.toThrow(message);
    await expect(main(['--checkpoint', path], { server: untouched })).rejects.toThrow(CheckpointError);
  });

  // These are found where the images are read.
  test.each([
    [
      'weights that do not tell their data',
      ['--checkpoint', join('beta', 'model.safetensors')],
      /does not say what it was trained on: say with --data .* or give the checkpoint beside it/,
    ],
    [
      'images of another size',
      ['--checkpoint', 'beta', '--data', 'tiny'],
      /was trained on images of 784 numbers \(stroke digits\), and those of tiny have 64/,
    ],
  ])('%s', { timeout: TIMEOUT }, async (_, args, message) => {
    const { code, stdout, stderr } = await evaluate(...args, '--node');
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^glia: [^\n]*\n$/);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  test.each([
    [[], /required option '--checkpoint <file>'/],
    [['--checkpoint', ''], /--checkpoint is empty/],
    [['--checkpoint', 'x', '--nll', '0'], /--nll must be a whole number from 1 to 1000000; got "0"/],
    [['--checkpoint', 'x', '--nll', '1,,5'], /--nll must be .* got ""/],
    [['--checkpoint', 'x', '--images', 'all'], /--images must be .* got "all"/],
    [['--checkpoint', 'x', '--k', '5'], /unknown option '--k'/],
  ])('%j', (args, message) => {
    expect(() => parseArguments(args)).toThrow(OptionError);
    expect(() => parseArguments(args)).toThrow(message);
  });
});

test('--help tells every option, and what the errors are', { timeout: TIMEOUT }, async () => {
  const { code, stdout } = await evaluate('--help');
  expect(code).toBe(0);
  for (const name of ['checkpoint', 'nll', 'data', 'images', 'batch', 'seed', 'headed', 'json']) {
    expect(stdout).toContain(`--${name} `);
  }
  expect(stdout.replace(/\s+/g, ' ')).toContain('± is the standard error of the mean over the images');
});

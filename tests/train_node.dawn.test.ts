// `npm run train -- --node`: the command as it is typed, on lavapipe, without a browser.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { decodeTrained } from '../src/train/checkpoint.ts';
import { runCommand, scratchFolder, TIMEOUT } from './command.ts';
import { tinyData } from './small_data.ts';

const missing = inject('withoutLavapipe');
const scratch = scratchFolder();

// Whoever asked for a browser would get none.
const env = { PUPPETEER_EXECUTABLE_PATH: '/nowhere/chrome' };
const IN_NODE = ['--node', '--driver', 'lavapipe'];
const data = ['--data', tinyData(scratch)];
const train = (...args: string[]) => runCommand('train', [...IN_NODE, ...args], process.cwd(), { env });
const eventsOf = (out: string) => {
  const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line));
};
const weightsOf = (out: string) => decodeTrained(readFileSync(join(out, 'model.safetensors')), out).tensors;

test.skipIf(missing)('a run in Node wants no browser and leaves a checkpoint', { timeout: TIMEOUT }, async () => {
  const out = join(scratch, 'run');
  const { code, stdout, stderr } = await train(...data, '--hidden', '8', '--steps', '3', '--out', out);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/adapter {5}.*llvmpipe/);
  const steps = eventsOf(out).filter(({ event }) => event === 'step');
  expect(steps.map(({ step }) => step)).toEqual([1, 2, 3]);
  expect(existsSync(join(out, 'model.safetensors'))).toBe(true);
  expect(existsSync(join(out, 'checkpoint.safetensors'))).toBe(true);
});

test.skipIf(missing)('a run begins with the weights of another, and its options', { timeout: TIMEOUT }, async () => {
  const [before, after] = [join(scratch, 'run'), join(scratch, 'next')];
  const next = await train(...data, '--init', before, '--lr', '1e-30', '--beta', '2', '--steps', '1', '--out', after);
  expect(next.code, next.stderr).toBe(0);
  expect(next.stdout).toMatch(/which begin as those of .*run.checkpoint\.safetensors/);
  expect(
    eventsOf(after)
      .filter(({ event }) => event === 'step')
      .map(({ step }) => step),
  ).toEqual([1]);
  expect(weightsOf(after)).toEqual(weightsOf(before));
  const wrong = await train(...data, '--init', before, '--hidden', '9', '--out', join(scratch, 'other'));
  expect(wrong.code).not.toBe(0);
  expect(wrong.stderr).toMatch(/encoder\.0\.weight is \[8, \d+\], and this model's is \[9, \d+\]/);
  expect(existsSync(join(scratch, 'other'))).toBe(false);
  const both = await train(...data, '--init', before, '--resume', before);
  expect(both.stderr).toMatch(/--init and --resume exclude each other/);
  const none = await train(...data, '--init', join(scratch, 'nothing'));
  expect(none.stderr).toMatch(/--init: there is no .*nothing/);
});

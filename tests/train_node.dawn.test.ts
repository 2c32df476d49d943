// `npm run train -- --node`: the command as it is typed, on lavapipe, without a browser.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { runCommand, scratchFolder, TIMEOUT } from './command.ts';
import { tinyData } from './small_data.ts';

const missing = inject('withoutLavapipe');
const scratch = scratchFolder();

test.skipIf(missing)('a run in Node wants no browser and leaves a checkpoint', { timeout: TIMEOUT }, async () => {
  const out = join(scratch, 'run');
  // Whoever asked for a browser would get none.
  const env = { PUPPETEER_EXECUTABLE_PATH: '/nowhere/chrome' };
  const args = [
    '--node',
    '--driver',
    'lavapipe',
    '--data',
    tinyData(scratch),
    '--hidden',
    '8',
    '--steps',
    '3',
    '--out',
    out,
  ];
  const { code, stdout, stderr } = await runCommand('train', args, process.cwd(), { env });
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/adapter {5}.*llvmpipe/);
  const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const steps = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'step');
  expect(steps.map(({ step }) => step)).toEqual([1, 2, 3]);
  expect(existsSync(join(out, 'model.safetensors'))).toBe(true);
  expect(existsSync(join(out, 'checkpoint.safetensors'))).toBe(true);
});

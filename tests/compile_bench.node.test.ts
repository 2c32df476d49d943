// The bench of compiling: its table, and that time grows with the depth of a model and not with its square.
import { expect, test, vi } from 'vitest';
import { benchCompiling, measureCompiling, perceptronStep } from '../src/cli/bench/compile.ts';
import { main } from '../src/cli/bench.ts';
import { OptionError } from '../src/errors.ts';

test('prints nodes, dispatches and times of each depth, of the default VAE and of gpt', {
  timeout: 60_000,
}, async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  await benchCompiling(1);
  const lines = log.mock.calls.map(([line]) => String(line));
  log.mockRestore();
  const rows = lines.filter((line) => /layers|VAE|gpt/.test(line)).map((line) => line.split(/\s{2,}/));
  expect(rows.map(([name]) => name)).toEqual([
    ...[10, 20, 40, 80, 160].map((depth) => `${depth} layers`),
    'default VAE',
    'gpt of 12',
  ]);
  for (const row of rows) for (const cell of row.slice(1)) expect(Number(cell)).toBeGreaterThan(0);
});

test('eight times the layers take far less than 64 times the time', { timeout: 60_000 }, () => {
  const rows = measureCompiling({ small: perceptronStep(20), large: perceptronStep(160) }, 3);
  const [small, large] = rows as [(typeof rows)[0], (typeof rows)[0]];
  expect(large.dispatches / small.dispatches).toBeLessThan(8);
  expect(large.cpuMs / small.cpuMs).toBeLessThan(20);
});

test.each(['--node', '--headed', '--json x.json'])('refuses --compile with %s', async (more) => {
  await expect(main(['--compile', ...more.split(' ')])).rejects.toThrow(OptionError);
});

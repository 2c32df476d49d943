// `npm run profile` as a person meets it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseArguments } from '../src/cli/profile/arguments.ts';
import { tableOf } from '../src/cli/profile/table.ts';
import { OptionError } from '../src/errors.ts';
import { runCommand, scratchFolder, TIMEOUT } from './command.ts';

const scratch = scratchFolder();
const profile = (...args: string[]) => runCommand('profile', args, scratch);

test('prints a table and totals, and writes JSON and a trace', { timeout: TIMEOUT }, async () => {
  const { code, stdout, stderr } = await profile(
    ...['--hidden', '16', '--latent', '2', '--batch', '8', '--repeats', '2', '--json', 'p.json', '--trace', 't.json'],
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const written = JSON.parse(readFileSync(join(scratch, 'p.json'), 'utf8'));
  const trace = JSON.parse(readFileSync(join(scratch, 't.json'), 'utf8'));
  expect(written.options).toMatchObject({ model: 'vae', hidden: 16 });
  expect(trace.traceEvents.length).toBeGreaterThan(2 * written.dispatches.length);
  const lines = stdout.split('\n');
  const head = lines.findIndex((line) => /# +op +variant +shapes .* ms .*GFLOP\/s +GB\/s/.test(line));
  const rows = lines.slice(head + 1, lines.indexOf('', head));
  expect(rows).toHaveLength(written.dispatches.length);
  for (const line of [lines[head]!, ...rows]) expect(line.length).toBeLessThanOrEqual(120);
  for (const name of ['step', 'dispatches', 'gaps', 'encoding', 'utilisation', 'ceilings', 'memory']) {
    expect(stdout).toMatch(new RegExp(`^${name} +-?[\\d.]+ (ms|%|MB|GFLOP/s)`, 'm'));
  }
});

test('explains why neighbouring dispatches are two, and measures nothing', { timeout: TIMEOUT }, async () => {
  const { code, stdout, stderr } = await profile('--explain', '--hidden', '16', '--latent', '2', '--batch', '8');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [adapter, , ...lines] = stdout.trimEnd().split('\n');
  expect(adapter).toMatch(/\w/);
  // A line for each dispatch in order, and between two of them a line that names both.
  const heads = lines.filter((line) => /^\d/.test(line));
  const reasons = lines.filter((line) => /^ {4}\d/.test(line));
  expect(heads.length).toBeGreaterThan(10);
  expect(heads.map((line) => Number.parseInt(line, 10))).toEqual([...heads.keys()]);
  expect(reasons).toHaveLength(heads.length - 1);
  reasons.forEach((line, i) => {
    expect(line).toMatch(new RegExp(`^ {4}${i} \\(.+\\) and ${i + 1} \\(.+\\): .+`));
  });
  expect(stdout).toMatch(/is read by matmul, and so must be complete before/);
});

test('compares two shaders', { timeout: TIMEOUT }, async () => {
  const code = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { x[id.x] += 1.0; }`;
  writeFileSync(join(scratch, 'a.wgsl'), code);
  writeFileSync(join(scratch, 'b.wgsl'), code.replace('1.0', '2.0'));
  writeFileSync(join(scratch, 'buffers.txt'), '0 read_write f32 64 iota\n');
  const { code: exit, stdout } = await profile(
    ...['--wgsl', 'a.wgsl', '--wgsl', 'b.wgsl', '--buffers', 'buffers.txt', '--workgroups', '1', '--repeats', '2'],
  );
  expect(exit).toBe(0);
  expect(stdout).toMatch(/a\.wgsl +b\.wgsl\nmedian +[\d.]+ ms +[\d.]+ ms/);
  expect(stdout).toMatch(/Their results DIFFER\.\n {2}binding 0: differs in \d+ of 64 elements/);
});

test.each([
  [['--workgroups', '1'], /--workgroups is for shaders/],
  [['--wgsl', 'nowhere.wgsl', '--workgroups', '1', '--buffers', 'x'], /--wgsl: nowhere\.wgsl cannot be read/],
  [['--wgsl', 'a.wgsl', '--workgroups', '1'], /--wgsl needs --buffers/],
  [['--wgsl', 'a.wgsl', '--batch', '3'], /--batch is for the step of a model/],
  [['--explain', '--sort'], /--sort is for what is measured, and --explain measures nothing/],
  [['--wgsl', 'a.wgsl', '--explain'], /--explain is for the step of a model/],
  [['--repeats', '0'], /--repeats must be a positive whole number/],
])('refuses %j', (args, message) => {
  expect(() => parseArguments(args)).toThrow(OptionError);
  expect(() => parseArguments(args)).toThrow(message);
});

test('a table cuts words, not numbers, and keeps what stands behind an arrow', () => {
  const rows = [
    ['#', 'op', 'shapes', 'ms'],
    ['1', 'a word that is long', '100×200 300×400 → 100×400', '12345'],
  ];
  expect(tableOf(rows, [undefined, 2, 3, undefined], 100)[1]).toBe(
    '1  a word that is long  100×200 300×400 → 100×400  12345',
  );
  const cut = tableOf(rows, [undefined, 2, 3, undefined], 45)[1]!;
  expect(cut.length).toBeLessThanOrEqual(45);
  expect(cut).toMatch(/^1 {2}a word.*… +100×200.*… → 100×400 {2}12345$/);
});

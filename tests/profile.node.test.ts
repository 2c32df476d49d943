// `npm run profile` as a person meets it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readAdapter, shippedAdapters } from '../src/cli/profile/adapter.ts';
import { parseArguments } from '../src/cli/profile/arguments.ts';
import { planStep } from '../src/cli/profile/plan.ts';
import { tableOf } from '../src/cli/profile/table.ts';
import { OptionError } from '../src/errors.ts';
import { completeOptions } from '../src/train/options.ts';
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
  const { code, stdout, stderr } = await profile(
    '--node',
    '--explain',
    '--hidden',
    '16',
    '--latent',
    '2',
    '--batch',
    '8',
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [adapter, , ...lines] = stdout.trimEnd().split('\n');
  expect(adapter).toMatch(/\w/);
  // A line for each dispatch in order, and between two of them a line that names both; a pack in place has no number.
  const heads = lines.filter((line) => /^\S/.test(line));
  const reasons = lines.filter((line) => /^ {4}\S/.test(line));
  const numbered = heads.filter((line) => /^\d/.test(line)).map((line) => Number.parseInt(line, 10));
  expect(numbered.length).toBeGreaterThan(10);
  expect(numbered).toEqual(numbered.map((_, i) => i + 1));
  expect(reasons).toHaveLength(heads.length - 1);
  const titles = heads.map((line) => (line.startsWith('-') ? 'pack, in place' : `${Number.parseInt(line, 10)} (`));
  reasons.forEach((line, i) => {
    expect(line.startsWith(`    ${titles[i]}`)).toBe(true);
    expect(line).toContain(` and ${titles[i + 1]}`);
    expect(line).toMatch(/: \S/);
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
    ...[
      '--wgsl',
      'a.wgsl',
      '--wgsl',
      'b.wgsl',
      '--buffers',
      'buffers.txt',
      '--workgroups',
      '1',
      '--repeats',
      '2',
      '--node',
    ],
  );
  expect(exit).toBe(0);
  expect(stdout).toMatch(/a\.wgsl +b\.wgsl\nmedian +[\d.]+ ms +[\d.]+ ms/);
  expect(stdout).toMatch(/Their results DIFFER\.\n {2}binding 0: differs in \d+ of 64 elements/);
});

test('plans a step for an adapter that is only described, and writes what a driver would get', {
  timeout: TIMEOUT,
}, async () => {
  const file = { ...JSON.parse(readFileSync('src/cli/profile/adapters/m2.json', 'utf8')), name: 'mine', cores: 2 };
  writeFileSync(join(scratch, 'mine.json'), JSON.stringify(file));
  const { code, stdout, stderr } = await profile(
    '--plan',
    'mine.json',
    '--hidden',
    '16',
    '--batch',
    '8',
    '--wgsl',
    'out',
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^mine: described, not measured; 2 cores of 1024 threads\nvae, batch 8: (\d+) dispatches\n/);
  const shaders = readdirSync(join(scratch, 'out'));
  expect(shaders).toHaveLength(Number(/(\d+) dispatches/.exec(stdout)![1]));
  for (const name of shaders) expect(readFileSync(join(scratch, 'out', name), 'utf8')).toContain('@workgroup_size(');
  expect(stdout).toMatch(/\n *1 .*matmul|\n *\d+ +matmul/);
  expect(stdout).toMatch(/\n[\d.]+ MB planned for intermediate results; no plan needs less than [\d.]+ MB\n/);
  const text = await planStep(readAdapter('h100'), completeOptions({ model: 'gpt', layers: 1, width: 16 }));
  expect(text.dispatches.map(({ op }) => op).join()).toContain('attention');
});

test('every adapter that ships can be read, and what is missing in one of your own is named', () => {
  expect(shippedAdapters().sort()).toEqual(['780m', 'h100', 'm2', 'xe']);
  for (const name of shippedAdapters()) expect(readAdapter(name).gpu.adapter.software).toBe(false);
  // Subgroups of one size can be relied on, others not.
  expect(readAdapter('h100').gpu.adapter.subgroupSize).toBe(32);
  expect(readAdapter('xe').gpu.adapter.subgroupSize).toBe(0);
  const written = (value: unknown) => {
    writeFileSync(join(scratch, 'own.json'), JSON.stringify(value));
    return () => readAdapter(join(scratch, 'own.json'));
  };
  expect(written({ name: 'half', software: false })).toThrow(/own\.json has no vendor, a string/);
  expect(written([])).toThrow(/own\.json holds no object/);
  const m2 = JSON.parse(readFileSync('src/cli/profile/adapters/m2.json', 'utf8'));
  expect(written({ ...m2, cores: 3 })().cores).toBe(3);
  expect(written({ ...m2, cores: -3 })).toThrow(/wants cores, a whole number from 1, got -3/);
  expect(written({ ...m2, subgroupMinSize: 64, subgroupMaxSize: 32 })).toThrow(
    /subgroups of 64 at least and 32 at most/,
  );
  // What no kernel could be made for, no device may be.
  const limits = { maxStorageBuffersPerShaderStage: 2 };
  expect(written({ ...m2, limits })).toThrow(/PerShaderStage as 2; every device of WebGPU has 8/);
  expect(() => readAdapter('h200')).toThrow(/no file h200, and the adapters that ship are 780m, h100, m2, xe/);
});

test.each([
  [['--plan', 'h100', '--repeats', '2'], /--repeats is for what is measured, and --plan measures nothing/],
  [['--plan', 'h100', '--workgroups', '1'], /--workgroups is for shaders that are measured, not for --plan/],
  [['--plan', 'h100', '--wgsl', 'a', '--wgsl', 'b'], /--wgsl names one folder/],
  [['--plan', 'h100', '--wgsl', 'a.wgsl'], /--wgsl names the folder that shaders are written to, not a\.wgsl/],
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

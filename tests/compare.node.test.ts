// The table of coders of `npm run compress -- --compare`: who is missing, who failed, and who made what.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { compareTextCoders } from '../src/cli/compress/compare.ts';
import { showTable } from '../src/cli/compress/table.ts';

const { PATH } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'glia-coders-'));

afterEach(() => {
  process.env.PATH = PATH;
  rmSync(folder, { recursive: true, force: true });
});

test('a coder that fails is told apart from one that is not there', () => {
  const programs = { gzip: 'printf abc', bzip2: 'exit 3', xz: 'kill -9 $$' };
  for (const [name, body] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  process.env.PATH = folder;
  const sizes = compareTextCoders('to be or not to be');
  const of = (start: string) => sizes.find(({ name }) => name.startsWith(start));
  expect(of('as it is')).toMatchObject({ bytes: 18 });
  expect(of('gzip')).toMatchObject({ bytes: 3 });
  expect(of('bzip2')).toMatchObject({ bytes: undefined, failure: 'it ended with 3' });
  expect(of('xz')).toMatchObject({ bytes: undefined, failure: 'ended by SIGKILL' });
  expect(of('zstd')).toEqual({ name: 'zstd -19', bytes: undefined, from: 'zstd' });
  const lines = showTable(10, sizes, 18, 'bits/byte').map((line) => line.trim());
  expect(lines.slice(1).map((line) => line.split(/ {2,}/)[0])).toEqual([
    'gzip -9',
    'Glia, without the model',
    'as it is',
    'not installed: zstd -19 (zstd), PPMd by 7z (p7zip-full)',
    'failed: bzip2 -9 (it ended with 3), xz -9e (ended by SIGKILL)',
  ]);
});

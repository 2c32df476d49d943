// The same archive in Chrome as on lavapipe, where tests/archive.dawn.test.ts makes it.
import { expect, test } from 'vitest';
import { Gpu } from '../src/gpu/gpu.ts';
import { GOLDEN, GOLDEN_TEXT, goldenArchives, goldenText } from './golden_archive.ts';

test('an archive has the same bytes on every adapter', async () => {
  using gpu = await Gpu.request();
  expect(await goldenArchives(gpu)).toEqual(GOLDEN);
  expect(await goldenText()).toEqual(GOLDEN_TEXT);
});

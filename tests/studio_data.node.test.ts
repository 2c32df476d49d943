// What the studio keeps with a run: text as tokens, images as they are.
import { expect, test } from 'vitest';
import { decodeDataset, describeDataset, encodeDataset } from '../demos/studio/store/datasets.ts';
import { isOwn } from '../demos/studio/store/record.ts';
import { isText, textFromString } from '../src/data/text.ts';
import { CheckpointError } from '../src/errors.ts';

const many = Array.from({ length: 300 }, (_, i) => String.fromCodePoint(0x4e00 + i)).join('');
const reader = (files: ReadonlyMap<string, Uint8Array>) => async (file: string) => {
  const bytes = files.get(file);
  // At an odd place of a larger buffer, as files of a zip lie.
  return bytes && new Uint8Array([0, ...bytes]).subarray(1);
};

test.each([
  ['bytes', textFromString('poem', 'so much depends\n'.repeat(9), 'bytes')],
  ['few characters', textFromString('poem', 'so much depends\n'.repeat(9))],
  ['more characters than a byte tells apart', textFromString('poem', many.repeat(2))],
])('text of %s comes back as it was', async (_, made) => {
  const text = await made;
  const read = await decodeDataset(reader(encodeDataset(text)), 'run');
  if (!isText(read)) throw new Error('it came back as images');
  expect({ ...read, vocabulary: read.vocabulary.toJSON() }).toEqual({ ...text, vocabulary: text.vocabulary.toJSON() });
  const [before, after] = [await describeDataset(text, true), await describeDataset(read, true)];
  expect(after).toEqual(before);
  expect(before).toMatchObject({ kind: 'text', train: text.train.length, vocabulary: text.vocabulary.size });
  expect([isOwn(before), isOwn(await describeDataset(text, false))]).toEqual([true, false]);
});

test('tokens that the vocabulary has not, or half a token, are refused', async () => {
  const text = await textFromString('poem', many);
  for (const tokens of [Uint32Array.of(300), Uint8Array.of(1, 0, 0)]) {
    const files = encodeDataset(text).set('data-test-tokens', new Uint8Array(tokens.buffer));
    await expect(decodeDataset(reader(files), 'run')).rejects.toThrow(CheckpointError);
  }
});

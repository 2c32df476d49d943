// Archives of text, without a device: what is whole comes back byte for byte, what is damaged is told in one line.
import { describe, expect, test } from 'vitest';
import { type CompressOptions, decompressImages } from '../src/coder/archive.ts';
import { crc32, decodeArchive, type StoredBlock } from '../src/coder/container.ts';
import { ExactGpt } from '../src/coder/exact_gpt.ts';
import { compressText, decompressText } from '../src/coder/text_archive.ts';
import { bpeVocabulary, PieceCounts } from '../src/data/bpe.ts';
import { grammarText } from '../src/data/grammar.ts';
import { BYTES, characterVocabulary, type Vocabulary } from '../src/data/vocabulary.ts';
import { DataError, GliaError, OptionError } from '../src/errors.ts';
import { GPT } from '../src/models/gpt.ts';
import { Parameters } from '../src/nn/module.ts';
import { input } from '../src/ops/source.ts';
import { Evaluator, type Memory } from './fuzz/evaluate.ts';
import { GOLDEN_TEXT, goldenText, gptOf } from './golden_archive.ts';
import { randomFrom } from './numbers.ts';

const seed = TEST_SEED;
const random = randomFrom(seed);
const int = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
const told = `seed ${seed}`;
const SIZES = { layers: 2, heads: 2, width: 12, context: 8 };

const GRAMMAR = grammarText({ seed: 5 }).slice(0, 700);
const letters = characterVocabulary(GRAMMAR);
const counts = new PieceCounts();
counts.add(GRAMMAR);
const merges = bpeVocabulary(counts.merges(270));

async function roundTrip(text: string, vocabulary: Vocabulary, options: CompressOptions = {}) {
  const trained = gptOf(SIZES, vocabulary, random);
  const { bytes } = await compressText(trained, text, options);
  const { text: back, damaged } = await decompressText(bytes, 't.glia', {
    ...(!options.withModel && { trained }),
  });
  expect(damaged, told).toEqual([]);
  expect(new TextDecoder('utf-8', { ignoreBOM: true }).decode(back), told).toBe(text);
  return { bytes, trained };
}

describe('a gpt in doubles', () => {
  test('says what the graph says, evaluated in float64', () => {
    const vocabulary = 11;
    const model = new GPT({ ...SIZES, vocabulary });
    const parameters = new Parameters(model);
    const flat = Float32Array.from({ length: parameters.flat.size }, () => random() - 0.5);
    const exact = new ExactGpt(model, parameters.split(flat));
    const tokens = Array.from({ length: SIZES.context }, () => int(0, vocabulary - 1));
    const memory: Memory = new Map([[parameters.flat.place(), [Float64Array.from(flat)]]]);
    const logits = model.logits(model.forward(input('tokens', [1, tokens.length], 'u32')));
    const wanted = new Evaluator({ tokens }, memory, { samples: 1 }).value(logits).samples[0]!;
    const actual = exact.logits(tokens);
    expect(actual.length).toBe(wanted.length);
    for (const [i, value] of wanted.entries()) expect(Math.abs(actual[i]! - value), told).toBeLessThan(1e-9);
  });

  test('has the same bits token by token as for many at once, also where its window is full', () => {
    const model = new GPT({ ...SIZES, vocabulary: 7 });
    const parameters = new Parameters(model);
    const flat = Float32Array.from({ length: parameters.flat.size }, () => random() - 0.5);
    const [one, many] = [0, 1].map(() => new ExactGpt(model, parameters.split(flat))) as [ExactGpt, ExactGpt];
    const tokens = Array.from({ length: 31 }, () => int(0, 6));
    const singly = tokens.flatMap((token) => [...one.next(token)]);
    const together: number[] = [];
    for (let i = 0; i < tokens.length; ) {
      const some = tokens.slice(i, i + Math.min(many.room, int(1, 5)));
      together.push(...many.logits(some));
      i += some.length;
    }
    expect(together, told).toEqual(singly);
  });
});

describe('text comes back byte for byte', () => {
  test.each([0, 1, 30, 31, 60, 97])('%i characters, in blocks of 30', async (count) => {
    await roundTrip(GRAMMAR.slice(0, count), letters, { block: 30 });
  });

  test('with its model inside', async () => {
    await roundTrip(GRAMMAR.slice(0, 50), letters, { withModel: true });
  });

  test('with characters that the model never saw, and a byte order mark', async () => {
    await roundTrip('\uFEFFNaïve — 漢字 😀\r\n\0', letters);
  });

  test('of bytes, and of merges, whose tokens may part a character', async () => {
    await roundTrip('Ärger — 漢字 😀', BYTES, { block: 5 });
    await roundTrip(`${GRAMMAR.slice(0, 120)} Ärger 😀`, merges, { block: 7 });
  });

  test('in as many bits as its distributions say: what comes again and again costs little', async () => {
    const trained = gptOf(SIZES, letters, random);
    const again = GRAMMAR.slice(0, 60).repeat(12);
    const { bytes } = await compressText(trained, again);
    const { coded } = decodeArchive(bytes, 't.glia');
    expect(coded, told).toBeLessThan(again.length / 4);
  });

  test('to the same archive in every engine', async () => {
    expect(await goldenText()).toEqual(GOLDEN_TEXT);
  });
});

describe('what is wrong is told in one line', () => {
  const lineOf = async (work: Promise<unknown>) => {
    const error = await work.then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error, told).toBeInstanceOf(GliaError);
    expect(error!.message.split('\n').length).toBe(1);
    return error!;
  };

  test('an archive of another model, without its model, or of images', async () => {
    const { bytes } = await roundTrip(GRAMMAR.slice(0, 40), letters);
    const other = gptOf(SIZES, letters, random);
    expect(await lineOf(decompressText(bytes, 't.glia', { trained: other }))).toBeInstanceOf(OptionError);
    expect((await lineOf(decompressText(bytes, 't.glia'))).message).toMatch(/does not hold its model/);
    expect((await lineOf(decompressImages(undefined, bytes, 't.glia'))).message).toBe(
      't.glia holds text, and no images',
    );
    expect((await lineOf(compressText(other, 'a', { block: 0 }))).message).toMatch(/block must be a whole number/);
  });

  test('bits that flip: the block that they are in is told, and the others are had', async () => {
    const { bytes, trained } = await roundTrip(GRAMMAR.slice(0, 90), letters, { block: 30 });
    const second = decodeArchive(bytes, 't.glia').blocks.get(1) as StoredBlock;
    const broken = bytes.slice();
    broken[second.stack.byteOffset - bytes.byteOffset + int(0, second.stack.length - 1)]! ^= 1 << int(0, 7);
    expect((await lineOf(decompressText(broken, 't.glia', { trained }))).message).toMatch(
      /^t\.glia: block 1 is damaged: its checksum differs; --salvage gets what is sound \(2 of 3 blocks\)$/,
    );
    const { text, damaged } = await decompressText(broken, 't.glia', { trained, salvage: true });
    expect(new TextDecoder().decode(text)).toBe(GRAMMAR.slice(0, 30) + GRAMMAR.slice(60, 90));
    expect(damaged).toEqual(['block 1 is damaged: its checksum differs']);
    const { text: only } = await decompressText(bytes, 't.glia', { trained, blocks: [2] });
    expect(new TextDecoder().decode(only)).toBe(GRAMMAR.slice(60, 90));
  });

  test('a stack whose checksum was made to fit', async () => {
    const { bytes, trained } = await roundTrip(GRAMMAR.slice(0, 60), letters);
    const block = decodeArchive(bytes, 't.glia').blocks.get(0) as StoredBlock;
    const start = block.stack.byteOffset - bytes.byteOffset;
    for (let round = 0; round < 8; round++) {
      const forged = bytes.slice();
      forged[start + int(8, block.stack.length - 1)]! ^= 1 << int(0, 7);
      const first = start - 26;
      const view = new DataView(forged.buffer);
      view.setUint32(first + 16, crc32(forged.subarray(first + 20), crc32(forged.subarray(first, first + 16))), true);
      expect(await lineOf(decompressText(forged, 't.glia', { trained })), told).toBeInstanceOf(DataError);
    }
  });
});

// Text as data: vocabularies, UTF-8 that arrives in parts, the built-in grammar, windows, and what is refused.
import { describe, expect, test } from 'vitest';
import { grammarText } from '../src/data/grammar.ts';
import { checkTensors } from '../src/data/tensors.ts';
import { readText, textFromString, textTensors } from '../src/data/text.ts';
import { utf8Chunks, validLength } from '../src/data/utf8.ts';
import { BYTES, characterVocabulary, vocabularyFrom } from '../src/data/vocabulary.ts';
import { DataError, OptionError } from '../src/errors.ts';
import { completeOptions } from '../src/train/options.ts';
import { createModel, createTextModel } from '../src/train/registry/registry.ts';

const inParts = (bytes: Uint8Array, size: number) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });

async function decoded(bytes: Uint8Array, size: number): Promise<string> {
  let text = '';
  for await (const part of utf8Chunks(inParts(bytes, size), 'x.txt')) text += part;
  return text;
}

const filesOf = (bytes: Uint8Array | string, name = 'x.txt') => ({
  name,
  paths: [name],
  read: async () => new Blob([bytes as BlobPart]),
});

describe('UTF-8', () => {
  const text = 'Grüße, 世界! 🦊 — end';

  test.each([1, 2, 3, 5, 1000])('whatever the parts are cut at: %i bytes', async (size) => {
    expect(await decoded(new TextEncoder().encode(text), size)).toBe(text);
  });

  test.each([
    [[0x61, 0xff, 0x62], 1],
    [[0x61, 0xc0, 0x80], 1],
    [[0x61, 0x62, 0xed, 0xa0, 0x80], 2],
    [[0xf4, 0x90, 0x80, 0x80], 0],
    [[0x61, 0xe4, 0xb8], 1],
    [[0xe4, 0xb8, 0x61, 0x61], 0],
  ])('%j is refused at offset %i, as TextDecoder does', async (bytes, offset) => {
    const all = Uint8Array.from(bytes);
    expect(() => new TextDecoder('utf-8', { fatal: true }).decode(all)).toThrow();
    expect(validLength(all)).toBe(offset);
    for (const size of [1, 2, 100]) await expect(decoded(all, size)).rejects.toThrow(`at offset ${offset} `);
  });

  test('what is valid is what TextDecoder takes', () => {
    for (let n = 0; n < 3000; n++) {
      const all = Uint8Array.from(
        { length: 4 },
        () => [0x41, 0x80, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0x90][Math.floor(Math.random() * 11)]!,
      );
      const takes = (() => {
        try {
          new TextDecoder('utf-8', { fatal: true }).decode(all);
          return true;
        } catch {
          return false;
        }
      })();
      expect(validLength(all) === 4, [...all].join()).toBe(takes);
    }
  });
});

describe('vocabularies', () => {
  test('characters come back, and are kept by a file', () => {
    const made = characterVocabulary('hello 🦊 world');
    const again = vocabularyFrom(JSON.parse(JSON.stringify(made)), 'x');
    expect(again.decode(again.encode('world 🦊'))).toBe('world 🦊');
    expect(again.size).toBe(9);
    expect(() => again.encode('what?')).toThrow('the vocabulary of 9 characters has no "a" (U+0061)');
  });

  test('bytes', () => {
    expect(BYTES.decode(BYTES.encode('Grüße 🦊'))).toBe('Grüße 🦊');
    expect(vocabularyFrom({ kind: 'bytes' }, 'x')).toBe(BYTES);
    expect(() => vocabularyFrom({}, 'x.safetensors')).toThrow('x.safetensors has no vocabulary that is known');
  });
});

describe('text', () => {
  test('nine tenths to learn from, tokens by the vocabulary of all', async () => {
    const { train, test: rest, vocabulary } = await readText(filesOf('abcabcabcd'), 'characters');
    expect([...train]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect([...rest]).toEqual([3]);
    expect(vocabulary.size).toBe(4);
  });

  test('a vocabulary that is given is kept to', async () => {
    const given = characterVocabulary('abc');
    expect([...(await readText(filesOf('cab'), 'characters', given)).train]).toEqual([2, 0]);
    await expect(readText(filesOf('cabd'), 'characters', given)).rejects.toThrow('has no "d" (U+0064)');
  });

  test('windows fit into the text at every shift', async () => {
    const data = await textFromString('x', 'abcdefghij'.repeat(30));
    for (const context of [2, 7, 16, 29]) {
      const { train, test: rest } = textTensors(data, context);
      checkTensors({ name: 'x', train, test: rest! });
      expect((train.count - 1) * context + context - 1 + context + 1).toBeLessThanOrEqual(data.train.length);
      expect((rest!.count - 1) * context + context + 1).toBeLessThanOrEqual(data.test.length);
    }
  });

  test('the built-in text is the same for the same seed', () => {
    expect(grammarText({ seed: 3, sentences: 20 })).toBe(grammarText({ seed: 3, sentences: 20 }));
    expect(grammarText({ seed: 3, sentences: 20 })).not.toBe(grammarText({ seed: 4, sentences: 20 }));
    expect(grammarText({ sentences: 500 })).not.toMatch(/\ba [aeiou]|\ban [^aeiou]|undefined/);
  });

  test.each([
    ['', 'x.txt is empty'],
    [Uint8Array.of(0x61, 0xff), 'x.txt is not UTF-8: byte 0xFF at offset 1'],
  ])('%j is refused', async (bytes, message) => {
    await expect(readText(filesOf(bytes), 'bytes')).rejects.toThrow(DataError);
    await expect(readText(filesOf(bytes), 'bytes')).rejects.toThrow(message);
  });

  test('a text that is shorter than the context', async () => {
    const data = await textFromString('short', 'abc'.repeat(20));
    expect(() => textTensors(data, 64)).toThrow(
      'short has 54 tokens to learn from and 6 to judge by, and a context of 64',
    );
  });

  test('models of text and of images do not take the data of the other', async () => {
    const data = await textFromString('x', 'abc'.repeat(200));
    const images = { name: 'digits', train: {}, test: {} } as never;
    expect(() => createModel(images, completeOptions({ model: 'gpt' }))).toThrow(
      'gpt learns from text, and digits holds',
    );
    expect(() => createTextModel(data, completeOptions({ model: 'vae' }))).toThrow(
      'vae learns from images, and x holds',
    );
    expect(() => completeOptions({ model: 'gpt', vocabulary: 'words' })).toThrow(OptionError);
    expect(() => completeOptions({ model: 'gpt', size: 32 })).toThrow('--size means nothing to gpt');
    expect(() => createTextModel(data, completeOptions({ model: 'gpt', width: 30 }))).toThrow(
      'is not a multiple of 4 heads',
    );
  });
});

// Text as data: vocabularies, UTF-8 that arrives in parts, the built-in grammar, windows, and what is refused.
import { describe, expect, test } from 'vitest';
import { bpeVocabulary, PieceCounts } from '../src/data/bpe.ts';
import { grammarText } from '../src/data/grammar.ts';
import { vocabularyFrom } from '../src/data/saved_vocabulary.ts';
import { sentencesOf, sentenceTensors } from '../src/data/sentences.ts';
import { checkTensors } from '../src/data/tensors.ts';
import { readText, textFromString, textTensors } from '../src/data/text.ts';
import { tokenizerFromText, tokenizerVocabulary } from '../src/data/tokenizer_file.ts';
import { utf8Chunks, validLength } from '../src/data/utf8.ts';
import { BYTES, characterVocabulary } from '../src/data/vocabulary.ts';
import { DataError, OptionError } from '../src/errors.ts';
import type { Gpu } from '../src/gpu/gpu.ts';
import { trainByName } from '../src/train/named.ts';
import { completeOptions, parseOption } from '../src/train/options.ts';
import { createModel, createTextModel } from '../src/train/registry/registry.ts';
import { textOf as writtenText } from '../src/train/trained_text.ts';

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
  test('characters come back, and are kept by a file', async () => {
    const made = characterVocabulary('hello 🦊 world');
    const again = await vocabularyFrom(JSON.parse(JSON.stringify(made)), 'x');
    expect(again.decode(again.encode('world 🦊'))).toBe('world 🦊');
    expect(again.size).toBe(9);
    expect(() => again.encode('what?')).toThrow('the vocabulary of 9 characters has no "a" (U+0061)');
  });

  test('bytes', async () => {
    expect(BYTES.decode(BYTES.encode('Grüße 🦊'))).toBe('Grüße 🦊');
    expect(await vocabularyFrom({ kind: 'bytes' }, 'x')).toBe(BYTES);
    await expect(vocabularyFrom({}, 'x.safetensors')).rejects.toThrow('x.safetensors has no vocabulary that is known');
  });
});

describe('byte-pair merges', () => {
  test('the most frequent pair first, within words, and they come back', () => {
    const counts = new PieceCounts();
    counts.add('low low low lower lowest');
    const merges = counts.merges(256 + 4);
    const [l, o, w, space] = [...'low '].map((character) => character.charCodeAt(0)) as [
      number,
      number,
      number,
      number,
    ];
    // "lo" and "ow" five times each, then " low" four times.
    expect(merges).toEqual([
      [l, o],
      [256, w],
      [space, 257],
      [258, 101],
    ]);
    const made = bpeVocabulary(merges);
    expect(made.encode('low lower')).toEqual([257, 259, 114]);
    expect(made.size).toBe(260);
  });

  test('any text comes back, also of other merges, also in parts', async () => {
    const text = `${grammarText({ sentences: 60 })}Grüße, 世界! 🦊  it's\t\n\n  12 = 3`;
    const { vocabulary, train, test: rest } = await textFromString('x', text, { kind: 'bpe', size: 400 });
    expect(vocabulary.decode([...train, ...rest])).toBe(text);
    expect(train.length + rest.length).toBeLessThan(text.length / 3);
    const again = await vocabularyFrom(JSON.parse(JSON.stringify(vocabulary)), 'x');
    expect(again.encode(text)).toEqual([...train, ...rest]);
    expect(again.decode(again.encode('Ω other'))).toBe('Ω other');
    // A file that arrives in parts of three bytes is cut into the same tokens.
    const bytes = new TextEncoder().encode(text);
    const read = await readText(
      { ...filesOf(bytes), read: async () => ({ stream: () => inParts(bytes, 3) }) as Blob },
      { kind: 'bpe', size: 400 },
    );
    expect(JSON.stringify(read.vocabulary)).toBe(JSON.stringify(vocabulary));
    expect([...read.train, ...read.test]).toEqual([...train, ...rest]);
  });

  test('they are learned of a large text in a moment, and stop where each word is one token', () => {
    const counts = new PieceCounts();
    counts.add(grammarText());
    const made = bpeVocabulary(counts.merges(100_000));
    expect(made.size).toBeLessThan(700);
    expect(made.encode(' farmers')).toHaveLength(1);
  });

  test('a merge of what comes later is refused', async () => {
    const damaged = { kind: 'bpe', merges: [[97, 300]] };
    await expect(vocabularyFrom(damaged, 'x.safetensors')).rejects.toThrow(
      'x.safetensors is damaged: merge 0 is of tokens',
    );
    await expect(vocabularyFrom({ kind: 'bpe', merges: [[97]] }, 'x')).rejects.toThrow('x has no vocabulary');
  });

  test('text of tokens as they come is of whole characters', async () => {
    const text = 'Grüße 🦊 und 世界';
    for (const vocabulary of [BYTES, bpeVocabulary([]), await tokenizerVocabulary(tokenizerFile(), 'x')]) {
      const tokens = vocabulary.encode(text);
      let written = '';
      const oneByOne = async function* () {
        for (const token of tokens) yield [token];
      };
      for await (const some of writtenText(vocabulary, oneByOne())) {
        written += some;
        expect(text.startsWith(written), written).toBe(true);
      }
      expect(written).toBe(text);
    }
  });
});

/** A tokenizer.json of byte-level merges, as that of GPT-2 is, with the merge of "l" and "o". */
function tokenizerFile() {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  const letters = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: null, fuse_unk: false, byte_fallback: false },
      vocab: Object.fromEntries([...letters, 'lo'].map((letter, i) => [letter, i])),
      merges: ['l o'],
    },
  };
}

describe('a tokenizer.json', () => {
  test('makes its own tokens, and is kept by a file', async () => {
    const made = await tokenizerFromText(JSON.stringify(tokenizerFile()), 'tokenizer.json');
    expect(made.size).toBe(257);
    expect(made.encode('hello')).toEqual([104, 101, 108, 256]);
    expect(made.decode([104, 101, 108, 256])).toBe('hello');
    const again = await vocabularyFrom(JSON.parse(JSON.stringify(made)), 'x');
    expect(again.encode('hello')).toEqual([104, 101, 108, 256]);
    const { train, test: rest } = await textFromString('x', 'hello hello', { kind: 'file', given: made });
    expect(made.decode([...train, ...rest])).toBe('hello hello');
  });

  test('what is none is refused in one line', async () => {
    await expect(tokenizerFromText('{', 'a.json')).rejects.toThrow('a.json is not JSON');
    await expect(tokenizerFromText('{}', 'a.json')).rejects.toThrow('a.json is no tokenizer.json of Hugging Face');
    const unknown = JSON.stringify({ ...tokenizerFile(), model: { type: 'BPE', vocab: {} } });
    await expect(tokenizerFromText(unknown, 'a.json')).rejects.toThrow(
      'a.json is a tokenizer.json that cannot be used',
    );
    const model = { type: 'WordPiece', vocab: { a: 0 }, unk_token: '[UNK]', continuing_subword_prefix: '##' };
    const few = { ...tokenizerFile(), pre_tokenizer: null, model };
    const made = await tokenizerFromText(JSON.stringify(few), 'a.json');
    expect(() => made.encode('ab')).toThrow('a.json has no token for "[UNK]"');
    await expect(textFromString('x', 'abc', { kind: 'file' })).rejects.toThrow('--tokenizer-file');
  });
});

describe('text', () => {
  test('nine tenths to learn from, tokens by the vocabulary of all', async () => {
    const { train, test: rest, vocabulary } = await readText(filesOf('abcabcabcd'), { kind: 'characters' });
    expect([...train]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect([...rest]).toEqual([3]);
    expect(vocabulary.size).toBe(4);
  });

  test('a vocabulary that is given is kept to', async () => {
    const given = characterVocabulary('abc');
    expect([...(await readText(filesOf('cab'), { kind: 'characters', given })).train]).toEqual([2, 0]);
    await expect(readText(filesOf('cabd'), { kind: 'characters', given })).rejects.toThrow('has no "d" (U+0064)');
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
    await expect(readText(filesOf(bytes), { kind: 'bytes' })).rejects.toThrow(DataError);
    await expect(readText(filesOf(bytes), { kind: 'bytes' })).rejects.toThrow(message);
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
    expect(() => completeOptions({ model: 'gpt', tokenizer: 'words' })).toThrow(OptionError);
    expect(() => completeOptions({ model: 'gpt', size: 32 })).toThrow('--size means nothing to gpt');
    expect(() => createTextModel(data, completeOptions({ model: 'gpt', width: 30 }))).toThrow(
      'is not a multiple of 4 heads',
    );
  });
});

describe('sentences', () => {
  const vocabulary = characterVocabulary('ab\n');
  const of = (train: string, test: string) => {
    const tokens = (text: string) => Uint8Array.from(vocabulary.encode(text));
    return { name: 'x.txt', vocabulary, train: tokens(train), test: tokens(test) };
  };

  test('are the lines of a text that are neither empty nor too long, with an end behind them', () => {
    const { train, test } = sentenceTensors(of('ab\n\nabab\nb\n', 'aa\n'), 3);
    expect(train.count).toBe(2);
    // 0 is the line's end, 3 that of a sentence.
    expect([...train.tensors.tokens.data]).toEqual([1, 2, 3, 3, 2, 3, 3, 3]);
    expect([...test!.tensors.tokens.data]).toEqual([1, 1, 3, 3]);
  });

  test('a line that the end of the training text cuts is in neither part', () => {
    const { train, test } = sentencesOf(of('ab\nab', 'a\nb\n'), 8);
    expect(train).toEqual([[1, 2]]);
    expect(test).toEqual([[2]]);
  });

  test('too few, or none short enough, are told in one line', async () => {
    expect(() => sentenceTensors(of('abab\n', 'ab\n'), 3)).toThrow(
      'x.txt has 0 lines of up to 3 tokens to learn from and 1 to judge by: give it more lines, or a larger --context',
    );
    await expect(textFromString('x.txt', '', { kind: 'bpe' })).rejects.toThrow('x.txt is empty: give it text');
    const few = await textFromString('x.txt', 'ab\nba\nab\nba\nab\nbb\nab\nba\nab\nba\nab\nba\n');
    await expect(trainByName({} as Gpu, few, completeOptions({ model: 'text-vae' }))).rejects.toThrow(
      /^x\.txt has 11 sentences to learn from, fewer than a batch of 32: give it more lines, or a smaller --batch$/,
    );
  });

  test('a latent may be none for text-vae, and for no VAE of images', () => {
    expect(parseOption('latent', '0')).toBe(0);
    expect(completeOptions({ model: 'text-vae', latent: 0 })).toMatchObject({ latent: 0 });
    expect(() => completeOptions({ model: 'vae', latent: 0 })).toThrow(
      '--latent must be a whole number from 1 to 65536',
    );
  });
});

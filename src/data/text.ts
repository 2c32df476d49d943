// Text to learn from, as tokens: nine tenths of it, and the last tenth to judge by, as nanoGPT divides it.
import { DataError, OptionError } from '../errors.ts';
import { bpeVocabulary, PieceCounts } from './bpe.ts';
import type { Files, ReadProgress } from './files.ts';
import type { TensorDataset } from './tensors.ts';
import { utf8Chunks } from './utf8.ts';
import { BYTES, characterVocabulary, tokenArray, type Vocabulary } from './vocabulary.ts';

export interface TextDataset {
  readonly name: string;
  readonly vocabulary: Vocabulary;
  readonly train: Uint8Array | Uint32Array;
  readonly test: Uint8Array | Uint32Array;
}

/** Of the text, what is learned from. */
export const SHARE = 0.9;

/** What a token may be: a character, a byte, what merges of bytes make, or what a `tokenizer.json` says. */
export const TOKENIZERS = ['characters', 'bytes', 'bpe', 'file'] as const;

/** How a text becomes tokens. */
export interface Tokenizing {
  readonly kind: (typeof TOKENIZERS)[number];
  /** Tokens that merges make, the 256 bytes included; 1024 by default. */
  readonly size?: number;
  /** The vocabulary of a checkpoint or of a file, which the text must keep to. */
  readonly given?: Vocabulary | undefined;
}

export const isText = (data: object): data is TextDataset => 'vocabulary' in data;

/** A text in parts that can be gone through more than once. */
type Parts = () => AsyncIterable<string>;

/** The same text, cut in front of the spaces behind words alone. */
async function* inPieces(parts: Parts): AsyncGenerator<string> {
  let rest = '';
  for await (const part of parts()) {
    rest += part;
    const cut = lastCut(rest);
    if (cut > 0) yield rest.slice(0, cut);
    rest = rest.slice(cut);
  }
  if (rest) yield rest;
}

/** Where the last space begins that stands behind a word and before another. */
function lastCut(text: string): number {
  for (let at = text.length - 2; at > 0; at--) {
    if (/\s/.test(text[at]!) && !/\s/.test(text[at - 1]!)) return at;
  }
  return 0;
}

async function tokensOf(parts: Parts, vocabulary: Vocabulary): Promise<Uint8Array | Uint32Array> {
  const Kind = tokenArray(vocabulary.size);
  let tokens = new Kind(1 << 16);
  let length = 0;
  for await (const part of vocabulary.inPieces ? inPieces(parts) : parts()) {
    const some = vocabulary.encode(part);
    while (length + some.length > tokens.length) {
      const larger = new Kind(2 * tokens.length);
      larger.set(tokens);
      tokens = larger;
    }
    tokens.set(some, length);
    length += some.length;
  }
  return tokens.slice(0, length);
}

async function vocabularyOf(parts: Parts, { kind, size = 1024, given }: Tokenizing): Promise<Vocabulary> {
  if (given) return given;
  if (kind === 'bytes') return BYTES;
  if (kind === 'bpe') {
    const counts = new PieceCounts();
    for await (const part of inPieces(parts)) counts.add(part);
    return bpeVocabulary(counts.merges(size));
  }
  if (kind === 'file') throw new OptionError('a tokenizer that is a file is given by --tokenizer-file tokenizer.json');
  const seen = new Set<string>();
  for await (const part of parts()) for (const character of part) seen.add(character);
  return characterVocabulary(seen);
}

/** @throws DataError if the text is empty, or has what a given vocabulary has not */
async function textOf(name: string, parts: Parts, how: Tokenizing): Promise<TextDataset> {
  const vocabulary = await vocabularyOf(parts, how);
  const tokens = await tokensOf(parts, vocabulary);
  if (tokens.length === 0) throw new DataError(`${name} is empty: give it text`);
  const cut = Math.floor(tokens.length * SHARE);
  return { name, vocabulary, train: tokens.subarray(0, cut), test: tokens.subarray(cut) };
}

export function textFromString(
  name: string,
  text: string,
  how: Tokenizing = { kind: 'characters' },
): Promise<TextDataset> {
  return textOf(
    name,
    async function* () {
      yield text;
    },
    how,
  );
}

/** Names of files that hold text. */
const TEXT = /\.(txt|text|md|csv|tsv|json|jsonl|html?|xml|tex|rst|log)$/i;

/** Whether a file of this name holds text, as far as that tells. */
export const isTextFile = (path: string) => TEXT.test(path);

/** What `--data` may be for a model of text. */
export const TEXT_ACCEPTED = 'files of text in UTF-8';

/** @throws DataError if no file is one of text */
export function textPaths({ name, paths }: Files): readonly string[] {
  const found = paths.length === 1 ? paths : paths.filter((path) => TEXT.test(path));
  if (found.length === 0) throw new DataError(`${name} holds no files of text: give ${TEXT_ACCEPTED} (.txt, .md, …)`);
  return found;
}

/**
 * Reads the text that files hold, one after the other, in parts, so that only tokens are in memory.
 *
 * @throws DataError if they are empty or not UTF-8, with the offset of the first byte that is not
 */
export function readText(files: Files, how: Tokenizing, progress: ReadProgress = () => {}): Promise<TextDataset> {
  const paths = textPaths(files);
  const parts: Parts = async function* () {
    for (const [i, path] of paths.entries()) {
      progress(i, paths.length);
      yield* utf8Chunks((await files.read(path)).stream(), path);
    }
  };
  return textOf(files.name, parts, how);
}

/** Windows of `context` tokens that an epoch has of so many, cut at any of so many places. */
export const windowsIn = (tokens: number, context: number, shifts = context) => Math.floor((tokens - shifts) / context);

/**
 * Windows of `context` tokens, each with the token behind it: `tokens` u32 [batch, context + 1]. An epoch goes once over the
 * text, cut elsewhere each time.
 *
 * @throws DataError if the text is too short
 */
export function textTensors({ name, train, test }: TextDataset, context: number): TensorDataset<'tokens'> {
  const least = 2 * context;
  if (train.length < least || test.length < context + 1) {
    throw new DataError(
      `${name} has ${train.length} tokens to learn from and ${test.length} to judge by, and a context of ${context} takes ` +
        `${least} and ${context + 1}: give it more text, or a smaller --context`,
    );
  }
  const of = (data: Uint8Array | Uint32Array, shifts: number) => ({
    count: windowsIn(data.length, context, shifts),
    tensors: {
      tokens: {
        dtype: data instanceof Uint8Array ? ('u8' as const) : ('u32' as const),
        shape: [context + 1],
        ...{ data, stride: context, shifts },
      },
    },
  });
  return { name, train: of(train, context), test: of(test, 1) };
}

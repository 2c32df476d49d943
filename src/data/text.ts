// Text to learn from, as tokens: nine tenths of it, and the last tenth to judge by, as nanoGPT divides it.
import { DataError } from '../errors.ts';
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
const SHARE = 0.9;

export const VOCABULARIES = ['characters', 'bytes'] as const;
export type VocabularyKind = (typeof VOCABULARIES)[number];

export const isText = (data: object): data is TextDataset => 'vocabulary' in data;

/** A text in parts that can be gone through more than once. */
type Parts = () => AsyncIterable<string>;

async function tokensOf(parts: Parts, vocabulary: Vocabulary): Promise<Uint8Array | Uint32Array> {
  const Kind = tokenArray(vocabulary.size);
  let tokens = new Kind(1 << 16);
  let length = 0;
  for await (const part of parts()) {
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

/**
 * @param given the vocabulary of a checkpoint, which the text must keep to
 * @throws DataError if the text is empty, or has what a given vocabulary has not
 */
async function textOf(
  name: string,
  parts: Parts,
  kind: VocabularyKind,
  given: Vocabulary | undefined,
): Promise<TextDataset> {
  let vocabulary = given ?? BYTES;
  if (!given && kind === 'characters') {
    const seen = new Set<string>();
    for await (const part of parts()) for (const character of part) seen.add(character);
    vocabulary = characterVocabulary(seen);
  }
  const tokens = await tokensOf(parts, vocabulary);
  if (tokens.length === 0) throw new DataError(`${name} is empty: give it text`);
  const cut = Math.floor(tokens.length * SHARE);
  return { name, vocabulary, train: tokens.subarray(0, cut), test: tokens.subarray(cut) };
}

export function textFromString(
  name: string,
  text: string,
  kind: VocabularyKind = 'characters',
  given?: Vocabulary,
): Promise<TextDataset> {
  return textOf(
    name,
    async function* () {
      yield text;
    },
    kind,
    given,
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
export function readText(
  files: Files,
  kind: VocabularyKind,
  given?: Vocabulary,
  progress: ReadProgress = () => {},
): Promise<TextDataset> {
  const paths = textPaths(files);
  const parts: Parts = async function* () {
    for (const [i, path] of paths.entries()) {
      progress(i, paths.length);
      yield* utf8Chunks((await files.read(path)).stream(), path);
    }
  };
  return textOf(files.name, parts, kind, given);
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

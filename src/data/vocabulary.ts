// Vocabularies: how text becomes numbers and comes back, and how a file keeps that.
import { DataError } from '../errors.ts';

export interface Vocabulary {
  /** What it is, as JSON says it. */
  readonly kind: 'characters' | 'bytes' | 'bpe' | 'file';
  readonly size: number;
  /** Whether a text may be cut for `encode` in front of the space behind a word alone; anywhere, otherwise. */
  readonly inPieces?: boolean;
  /** @throws DataError for what it does not have */
  encode(text: string): number[];
  decode(tokens: Iterable<number>): string;
  /** Where tokens are parts of characters: their bytes of UTF-8. */
  bytes?(tokens: Iterable<number>): Uint8Array;
  /** What `vocabularyFrom` makes it again of. */
  toJSON(): object;
}

/** Every character that a text has, in the order of their code points. */
export function characterVocabulary(characters: Iterable<string>): Vocabulary {
  const list = [...new Set(characters)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const numbers = new Map(list.map((character, i) => [character, i]));
  return {
    kind: 'characters',
    size: list.length,
    encode: (text) =>
      Array.from(text, (character) => {
        const token = numbers.get(character);
        if (token !== undefined) return token;
        const code = `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
        throw new DataError(
          `the vocabulary of ${list.length} characters has no ${JSON.stringify(character)} (${code}), since the text ` +
            'that it was made from had none: leave it out, or train with --tokenizer bytes',
        );
      }),
    decode: (tokens) => Array.from(tokens, (token) => list[token] ?? '\uFFFD').join(''),
    toJSON: () => ({ kind: 'characters', characters: list.join('') }),
  };
}

/** `65 characters`, `430 tokens (bpe)`. */
export function describeVocabulary({ kind, size }: { readonly kind: string; readonly size: number }): string {
  return kind === 'characters' || kind === 'bytes' ? `${size} ${kind}` : `${size} tokens (${kind})`;
}

/** The 256 bytes of UTF-8. */
export const BYTES: Vocabulary = {
  kind: 'bytes',
  size: 256,
  encode: (text) => [...new TextEncoder().encode(text)],
  decode: (tokens) => new TextDecoder().decode(Uint8Array.from(tokens)),
  bytes: (tokens) => Uint8Array.from(tokens),
  toJSON: () => ({ kind: 'bytes' }),
};

/** The array that numbers below `size` are kept in. */
export const tokenArray = (size: number) => (size <= 256 ? Uint8Array : Uint32Array);

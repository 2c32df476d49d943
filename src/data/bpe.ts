// Byte-pair merges: learned from a text, and applied to one (Sennrich, Haddow and Birch, 2016; of bytes, as GPT-2's, 2019).
import { DataError } from '../errors.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Two tokens that become one: the n-th pair becomes token 256 + n. */
export type Merge = readonly [number, number];

const BYTE_COUNT = 256;

/** Words with the space before them, numbers, and what else stands between: no merge reaches over the end of one. */
const PIECES = /'(?:[sdmt]|ll|re|ve)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

const encoder = new TextEncoder();

/** Numbers below 2²⁶ each, as one that a Map can have for a key. */
const keyOf = (a: number, b: number) => a * 2 ** 26 + b;
const pairOf = (key: number): Merge => [Math.floor(key / 2 ** 26), key % 2 ** 26];

interface Word {
  tokens: number[];
  readonly count: number;
}

/** Pieces of texts, counted. */
export class PieceCounts {
  private readonly counts = new Map<string, number>();

  add(text: string): void {
    for (const [piece] of text.matchAll(PIECES)) this.counts.set(piece, (this.counts.get(piece) ?? 0) + 1);
  }

  /**
   * The merges for a vocabulary of a size: the most frequent pair first; of equally frequent ones, that of the least tokens. There
   * are fewer where every piece is one token before.
   *
   * @param size tokens in all, the 256 bytes included
   */
  merges(size: number): Merge[] {
    const words = [...this.counts].map(([piece, count]): Word => ({ tokens: [...encoder.encode(piece)], count }));
    const pairs = new Pairs(words);
    const merges: Merge[] = [];
    while (BYTE_COUNT + merges.length < size) {
      const best = pairs.best();
      if (!best) break;
      pairs.merge(best, BYTE_COUNT + merges.length);
      merges.push(best);
    }
    return merges;
  }
}

/** How often each pair of neighbours is there, and in which words. */
class Pairs {
  private readonly words: readonly Word[];
  private readonly counts = new Map<number, number>();
  private readonly places = new Map<number, Set<number>>();

  constructor(words: readonly Word[]) {
    this.words = words;
    for (const index of words.keys()) this.count(index, 1);
  }

  /** Adds the pairs of a word, or takes them away. */
  private count(index: number, sign: 1 | -1): void {
    const { tokens, count } = this.words[index]!;
    for (let i = 1; i < tokens.length; i++) {
      const key = keyOf(tokens[i - 1]!, tokens[i]!);
      const now = (this.counts.get(key) ?? 0) + sign * count;
      if (now > 0) this.counts.set(key, now);
      else this.counts.delete(key);
      if (sign < 0) continue;
      const places = this.places.get(key) ?? new Set();
      this.places.set(key, places.add(index));
    }
  }

  best(): Merge | undefined {
    let best = -1;
    let most = 0;
    for (const [key, count] of this.counts) {
      if (count < most || (count === most && key > best)) continue;
      best = key;
      most = count;
    }
    return best < 0 ? undefined : pairOf(best);
  }

  merge([a, b]: Merge, token: number): void {
    const key = keyOf(a, b);
    for (const index of this.places.get(key) ?? []) {
      this.count(index, -1);
      const word = this.words[index]!;
      word.tokens = merged(word.tokens, a, b, token);
      this.count(index, 1);
    }
    this.places.delete(key);
  }
}

function merged(tokens: readonly number[], a: number, b: number, token: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const isPair = tokens[i] === a && tokens[i + 1] === b;
    out.push(isPair ? token : tokens[i]!);
    if (isPair) i++;
  }
  return out;
}

/** Pieces whose tokens are remembered. */
const REMEMBERED = 1 << 16;

/** @throws DataError if a merge is of tokens that do not exist before it */
export function bpeVocabulary(merges: readonly Merge[], source = 'a vocabulary'): Vocabulary {
  const bytes: Uint8Array[] = Array.from({ length: BYTE_COUNT }, (_, byte) => Uint8Array.of(byte));
  const ranks = new Map<number, number>();
  for (const [n, [a, b]] of merges.entries()) {
    const [first, second] = [bytes[a], bytes[b]];
    if (!first || !second) throw new DataError(`${source} is damaged: merge ${n} is of tokens that come after it`);
    ranks.set(keyOf(a, b), BYTE_COUNT + n);
    bytes.push(Uint8Array.of(...first, ...second));
  }
  const known = new Map<string, readonly number[]>();
  const tokensOf = (piece: string): readonly number[] => {
    const before = known.get(piece);
    if (before) return before;
    let tokens = [...encoder.encode(piece)];
    for (;;) {
      let least = Infinity;
      for (let i = 1; i < tokens.length; i++) {
        least = Math.min(least, ranks.get(keyOf(tokens[i - 1]!, tokens[i]!)) ?? Infinity);
      }
      if (least === Infinity) break;
      const [a, b] = merges[least - BYTE_COUNT]!;
      tokens = merged(tokens, a, b, least);
    }
    if (known.size >= REMEMBERED) known.clear();
    known.set(piece, tokens);
    return tokens;
  };
  const bytesOf = (tokens: Iterable<number>) => {
    const parts = Array.from(tokens, (token) => bytes[token] ?? encoder.encode('\uFFFD'));
    const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  return {
    kind: 'bpe',
    size: bytes.length,
    encode: (text) => [...text.matchAll(PIECES)].flatMap(([piece]) => tokensOf(piece)),
    decode: (tokens) => new TextDecoder().decode(bytesOf(tokens)),
    bytes: bytesOf,
    inPieces: true,
    toJSON: () => ({ kind: 'bpe', merges }),
  };
}

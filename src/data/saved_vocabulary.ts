// The vocabulary that a file of a model keeps.
import { DataError } from '../errors.ts';
import { bpeVocabulary, type Merge } from './bpe.ts';
import { tokenizerVocabulary } from './tokenizer_file.ts';
import { BYTES, characterVocabulary, type Vocabulary } from './vocabulary.ts';

/** @throws DataError if it is none */
export async function vocabularyFrom(json: unknown, source: string): Promise<Vocabulary> {
  const { kind, characters, merges, tokenizer } = (json ?? {}) as Readonly<Record<string, unknown>>;
  if (kind === 'bytes') return BYTES;
  if (kind === 'characters' && typeof characters === 'string' && characters) return characterVocabulary(characters);
  if (kind === 'bpe' && Array.isArray(merges) && merges.every(isMerge)) return bpeVocabulary(merges, source);
  if (kind === 'file') return tokenizerVocabulary(tokenizer, source);
  throw new DataError(`${source} has no vocabulary that is known: it was not made by a model of text`);
}

const isMerge = (pair: unknown): pair is Merge =>
  Array.isArray(pair) && pair.length === 2 && pair.every((token) => Number.isInteger(token) && token >= 0);

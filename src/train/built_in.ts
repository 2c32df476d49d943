// What a model is trained on: digits or sentences of a grammar where nothing is given, else the files that are.
import { builtInDigits } from '../data/digits.ts';
import type { Files, ReadProgress } from '../data/files.ts';
import { readDataset } from '../data/formats.ts';
import { grammarText } from '../data/grammar.ts';
import type { Dataset } from '../data/images.ts';
import { readText, type TextDataset, textFromString, type VocabularyKind } from '../data/text.ts';
import type { Vocabulary } from '../data/vocabulary.ts';
import type { TrainOptions } from './options.ts';
import { isTextEntry, modelEntry } from './registry/registry.ts';

export const isOfText = ({ model }: Pick<TrainOptions, 'model'>): boolean => isTextEntry(modelEntry(model));

/** @param vocabulary of a checkpoint, which the text must keep to */
export async function builtInData(options: TrainOptions, vocabulary?: Vocabulary): Promise<Dataset | TextDataset> {
  return isOfText(options) ? builtInText(options, vocabulary) : builtInDigits(options);
}

export function builtInText({ seed, vocabulary: kind }: TrainOptions, vocabulary?: Vocabulary): Promise<TextDataset> {
  return textFromString('grammar', grammarText({ seed }), kind as VocabularyKind, vocabulary);
}

/**
 * Images or text of files, as the model of a run wants them.
 *
 * @param vocabulary of a checkpoint, which the text must keep to
 * @throws DataError if they are of no known format, damaged, or do not fit together
 */
export function readData(
  files: Files,
  options: TrainOptions,
  vocabulary?: Vocabulary,
  progress?: ReadProgress,
): Promise<Dataset | TextDataset> {
  if (!isOfText(options)) return readDataset(files, options, progress);
  return readText(files, options.vocabulary as VocabularyKind, vocabulary, progress);
}

// What a model is trained on: digits or sentences of a grammar where nothing is given, else the files that are.
import { builtInDigits } from '../data/digits.ts';
import type { Files, ReadProgress } from '../data/files.ts';
import { readDataset } from '../data/formats.ts';
import { grammarText } from '../data/grammar.ts';
import type { Dataset } from '../data/images.ts';
import { readText, type TextDataset, type Tokenizing, textFromString } from '../data/text.ts';
import type { Vocabulary } from '../data/vocabulary.ts';
import type { TrainOptions } from './options.ts';
import { isTextEntry, modelEntry } from './registry/registry.ts';

export const isOfText = ({ model }: Pick<TrainOptions, 'model'>): boolean => isTextEntry(modelEntry(model));

/** @param vocabulary of a checkpoint, which the text must keep to */
export async function builtInData(options: TrainOptions, vocabulary?: Vocabulary): Promise<Dataset | TextDataset> {
  return isOfText(options) ? builtInText(options, vocabulary) : builtInDigits(options);
}

/** What the built-in text is called. */
export const BUILT_IN_TEXT = 'grammar';

export function builtInText(options: TrainOptions, given?: Vocabulary): Promise<TextDataset> {
  return textFromString(BUILT_IN_TEXT, grammarText({ seed: options.seed }), tokenizing(options, given));
}

/** How a run makes tokens. @param given the vocabulary of a checkpoint or a file */
export function tokenizing({ tokenizer, vocabulary }: TrainOptions, given?: Vocabulary): Tokenizing {
  return { kind: tokenizer as Tokenizing['kind'], size: Number(vocabulary), given };
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
  return readText(files, tokenizing(options, vocabulary), progress);
}

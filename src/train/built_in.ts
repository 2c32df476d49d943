// The data that a model is trained on where none are given: digits, or sentences of a grammar.
import { builtInDigits } from '../data/digits.ts';
import { grammarText } from '../data/grammar.ts';
import type { Dataset } from '../data/images.ts';
import { type TextDataset, textFromString, type VocabularyKind } from '../data/text.ts';
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

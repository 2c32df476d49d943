// Sentences to learn from: the lines of a text, as rows of tokens that end with a mark of the end.
import { DataError } from '../errors.ts';
import type { Examples, TensorDataset } from './tensors.ts';
import type { TextDataset } from './text.ts';
import { tokenArray } from './vocabulary.ts';

/** Tokens of each line that is not empty; what ends a line is in none. */
function linesOf(tokens: ArrayLike<number>, ends: (token: number) => boolean): number[][] {
  const lines: number[][] = [[]];
  for (let i = 0; i < tokens.length; i++) {
    if (ends(tokens[i]!)) lines.push([]);
    else lines.at(-1)!.push(tokens[i]!);
  }
  return lines.filter(({ length }) => length > 0);
}

/** Those of at most `context` tokens, each on a line of its own: a line that the end of the training text cuts in two is in neither part. */
export function sentencesOf({ vocabulary, train, test }: TextDataset, context: number) {
  const known = new Map<number, boolean>();
  const ends = (token: number) => {
    let is = known.get(token);
    if (is === undefined) known.set(token, (is = vocabulary.decode([token]).includes('\n')));
    return is;
  };
  const isCut = train.length > 0 && test.length > 0 && !ends(train.at(-1)!) && !ends(test[0]!);
  const all = [linesOf(train, ends), linesOf(test, ends)] as const;
  if (isCut) {
    all[0].pop();
    all[1].shift();
  }
  const [forTraining, forTest] = all.map((lines) => lines.filter(({ length }) => length <= context));
  return { train: forTraining!, test: forTest!, longer: all[0].length - forTraining!.length };
}

/**
 * A row a sentence: `tokens` [batch, context + 1], u8 or u32. Behind a sentence stands the end, as often as there is room: the number
 * behind the vocabulary's last.
 *
 * @throws DataError if no line is short enough
 */
export function sentenceTensors(dataset: TextDataset, context: number): TensorDataset<'tokens'> {
  const { name, vocabulary } = dataset;
  const { train, test } = sentencesOf(dataset, context);
  if (train.length === 0 || test.length === 0) {
    throw new DataError(
      `${name} has ${train.length} lines of up to ${context} tokens to learn from and ${test.length} to judge by: give it ` +
        'more lines, or a larger --context',
    );
  }
  const Kind = tokenArray(vocabulary.size + 1);
  const rows = (lines: readonly (readonly number[])[]): Examples<'tokens'> => {
    const data = new Kind(lines.length * (context + 1)).fill(vocabulary.size);
    for (const [i, line] of lines.entries()) data.set(line, i * (context + 1));
    const dtype = data instanceof Uint8Array ? 'u8' : 'u32';
    return { count: lines.length, tensors: { tokens: { dtype, shape: [context + 1], data } } };
  };
  return { name, train: rows(train), test: rows(test) };
}

// The model of text that a file holds, with its vocabulary, to be used.
import { vocabularyFrom } from '../data/saved_vocabulary.ts';
import type { Vocabulary } from '../data/vocabulary.ts';
import { CheckpointError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { GPT } from '../models/gpt.ts';
import { Parameters } from '../nn/module.ts';
import { writeVariable } from '../runtime/variables.ts';
import { type Checkpoint, restoredModel, type Trained } from './checkpoint.ts';
import { createTextModel } from './registry/registry.ts';

/** The vocabulary that a file of a model of text holds. @throws DataError or CheckpointError if it is none that is known */
export async function vocabularyOf({
  metadata,
  name,
}: Pick<Checkpoint, 'name'> & Pick<Trained, 'metadata'>): Promise<Vocabulary | undefined> {
  const text = metadata?.vocabulary;
  if (text === undefined) return undefined;
  let told: unknown;
  try {
    told = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${name} is damaged: its vocabulary is no JSON`, { cause });
  }
  return vocabularyFrom(told, name);
}

/**
 * @throws OptionError if the file holds a model of something else; CheckpointError if it has no vocabulary, or a tensor is
 * missing or of another shape
 */
export async function trainedText(trained: Trained) {
  const { name, options } = trained;
  const vocabulary = await vocabularyOf(trained);
  if (!vocabulary) throw new CheckpointError(`${name} is damaged: it does not say what its tokens are`);
  const empty = new Uint8Array();
  const data = { name, vocabulary, train: empty, test: empty };
  const { entry, model } = createTextModel(data, options);
  const parameters = new Parameters(model);
  const weights = restoredModel(parameters, model.namedBuffers(), trained);
  return { entry, model, data, options, context: Number(options.context), vocabulary, parameters, weights };
}

export type TrainedText = Awaited<ReturnType<typeof trainedText>>;

/** @throws OptionError if the file holds a model that text is not compressed by */
export function checkCompressor({ name, options }: Pick<Trained, 'name' | 'options'>): void {
  if (options.model !== 'gpt')
    throw new OptionError(`only a gpt can compress text, and ${name} holds a ${options.model}`);
}

/** The gpt that text is compressed by. @throws as `checkCompressor` and `trainedText` */
export async function trainedGpt(trained: Trained) {
  checkCompressor(trained);
  const { model, ...rest } = await trainedText(trained);
  return { ...rest, model: model as GPT };
}

export function restoreText(gpu: Gpu, { weights }: Pick<TrainedText, 'weights'>): void {
  for (const { variable, flat } of weights) writeVariable(gpu, variable, flat);
}

/** Text of tokens as they come, in whole characters. */
export async function* textOf(
  vocabulary: Vocabulary,
  tokens: AsyncIterable<number[]>,
  counted: (count: number) => void = () => {},
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const all: number[] = [];
  let told = 0;
  for await (const some of tokens) {
    counted(some.length);
    if (vocabulary.bytes) {
      yield decoder.decode(vocabulary.bytes(some), { stream: true });
    } else if (vocabulary.inPieces) {
      // What a token reads as goes by those before it; a character that is not whole yet is told later.
      all.push(...some);
      const text = vocabulary.decode(all).replace(/\uFFFD+$/, '');
      yield text.slice(told);
      told = Math.max(told, text.length);
    } else yield vocabulary.decode(some);
  }
}

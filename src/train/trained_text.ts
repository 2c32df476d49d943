// The model of text that a file holds, with its vocabulary, to write with.
import { type Vocabulary, vocabularyFrom } from '../data/vocabulary.ts';
import { CheckpointError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { GPT } from '../models/gpt.ts';
import { Parameters } from '../nn/module.ts';
import { writeVariable } from '../runtime/variables.ts';
import { type Checkpoint, restoredModel, type Trained } from './checkpoint.ts';
import { createTextModel } from './registry/registry.ts';

/** The vocabulary that a file of a model of text holds. @throws DataError or CheckpointError if it is none that is known */
export function vocabularyOf({
  metadata,
  name,
}: Pick<Checkpoint, 'name'> & Pick<Trained, 'metadata'>): Vocabulary | undefined {
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
export function trainedText(trained: Trained) {
  const { name, options } = trained;
  const vocabulary = vocabularyOf(trained);
  if (!vocabulary) throw new CheckpointError(`${name} is damaged: it does not say what its tokens are`);
  const empty = new Uint8Array();
  const data = { name, vocabulary, train: empty, test: empty };
  const { entry, model } = createTextModel(data, options);
  const parameters = new Parameters(model);
  const weights = restoredModel(parameters, model.namedBuffers(), trained);
  return { entry, model, data, vocabulary, parameters, weights };
}

/** @throws OptionError if the file holds another model, and as `trainedText` */
export function trainedGpt(trained: Trained) {
  const { name, options } = trained;
  if (options.model !== 'gpt') throw new OptionError(`${name} holds a ${options.model}, and text is written by a gpt`);
  const { model, ...rest } = trainedText(trained);
  return { ...rest, model: model as GPT };
}

export function restoreGpt(gpu: Gpu, { weights }: Pick<ReturnType<typeof trainedGpt>, 'weights'>): void {
  for (const { variable, flat } of weights) writeVariable(gpu, variable, flat);
}

/** Text of tokens as they come; of bytes, whole characters. */
export async function* textOf(
  vocabulary: Vocabulary,
  tokens: AsyncIterable<number[]>,
  counted: (count: number) => void = () => {},
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  for await (const some of tokens) {
    counted(some.length);
    yield vocabulary.kind === 'bytes'
      ? decoder.decode(Uint8Array.from(some), { stream: true })
      : vocabulary.decode(some);
  }
}

// The GPT that a file holds, with its vocabulary, to write with.
import { type Vocabulary, vocabularyFrom } from '../data/vocabulary.ts';
import { CheckpointError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { GPT } from '../models/gpt.ts';
import { Parameters } from '../nn/module.ts';
import { writeVariable } from '../runtime/variables.ts';
import { restoredModel, type Trained } from './checkpoint.ts';
import { createTextModel } from './registry/registry.ts';

/**
 * @throws OptionError if the file holds another model; CheckpointError if it has no vocabulary, or a tensor is missing or of
 * another shape
 */
export function trainedGpt(trained: Trained) {
  const { name, options, metadata } = trained;
  if (options.model !== 'gpt') throw new OptionError(`${name} holds a ${options.model}, and text is written by a gpt`);
  if (!metadata?.vocabulary) throw new CheckpointError(`${name} is damaged: it does not say what its tokens are`);
  const vocabulary = vocabularyFrom(JSON.parse(metadata.vocabulary), name);
  const empty = new Uint8Array();
  const { model } = createTextModel({ name, vocabulary, train: empty, test: empty }, options);
  const parameters = new Parameters(model);
  const weights = restoredModel(parameters, model.namedBuffers(), trained);
  return { model: model as GPT, vocabulary, parameters, weights };
}

export function restoreGpt(gpu: Gpu, { weights }: ReturnType<typeof trainedGpt>): void {
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

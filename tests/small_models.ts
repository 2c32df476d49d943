// Files of small models with any weights: what commands and pages take, without a training.
import { characterVocabulary } from '../src/data/vocabulary.ts';
import { type Module, Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { encodeWeights } from '../src/train/checkpoint.ts';
import { completeOptions, type GivenOptions } from '../src/train/options.ts';

/** A model of text, with the vocabulary that it says it has, if any. */
export function encodeTextModel(
  model: Module,
  options: GivenOptions,
  letters: string | undefined,
  weight = () => 0,
): Promise<Uint8Array> {
  const read = ({ size }: { size: number }) => Float32Array.from({ length: size }, weight);
  const adam = new Adam(new Parameters(model));
  const told = letters === undefined ? undefined : { vocabulary: JSON.stringify(characterVocabulary(letters)) };
  return encodeWeights(read, adam, completeOptions(options), model.namedBuffers(), told);
}

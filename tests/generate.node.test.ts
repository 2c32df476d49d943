// What `npm run generate` and a run of text refuse before there is a browser: one clear line each.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { main } from '../src/cli/generate.ts';
import { main as train } from '../src/cli/train.ts';
import { characterVocabulary } from '../src/data/vocabulary.ts';
import { GPT } from '../src/models/gpt.ts';
import { Parameters } from '../src/nn/module.ts';
import { Adam } from '../src/nn/optimizers.ts';
import { encodeWeights } from '../src/train/checkpoint.ts';
import { completeOptions } from '../src/train/options.ts';
import { scratchFolder, untouched } from './command.ts';

const folder = scratchFolder();

/** The file of a small gpt, with the vocabulary that it says it has. */
async function fileOf(name: string, letters: string | undefined, model = 'gpt'): Promise<string> {
  const sizes = { layers: 1, heads: 1, width: 4, context: 4 };
  const gpt = new GPT({ ...sizes, vocabulary: 3 });
  const vocabulary = letters && JSON.stringify(characterVocabulary(letters));
  const options = completeOptions(model === 'gpt' ? { model, ...sizes } : { model });
  const read = ({ size }: { size: number }) => new Float32Array(size);
  const adam = new Adam(new Parameters(gpt));
  const bytes = await encodeWeights(read, adam, options, gpt.namedBuffers(), vocabulary ? { vocabulary } : {});
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const generate = async (path: string, ...rest: string[]) =>
  main(['--checkpoint', path, ...rest], { server: untouched });

test('a prompt with characters that the model never saw', async () => {
  const path = await fileOf('abc.safetensors', 'abc');
  await expect(generate(path, '--prompt', 'abz')).rejects.toThrow(
    /^the vocabulary of 3 characters has no "z" \(U\+007A\)/,
  );
  await expect(generate(path, '--prompt', '')).rejects.toThrow('--prompt is empty');
});

test('a vocabulary that is not that of the weights, or none', async () => {
  await expect(generate(await fileOf('more.safetensors', 'abcd'))).rejects.toThrow(
    /more\.safetensors: transformer\.wte\.weight is \[3, 4\], and this model's is \[4, 4\]/,
  );
  await expect(generate(await fileOf('none.safetensors', undefined))).rejects.toThrow(
    /none\.safetensors is damaged: it does not say what its tokens are/,
  );
});

test('another model', async () => {
  await expect(generate(await fileOf('vae.safetensors', 'abc', 'vae'))).rejects.toThrow(
    /vae\.safetensors holds a vae, and text is written by a gpt/,
  );
});

test('a tokenizer that is none, and two of them', async () => {
  const path = join(folder, 'tokenizer.json');
  writeFileSync(path, '{}');
  const run = (...args: string[]) => train(['--model', 'gpt', ...args], { server: untouched });
  await expect(run('--tokenizer-file', path)).rejects.toThrow(/tokenizer\.json is no tokenizer\.json of Hugging Face/);
  await expect(run('--tokenizer-file', join(folder, 'lost.json'))).rejects.toThrow(/lost\.json cannot be read/);
  await expect(run('--tokenizer-file', path, '--tokenizer', 'bpe')).rejects.toThrow(
    '--tokenizer bpe and --tokenizer-file exclude each other',
  );
});

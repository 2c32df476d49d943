// What `npm run generate` and a run of text refuse before there is a browser: one clear line each.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { main as compress } from '../src/cli/compress.ts';
import { main } from '../src/cli/generate.ts';
import { main as train } from '../src/cli/train.ts';
import { GPT } from '../src/models/gpt.ts';
import { TextVAE } from '../src/models/text_vae.ts';
import type { Module } from '../src/nn/module.ts';
import type { GivenOptions } from '../src/train/options.ts';
import { scratchFolder, untouched } from './command.ts';
import { encodeTextModel } from './small_models.ts';

const folder = scratchFolder();

async function save(name: string, letters: string | undefined, model: Module, options: GivenOptions): Promise<string> {
  const path = join(folder, name);
  writeFileSync(path, await encodeTextModel(model, options, letters));
  return path;
}

function fileOf(name: string, letters: string | undefined, model = 'gpt'): Promise<string> {
  const sizes = { layers: 1, heads: 1, width: 4, context: 4 };
  return save(name, letters, new GPT({ ...sizes, vocabulary: 3 }), model === 'gpt' ? { model, ...sizes } : { model });
}

function sentencesFile(name: string, latent: number): Promise<string> {
  const sizes = { width: 4, hidden: 4, latent };
  return save(name, ' abc', new TextVAE({ ...sizes, vocabulary: 4 }), { model: 'text-vae', context: 5, ...sizes });
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
    /^generate needs a model of text: gpt or text-vae; .*vae\.safetensors holds a vae$/,
  );
});

test('options that mean nothing to the model at hand', async () => {
  const gpt = await fileOf('gpt.safetensors', 'abc');
  const coded = await sentencesFile('coded.safetensors', 2);
  const bare = await sentencesFile('bare.safetensors', 0);
  const cases: [string, string[], string | RegExp][] = [
    [gpt, ['--from', 'ab'], '--from is for a text-vae, and this is a gpt: it goes on from a --prompt'],
    [gpt, ['--sentences', '3'], /^--sentences is for a text-vae/],
    [coded, ['--prompt', 'a'], /^--prompt is for a gpt, and this is a text-vae/],
    [coded, ['--no-cache'], /^--no-cache is for a gpt/],
    [coded, ['--to', 'ab'], /^--to goes with --from/],
    [coded, ['--top-k', '3'], /^--top-k says how words are drawn/],
    [coded, ['--from', 'ab', '--to', 'c', '--temperature', '2'], /^--temperature is of codes that are drawn/],
    [coded, ['--from', 'ab', '--to', 'c', '--seed', '2'], /^--seed is for what is drawn/],
    [bare, ['--from', 'ab'], '--from is of a code, and this text-vae has none (--latent 0)'],
    [bare, ['--temperature', '2'], /^--temperature is of a code/],
  ];
  for (const [path, options, line] of cases) await expect(generate(path, ...options)).rejects.toThrow(line);
});

test('a sentence that the model does not read', async () => {
  const path = await sentencesFile('reads.safetensors', 2);
  const cases: [string[], string | RegExp][] = [
    [['--from', 'abz'], /^--from: the vocabulary of 4 characters has no "z"/],
    [
      ['--from', 'ab', '--to', 'a b c a'],
      '--to: the sentence is of 7 tokens, and the model reads up to 5 (--context 5)',
    ],
    [['--from', 'a\nb'], /^--from: a sentence is one line/],
    [['--from', ' '], /^--from: there is no sentence/],
    [['--from', ''], '--from is empty'],
  ];
  for (const [options, line] of cases) await expect(generate(path, ...options)).rejects.toThrow(line);
});

test('a bound that no device is there for is refused before anything is read', async () => {
  const args = ['--checkpoint', 'nowhere', '--out', join(folder, 'a.glia'), '--bound', '--node', '--driver', 'none'];
  await expect(compress(args, { server: untouched })).rejects.toThrow(/--bound takes a device.*leave one of them out/);
});

test('text is compressed by a gpt alone', async () => {
  const path = await sentencesFile('other.safetensors', 2);
  const compressed = compress(['--checkpoint', path, '--out', join(folder, 'a.glia')], { server: untouched });
  await expect(compressed).rejects.toThrow(/^only a gpt can compress text, and .*other\.safetensors holds a text-vae$/);
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

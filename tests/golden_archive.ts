// Archives that must have the same bytes on every adapter and in every engine: models and images are drawn by integers alone.
import { compressImages } from '../src/coder/archive.ts';
import { crc32 } from '../src/coder/container.ts';
import { compressText } from '../src/coder/text_archive.ts';
import { characterVocabulary, type Vocabulary } from '../src/data/vocabulary.ts';
import type { Gpu } from '../src/gpu/gpu.ts';
import { philox } from '../src/ops/philox.ts';
import { decodeTrained, type Trained } from '../src/train/checkpoint.ts';
import { completeOptions, type GivenOptions } from '../src/train/options.ts';
import { createModel, createTextModel } from '../src/train/registry/registry.ts';
import { encodeSafetensors } from '../src/train/safetensors.ts';

/** Checksum and length of the archives: by a model of one layer, of two, and, of binary images, of three from the top down. */
export const GOLDEN = [
  { sum: 4182309301, length: 3564 },
  { sum: 932771912, length: 11534 },
  { sum: 4271712884, length: 959 },
];

const SIDE = { height: 7, width: 9, channels: 1, classes: 0 };

/** @returns what `GOLDEN` must be */
export async function goldenArchives(gpu: Gpu | undefined): Promise<typeof GOLDEN> {
  const likelihood = 'logistic-mixture';
  return [
    await goldenArchive(gpu, { model: 'burda', hidden: 13, latent: 5, likelihood }),
    await goldenArchive(gpu, { model: 'burda-2', likelihood }),
    await goldenArchive(gpu, { model: 'ladder', hidden: 28, latent: 12, binarize: 'dynamic' }),
  ];
}

async function goldenArchive(gpu: Gpu | undefined, given: GivenOptions): Promise<(typeof GOLDEN)[number]> {
  let drawn = 0;
  const word = () => philox([drawn++, 0, 0, 0], [7, 9])[0]!;
  const options = completeOptions(given);
  const one = { ...SIDE, count: 1, images: new Uint8Array(63) };
  const tensors = [...createModel({ name: 'golden', train: one, test: one }, options).namedParameters()].map(
    ([name, { shape, size }]) => {
      const data = Float32Array.from({ length: size }, () => (word() >>> 8) / 2 ** 24 - 0.5);
      return [name, { dtype: 'F32', shape, data }] as const;
    },
  );
  const model = encodeSafetensors(Object.fromEntries(tensors), { options: JSON.stringify(options) });
  const binary = options.binarize !== 'none';
  const images = Uint8Array.from({ length: 40 * 63 }, () => (binary ? 255 * (word() >>> 31) : word() >>> 24));
  const { bytes } = await compressImages(
    gpu,
    decodeTrained(model, 'golden'),
    { ...SIDE, count: 40, images },
    { block: 25 },
  );
  return { sum: crc32(bytes), length: bytes.length };
}

/** A gpt whose weights are drawn, as if it had been trained. */
export function gptOf(sizes: GivenOptions, vocabulary: Vocabulary, random: () => number): Trained {
  const options = completeOptions({ model: 'gpt', ...sizes });
  const empty = new Uint8Array();
  const { model } = createTextModel({ name: 'drawn', vocabulary, train: empty, test: empty }, options);
  const tensors = [...model.namedParameters()].map(([name, { shape, size }]) => {
    const data = Float32Array.from({ length: size }, () => random() - 0.5);
    return [name, { dtype: 'F32', shape, data }] as const;
  });
  const metadata = { options: JSON.stringify(options), vocabulary: JSON.stringify(vocabulary) };
  return decodeTrained(encodeSafetensors(Object.fromEntries(tensors), metadata), 'drawn');
}

/** Checksum and length of the archive of text. */
export const GOLDEN_TEXT = { sum: 3859900246, length: 351 };

/** @returns what `GOLDEN_TEXT` must be */
export async function goldenText(): Promise<typeof GOLDEN_TEXT> {
  let drawn = 0;
  const word = () => philox([drawn++, 0, 0, 0], [8, 9])[0]!;
  const letters = 'abcdefgh ';
  const sizes = { layers: 2, heads: 2, width: 12, context: 8 };
  const trained = gptOf(sizes, characterVocabulary(letters), () => (word() >>> 8) / 2 ** 24);
  const text = Array.from({ length: 150 }, () => letters[word() % letters.length]).join('');
  const { bytes } = await compressText(trained, `${text}é`, { block: 60 });
  return { sum: crc32(bytes), length: bytes.length };
}

// Images to an archive, and back.
import type { Dataset, ImageSet } from '../data/images.ts';
import { DataError, GliaError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { HierarchicalVAE } from '../models/hierarchical.ts';
import { VAE } from '../models/vae.ts';
import { Parameters } from '../nn/module.ts';
import { decodeTrained, restoredModel, type Trained, weightsOf } from '../train/checkpoint.ts';
import { createModel, modelEntry } from '../train/registry/registry.ts';
import { decodeBlock, encodeBlock } from './bits_back.ts';
import { type BlockChoice, ChosenBlocks } from './blocks.ts';
import {
  type Archive,
  type ArchiveHeader,
  decodeArchive,
  encodeBlockBytes,
  encodeHeader,
  isTextHeader,
  joinBytes,
  MOST_IN_BLOCK,
} from './container.ts';
import type { Times } from './layer_coder.ts';
import { type Scales, VaeCodec } from './vae_codec.ts';

/** Images a block by default: what comes before the first of them costs less than half a percent. */
export const DEFAULT_BLOCK = 2500;

type Size = Pick<ImageSet, 'height' | 'width' | 'channels'>;

export interface CompressOptions {
  /** Images a block: the fewer, the finer the access, and the worse the rate. 2500 by default. */
  readonly block?: number;
  /** Whether the model's weights go into the archive, so that it needs nothing else. */
  readonly withModel?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops: the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface Compressed {
  readonly bytes: Uint8Array;
  /** Bytes of the archive that are the model's. */
  readonly modelBytes: number;
  readonly milliseconds: Readonly<Times>;
}

/** A data set for a model to be made for: of no images, since a header that lies may want large ones. */
function shapeOnly({ height, width, channels }: Size): Dataset {
  const side = {
    ...{ height, width, channels },
    count: 0,
    classes: 0,
    images: new Uint8Array(0),
  };
  return { name: 'archive', train: side, test: side };
}

function codecOf(trained: Trained, size: Size, binary: boolean, from: { scales?: Scales; examples?: Uint8Array }) {
  const { name, options } = trained;
  const model = createModel(shapeOnly(size), options);
  if (!(model instanceof VAE || model instanceof HierarchicalVAE)) {
    const entry = modelEntry(options.model);
    const why = ('withoutDensity' in entry && entry.withoutDensity) || 'it says nothing of how likely images are';
    throw new OptionError(`${name} holds a ${options.model}: ${why}; VAEs can compress`);
  }
  const parameters = new Parameters(model);
  const flat = restoredModel(parameters, model.namedBuffers(), trained).at(-1)!.flat;
  return new VaeCodec(model, { flat, parameters, binary, ...from });
}

async function provedOn(gpu: Gpu | undefined, codec: VaeCodec) {
  if (!gpu) return codec.onHost();
  const codecOnGpu = codec.on(gpu);
  if (await codec.proves(codecOnGpu)) return codecOnGpu;
  await codecOnGpu.destroy();
  throw new DataError(`${gpu.name} does not compute what every adapter must: nothing is coded on it`);
}

/**
 * Compresses images without loss, by bits back with a VAE that was trained on images of their kind.
 *
 * @param gpu that computes the networks; without one they are computed here, to the same bytes
 * @param images bytes; for a model of binary images, 0 and 255 alone
 * @throws OptionError if the model is of another kind, DataError if a pixel is not binary where it must be
 */
export async function compressImages(
  gpu: Gpu | undefined,
  trained: Trained,
  images: ImageSet,
  { block = DEFAULT_BLOCK, withModel = false, onProgress, signal }: CompressOptions = {},
): Promise<Compressed> {
  const { count, height, width, channels } = images;
  if (!Number.isInteger(block) || block < 1 || block > MOST_IN_BLOCK) {
    throw new OptionError(`block must be a whole number from 1 to ${MOST_IN_BLOCK}, got ${block}`);
  }
  const binary = trained.options.binarize !== 'none';
  if (binary && images.images.some((byte) => byte !== 0 && byte !== 255)) {
    throw new DataError(
      'the model is of binary images, and these have grey pixels: give --binarize as in the training',
    );
  }
  const codec = codecOf(trained, images, binary, { examples: images.images });
  const model = withModel ? weightsOf(trained) : undefined;
  const header: ArchiveHeader = {
    ...{ count, height, width, channels, block, binarize: trained.options.binarize },
    model: {
      ...{ digest: await codec.digest(), probe: codec.probe(), scales: codec.scales },
      bytes: model?.length ?? 0,
    },
  };
  const pixels = height * width * channels;
  const parts = [encodeHeader(header, model)];
  const times = { networks: 0, coder: 0 };
  const onGpu = await provedOn(gpu, codec);
  try {
    for (let first = 0; first < count; first += block) {
      const some = Math.min(block, count - first);
      const bytes = images.images.subarray(first * pixels, (first + some) * pixels);
      const coded = await encodeBlock(onGpu, bytes, times, (done) => {
        signal?.throwIfAborted();
        onProgress?.(first + done, count);
      });
      parts.push(encodeBlockBytes(first / block, some, coded));
    }
  } finally {
    await onGpu.destroy();
  }
  return { bytes: joinBytes(parts), modelBytes: model?.length ?? 0, milliseconds: times };
}

export interface DecompressOptions extends BlockChoice {
  /** The model, where the archive does not hold it. */
  readonly trained?: Trained | undefined;
  /** Told what is in it, once that is known to be sound. */
  readonly onOpen?: (header: ArchiveHeader) => void;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Images that lie side by side in the archive. */
export interface Recovered {
  readonly block: number;
  /** The number of the first image. */
  readonly first: number;
  readonly images: Uint8Array;
}

export interface Decompressed {
  readonly header: ArchiveHeader;
  /** Blocks in order, those left out that are damaged. */
  readonly recovered: readonly Recovered[];
  /** What is wrong with the others. */
  readonly damaged: readonly string[];
  readonly milliseconds: Readonly<Times>;
}

/** The model that an archive was made with. @throws DataError, OptionError if it is not the one that is given */
async function codecFor({ header, model: stored }: Archive<ArchiveHeader>, name: string, given: Trained | undefined) {
  const trained = given ?? (stored && decodeTrained(stored, `the model in ${name}`));
  if (!trained) throw new OptionError(`${name} does not hold its model: give the checkpoint that it was made with`);
  const { model, binarize } = header;
  let codec: VaeCodec;
  try {
    codec = codecOf(trained, header, binarize !== 'none', { scales: model.scales });
  } catch (error) {
    if (error instanceof GliaError) error.message = `${name} and ${trained.name} do not fit: ${error.message}`;
    throw error;
  }
  if ((await codec.digest()) !== model.digest) {
    throw new OptionError(`${name} was not made with ${trained.name}: the model's digest differs`);
  }
  return codec;
}

/**
 * The images of an archive, byte for byte.
 *
 * @param gpu that computes the networks; without one they are computed here
 * @param name of the file, for messages
 * @throws DataError if it is damaged, OptionError if its model is not at hand
 */
export async function decompressImages(
  gpu: Gpu | undefined,
  bytes: Uint8Array,
  name: string,
  { trained, onOpen, onProgress, signal, ...choice }: DecompressOptions = {},
): Promise<Decompressed> {
  const archive = decodeArchive(bytes, name);
  if (isTextHeader(archive.header)) throw new DataError(`${name} holds text, and no images`);
  const { header } = archive as Archive<ArchiveHeader>;
  const chosen = new ChosenBlocks(archive, name, choice);
  const codec = await codecFor(archive as Archive<ArchiveHeader>, name, trained);
  if (codec.probe() !== header.model.probe) throw new DataError(`${name} is damaged: its model's probe differs`);
  onOpen?.(header);
  const times = { networks: 0, coder: 0 };
  const recovered: Recovered[] = [];
  const images = chosen.wanted.reduce((sum, block) => sum + block.count, 0);
  let done = 0;
  const onGpu = await provedOn(gpu, codec);
  try {
    for (const block of chosen.wanted) {
      const { number, count } = block;
      try {
        const made = await decodeBlock(onGpu, block, times, (some) => {
          signal?.throwIfAborted();
          onProgress?.(done + some, images);
        });
        recovered.push({ block: number, first: number * header.block, images: made });
      } catch (error) {
        chosen.fail(error, block);
      }
      done += count;
    }
  } finally {
    await onGpu.destroy();
  }
  return { header, recovered, damaged: chosen.damaged, milliseconds: times };
}

// Text to an archive, and back, by a gpt that was trained on text of its kind.
import type { Vocabulary } from '../data/vocabulary.ts';
import { DataError, OptionError } from '../errors.ts';
import { decodeTrained, type Trained, weightsOf } from '../train/checkpoint.ts';
import { trainedGpt } from '../train/trained_text.ts';
import type { Compressed, CompressOptions } from './archive.ts';
import { type BlockChoice, ChosenBlocks } from './blocks.ts';
import {
  decodeArchive,
  encodeBlockBytes,
  encodeHeader,
  isTextHeader,
  joinBytes,
  MOST_TOKENS_IN_BLOCK,
  sha256,
  type TextHeader,
} from './container.ts';
import { ExactGpt } from './exact_gpt.ts';
import type { Times } from './layer_coder.ts';
import { characterSymbol, decodeSymbols, encodeSymbols } from './text_codec.ts';

/** Tokens a block by default: the text so far helps with what follows, in its own block alone. */
export const DEFAULT_TOKENS = 2 ** 18;
const PROBES = 8;

interface TextModel {
  readonly gpt: ExactGpt;
  readonly vocabulary: Vocabulary;
  readonly digest: string;
  readonly probe: number;
}

/** @throws OptionError if the file holds another model */
async function textModel(trained: Trained): Promise<TextModel> {
  const { model, parameters, weights, vocabulary } = await trainedGpt(trained);
  const { flat } = weights.at(-1)!;
  const gpt = new ExactGpt(model, parameters.split(flat));
  const { context, layers, heads, width } = model.options;
  const told = new TextEncoder().encode(JSON.stringify({ context, layers, heads, width, vocabulary }));
  const all = joinBytes([told, new Uint8Array(flat.buffer, flat.byteOffset, flat.byteLength)]);
  return { gpt, vocabulary, digest: await sha256(all as BufferSource), probe: probeOf(gpt) };
}

/** Of the bits of a few logits. */
function probeOf(gpt: ExactGpt): number {
  gpt.reset();
  const count = Math.min(PROBES, gpt.room);
  const logits = gpt.logits(Array.from({ length: count }, (_, i) => (i * 7919) % gpt.vocabulary));
  let hash = 0x811c9dc5;
  for (const word of new Uint32Array(logits.buffer)) hash = Math.imul(hash ^ word, 0x01000193);
  return hash >>> 0;
}

/** @throws OptionError for a text that the tokens do not give back */
function symbolsOf(text: string, vocabulary: Vocabulary): Int32Array {
  if (vocabulary.kind === 'characters') {
    const known = new Map<string, number>();
    const symbol = (character: string) => {
      try {
        return vocabulary.encode(character)[0]!;
      } catch {
        return characterSymbol(character.codePointAt(0)!);
      }
    };
    return Int32Array.from(text, (character) => {
      let found = known.get(character);
      if (found === undefined) {
        found = symbol(character);
        known.set(character, found);
      }
      return found;
    });
  }
  const tokens = vocabulary.encode(text);
  if (vocabulary.decode(tokens) !== text) {
    throw new OptionError(
      "the model's tokens do not give this text back as it is: a model of characters, bytes or byte-pair merges does",
    );
  }
  return Int32Array.from(tokens);
}

/** @throws DataError for what is no character */
function bytesOf(symbols: Int32Array, vocabulary: Vocabulary): Uint8Array {
  if (vocabulary.kind !== 'characters') {
    return vocabulary.bytes?.(symbols) ?? new TextEncoder().encode(vocabulary.decode(symbols));
  }
  const parts = Array.from(symbols, (symbol) => {
    if (symbol >= 0) return vocabulary.decode([symbol]);
    if (-1 - symbol > 0x10ffff) throw new DataError(`${-1 - symbol} is no character: it is damaged`);
    return String.fromCodePoint(-1 - symbol);
  });
  return new TextEncoder().encode(parts.join(''));
}

export interface CompressedText extends Compressed {
  /** Tokens, and characters that are none. */
  readonly tokens: number;
}

/**
 * Compresses text without loss, by a gpt that was trained on text of its kind and by what the text itself teaches. It takes no
 * device: networks are computed here, in doubles, to the same bits in every engine.
 *
 * @param trained a gpt's checkpoint or weights
 * @throws OptionError if the model is of another kind
 */
export async function compressText(
  trained: Trained,
  text: string,
  { block = DEFAULT_TOKENS, withModel = false, onProgress, signal }: CompressOptions = {},
): Promise<CompressedText> {
  if (!Number.isInteger(block) || block < 1 || block > MOST_TOKENS_IN_BLOCK) {
    throw new OptionError(`block must be a whole number from 1 to ${MOST_TOKENS_IN_BLOCK}, got ${block}`);
  }
  const { gpt, vocabulary, digest, probe } = await textModel(trained);
  const symbols = symbolsOf(text, vocabulary);
  const model = withModel ? weightsOf(trained) : undefined;
  const header: TextHeader = {
    ...{ kind: 'text', count: symbols.length, block, bytes: new TextEncoder().encode(text).length },
    model: { digest, probe, bytes: model?.length ?? 0 },
  };
  const parts = [encodeHeader(header, model)];
  const times = { networks: 0, coder: 0 };
  for (let first = 0; first < symbols.length; first += block) {
    const some = symbols.subarray(first, first + block);
    const coded = await encodeSymbols(gpt, some, times, (done) => {
      signal?.throwIfAborted();
      onProgress?.(first + done, symbols.length);
    });
    parts.push(encodeBlockBytes(first / block, some.length, coded));
  }
  const bytes = joinBytes(parts);
  return { bytes, modelBytes: model?.length ?? 0, tokens: symbols.length, milliseconds: times };
}

export interface DecompressTextOptions extends BlockChoice {
  /** The model, where the archive does not hold it. */
  readonly trained?: Trained | undefined;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface DecompressedText {
  readonly header: TextHeader;
  /** UTF-8 of the blocks in order, those left out that are damaged. */
  readonly text: Uint8Array;
  /** Tokens in it. */
  readonly tokens: number;
  /** What is wrong with the others. */
  readonly damaged: readonly string[];
  readonly milliseconds: Readonly<Times>;
}

/**
 * The text of an archive, byte for byte.
 *
 * @param name of the file, for messages
 * @throws DataError if it is damaged, or holds no text; OptionError if its model is not at hand
 */
export async function decompressText(
  bytes: Uint8Array,
  name: string,
  { trained: given, onProgress, signal, ...choice }: DecompressTextOptions = {},
): Promise<DecompressedText> {
  const archive = decodeArchive(bytes, name);
  const { header } = archive;
  if (!isTextHeader(header)) throw new DataError(`${name} holds images, and no text`);
  const chosen = new ChosenBlocks(archive, name, choice);
  const trained = given ?? (archive.model && decodeTrained(archive.model, `the model in ${name}`));
  if (!trained) throw new OptionError(`${name} does not hold its model: give the checkpoint that it was made with`);
  const { gpt, vocabulary, digest, probe } = await textModel(trained);
  if (digest !== header.model.digest) {
    throw new OptionError(`${name} was not made with ${trained.name}: the model's digest differs`);
  }
  if (probe !== header.model.probe) throw new DataError(`${name} is damaged: its model's probe differs`);
  const times = { networks: 0, coder: 0 };
  const total = chosen.wanted.reduce((sum, { count }) => sum + count, 0);
  const symbols = new Int32Array(total);
  let tokens = 0;
  let done = 0;
  for (const block of chosen.wanted) {
    try {
      const some = await decodeSymbols(gpt, block, block.count, times, (decoded) => {
        signal?.throwIfAborted();
        onProgress?.(done + decoded, total);
      });
      symbols.set(some, tokens);
      tokens += some.length;
    } catch (error) {
      chosen.fail(error, block);
    }
    done += block.count;
  }
  const text = bytesOf(symbols.subarray(0, tokens), vocabulary);
  const isWhole = tokens === header.count;
  if (isWhole && text.length !== header.bytes) {
    chosen.fail(new DataError(`it gives ${text.length} bytes, and its header says ${header.bytes}: it is damaged`));
  }
  return { header, text, tokens, damaged: chosen.damaged, milliseconds: times };
}

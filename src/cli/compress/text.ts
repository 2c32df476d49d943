// What `npm run compress` and `npm run decompress` do with text: in Node, since it takes neither a device nor a browser.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { compressText, DEFAULT_TOKENS, decompressText } from '../../coder/text_archive.ts';
import { SHARE } from '../../data/text.ts';
import { notUtf8, validLength } from '../../data/utf8.ts';
import { DataError, OptionError } from '../../errors.ts';
import type { Trained } from '../../train/checkpoint.ts';
import { resolveData, showPath } from '../arguments.ts';
import { printJson } from '../progress.ts';
import { findData } from '../train/data.ts';
import { replaceFile } from '../train/durable.ts';
import { compareTextCoders, type Size } from './compare.ts';
import { CodingProgress, showTime } from './progress.ts';
import { showTable } from './table.ts';

export interface TextCompression {
  readonly trained: Trained;
  readonly data: string;
  readonly target: string;
  readonly split: 'all' | 'train' | 'test';
  readonly block: number | undefined;
  readonly withModel: boolean;
  readonly compare: boolean;
  readonly json: boolean;
}

/** @throws DataError if it is not one file of UTF-8 */
async function readText(data: string): Promise<{ name: string; text: string }> {
  const files = await findData(resolveData(data), 'text');
  const [path, ...others] = files.paths as [string, ...string[]];
  if (others.length > 0) {
    throw new DataError(`--data: ${files.name} holds ${others.length + 1} files: an archive is of one, so name it`);
  }
  const bytes = new Uint8Array(await (await files.read(path)).arrayBuffer());
  const valid = validLength(bytes);
  if (valid < bytes.length) throw notUtf8(path, bytes[valid]!, valid);
  // What stands first may be a byte order mark, and comes back with the rest.
  return { name: path, text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes) };
}

function splitOf(text: string, split: TextCompression['split']): string {
  if (split === 'all') return text;
  const characters = [...text];
  const cut = Math.floor(characters.length * SHARE);
  return (split === 'train' ? characters.slice(0, cut) : characters.slice(cut)).join('');
}

/** What took how long, in seconds. */
function timesOf(seconds: number, { milliseconds }: { milliseconds: Record<'networks' | 'coder', number> }) {
  return { seconds, networks: milliseconds.networks / 1000, coder: milliseconds.coder / 1000 };
}

/** @returns the command's exit code */
export async function compressTextFile(how: TextCompression): Promise<number> {
  const { trained, data, target, split, block = DEFAULT_TOKENS, withModel, compare, json } = how;
  const { name, text: whole } = await readText(data);
  const text = splitOf(whole, split);
  const size = new TextEncoder().encode(text).length;
  const parts = { all: '', train: ', the first nine tenths', test: ', the last tenth' };
  if (json) printJson({ event: 'start', data: name, bytes: size });
  else console.log(`text        ${name}${parts[split]}: ${size.toLocaleString('en')} bytes`);
  const progress = new CodingProgress(!json, 'compressing', 'tokens');
  progress.start();
  const onProgress = (done: number, total: number) => progress.tell(done, total);
  const made = await compressText(trained, text, { block, withModel, onProgress }).finally(() => progress.close());
  const { seconds } = progress;
  replaceFile(target, made.bytes);
  const { bytes, modelBytes, tokens } = made;
  const times = timesOf(seconds, made);
  const own = bytes.length - modelBytes;
  const bits = size > 0 ? (8 * own) / size : 0;
  const others: Size[] = compare ? compareTextCoders(text) : [];
  if (json) {
    const sizes = { bytes: bytes.length, modelBytes, textBytes: size, tokens, bitsPerByte: bits };
    printJson({ event: 'done', ...sizes, ...times, ...(compare && { others }) });
    return 0;
  }
  const model = modelBytes ? `, ${modelBytes.toLocaleString('en')} of them the model` : '';
  console.log(`archive     ${showPath(target)}: ${bytes.length.toLocaleString('en')} bytes${model}`);
  console.log(`rate        ${bits.toFixed(4)} bits a byte of text${modelBytes ? ', without the model' : ''}`);
  console.log(`time        ${showTime(times)}, ${Math.round(tokens / seconds)} tokens a second`);
  if (compare) for (const line of showTable(own, others, size, 'bits/byte')) console.log(line);
  return 0;
}

export interface TextDecompression {
  readonly archive: Uint8Array;
  readonly name: string;
  readonly trained: Trained | undefined;
  readonly folder: string;
  readonly blocks: readonly number[] | undefined;
  readonly salvage: boolean;
  readonly json: boolean;
}

/** @returns the command's exit code: 1 if a part is lost */
export async function decompressTextFile(how: TextDecompression): Promise<number> {
  const { archive, name, trained, folder, blocks, salvage, json } = how;
  const progress = new CodingProgress(!json, 'decompressing', 'tokens');
  progress.start();
  const onProgress = (done: number, total: number) => progress.tell(done, total);
  const made = await decompressText(archive, name, {
    ...{ trained, salvage, ...(blocks && { blocks }), onProgress },
  }).finally(() => progress.close());
  const { seconds } = progress;
  mkdirSync(folder, { recursive: true });
  const written = join(folder, 'text.txt');
  replaceFile(written, made.text);
  const { damaged, tokens, header } = made;
  if (json) {
    printJson({ event: 'done', bytes: made.text.length, tokens, count: header.count, damaged, seconds });
    return damaged.length > 0 ? 1 : 0;
  }
  for (const problem of damaged) console.log(`damaged     ${problem}`);
  const of = tokens < header.count ? ` (${tokens} of ${header.count} tokens)` : '';
  console.log(`text        ${showPath(written)}: ${made.text.length.toLocaleString('en')} bytes${of}`);
  console.log(`time        ${showTime(timesOf(seconds, made))}, ${Math.round(tokens / seconds)} tokens a second`);
  return damaged.length > 0 ? 1 : 0;
}

/** @throws OptionError for what is for images */
export function refuseForText(options: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const given = names.find((option) => options[option] !== undefined && options[option] !== false);
  if (given) throw new OptionError(`--${given} is for images, and the model is of text`);
}

// `npm run decompress`: the images or the text of an archive, byte for byte.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeArchive, isTextHeader } from '../coder/container.ts';
import { DataError, OptionError } from '../errors.ts';
import { decodeTrained } from '../train/checkpoint.ts';
import { createCommand, parse, refuseDriverAlone, refuseEmpty, resolvePath, showPath } from './arguments.ts';
import { showTime } from './compress/progress.ts';
import { CODER_DRIVER_HELP, runWork } from './compress/run.ts';
import { decompressTextFile } from './compress/text.ts';
import type { DecompressEnd } from './compress/work.ts';
import { findModel } from './model_file.ts';
import type { PageServer } from './page_server.ts';
import { printJson } from './progress.ts';
import { replaceFile } from './train/durable.ts';

const COMMAND = 'npm run decompress --';

const NOTES = `
Examples:
  ${COMMAND} digits.glia --checkpoint runs/burda --out digits
  ${COMMAND} damaged.glia --out digits --salvage
  ${COMMAND} text.glia --checkpoint runs/gpt --out text`;

function blocksOf(text: string): number[] {
  const blocks = text.split(',').map(Number);
  if (blocks.every((block) => Number.isInteger(block) && block >= 0)) return blocks;
  throw new OptionError(`--blocks must be numbers of blocks, from 0; got "${text}"`);
}

export async function main(args: string[], { server }: { server: PageServer }): Promise<number> {
  const command = createCommand(COMMAND)
    .usage('<file.glia> --out <folder> [options]')
    .description('Writes the images of an archive into a folder, as an IDX file; or its text, as text.txt.')
    .argument('<archive>', 'what npm run compress has written')
    .requiredOption('--out <folder>', 'folder to write to')
    .option('--checkpoint <file>', 'the model that it was made with, where it does not hold it')
    .option('--blocks <list>', 'only these, as 0,3', blocksOf)
    .option('--salvage', 'write what is sound of a damaged archive')
    .option('--node', 'in Node, without a browser')
    .option('--driver <name>', `with --node: ${CODER_DRIVER_HELP}`)
    .option('--headed', 'show the browser')
    .option('--json', 'one JSON line an event on standard output, and nothing else')
    .addHelpText('after', NOTES);
  if (!parse(command, args)) return 0;
  const {
    out,
    checkpoint,
    blocks,
    salvage = false,
    node = false,
    driver,
    headed = false,
    json = false,
  } = command.opts();
  const [given = ''] = command.args;
  refuseEmpty({ out, checkpoint, driver });
  refuseDriverAlone({ node, driver });
  const path = resolvePath(given);
  const archive = readArchive(path);
  const name = showPath(path);
  // What is no archive is told before there is a browser.
  const { header } = decodeArchive(archive, name);
  const model = checkpoint === undefined ? undefined : findModel(resolvePath(checkpoint));
  const folder = resolvePath(out);
  if (isTextHeader(header)) {
    const trained =
      model === undefined ? undefined : decodeTrained(new Uint8Array(readFileSync(model)), showPath(model));
    return decompressTextFile({ archive, name, trained, folder, blocks, salvage, json });
  }
  let written = '';
  const end = (await runWork({
    job: { kind: 'decompress', trained: model && showPath(model), archive: name, salvage, blocks },
    ...{ trained: model === undefined ? undefined : new Uint8Array(readFileSync(model)), archive, data: undefined },
    ...{ server, headed, node, driver, json },
    save(file, bytes) {
      mkdirSync(folder, { recursive: true });
      written = join(folder, file);
      replaceFile(written, bytes);
    },
  })) as DecompressEnd;
  if (json) printJson({ event: 'done', ...end });
  else {
    for (const problem of end.damaged) console.log(`damaged     ${problem}`);
    console.log(
      `images      ${showPath(written)}: ${end.recovered.toLocaleString('en')} of ${end.count.toLocaleString('en')}`,
    );
    console.log(`time        ${showTime(end)}, ${Math.round(end.recovered / end.seconds)} images a second`);
  }
  return end.damaged.length > 0 ? 1 : 0;
}

function readArchive(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (cause) {
    throw new DataError(`${showPath(path)} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

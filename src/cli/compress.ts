// `npm run compress`: images or text to an archive, without loss, by a VAE or a gpt that was trained on their kind.
import { readFileSync } from 'node:fs';
import { DEFAULT_BLOCK } from '../coder/archive.ts';
import { MOST_IN_BLOCK, MOST_TOKENS_IN_BLOCK } from '../coder/container.ts';
import { DEFAULT_TOKENS } from '../coder/text_archive.ts';
import { ACCEPTED } from '../data/formats.ts';
import { OptionError } from '../errors.ts';
import { isOfText } from '../train/built_in.ts';
import { decodeTrained } from '../train/checkpoint.ts';
import { parseValue } from '../train/rules.ts';
import { checkCompressor } from '../train/trained_text.ts';
import {
  createCommand,
  parse,
  refuseDriverAlone,
  refuseEmpty,
  resolveData,
  resolvePath,
  showPath,
  wholeOf,
} from './arguments.ts';
import { compareCoders, type Size } from './compress/compare.ts';
import { showTime } from './compress/progress.ts';
import { CODER_DRIVER_HELP, runWork } from './compress/run.ts';
import { showTable } from './compress/table.ts';
import { compressTextFile, refuseForText } from './compress/text.ts';
import { type CompressEnd, SPLITS } from './compress/work.ts';
import { findModel } from './model_file.ts';
import type { PageServer } from './page_server.ts';
import { printJson } from './progress.ts';
import { findData } from './train/data.ts';
import { replaceFile } from './train/durable.ts';

const COMMAND = 'npm run compress --';

const NOTES = `
An image takes as many bits as the model's bound says (bits back: Townsend, Bird and Barber, 2019). The archive is the same on
every GPU and driver, and so is what comes back; "npm run decompress" wants the same checkpoint, or an archive --with-model.

Text takes what a gpt says of each token, mixed with how often it came before in the same text; it is computed by the processor,
without a browser.

Examples:
  ${COMMAND} --checkpoint runs/burda --data ../mnist --split test --out digits.glia
  ${COMMAND} --checkpoint runs/gpt --data input.txt --split test --out text.glia --compare
  ${COMMAND} --checkpoint runs/burda --data ../mnist --out digits.glia --with-model --node`;

const MOST_IMAGES = 2 ** 31;

type Split = (typeof SPLITS)[number];
const splitOf = (text: string) => parseValue('split', { choices: SPLITS }, text) as Split;

export async function main(args: string[], { server }: { server: PageServer }): Promise<number> {
  const command = createCommand(COMMAND)
    .usage('--checkpoint <file> --out <file.glia> [options]')
    .description('Compresses images or text without loss, by a VAE or a gpt that was trained on their kind.')
    .requiredOption('--checkpoint <file>', 'checkpoint.safetensors or model.safetensors of a run, or its folder')
    .option(
      '--data <where>',
      `folder or http(s) address of images, or file of text (default: built-in images): ${ACCEPTED}`,
    )
    .requiredOption('--out <file>', 'archive to write')
    .option(
      '--split <name>',
      `which of them: ${SPLITS.join(', ')}; of text, its last tenth is for tests`,
      splitOf,
      'all',
    )
    .option('--images <n>', 'only the first n of these', wholeOf('images', 1, MOST_IMAGES))
    .option(
      '--block <n>',
      `images or tokens a block: each can be had without the others (default: ${DEFAULT_BLOCK}; ${DEFAULT_TOKENS} of text)`,
      wholeOf('block', 1, MOST_TOKENS_IN_BLOCK),
    )
    .option('--with-model', 'put the model into the archive, too')
    .option('--bound', "tell the model's own bound of the same images beside")
    .option(
      '--compare',
      'tell what gzip, bzip2, xz, zstd, and PNG, WebP, JPEG XL or PPMd make of the same, where installed',
    )
    .option('--node', 'in Node, without a browser; reads IDX and CIFAR files')
    .option('--driver <name>', `with --node: ${CODER_DRIVER_HELP}`)
    .option('--headed', 'show the browser')
    .option('--json', 'one JSON line an event on standard output, and nothing else')
    .addHelpText('after', NOTES);
  if (!parse(command, args)) return 0;
  const options = command.opts();
  const {
    checkpoint,
    data: where,
    out,
    split,
    images,
    block = DEFAULT_BLOCK,
    withModel = false,
    bound = false,
    compare = false,
  } = options;
  const { node = false, driver, headed = false, json = false } = options;
  refuseEmpty({ checkpoint, data: where, out, driver });
  if (bound && driver === 'none')
    throw new OptionError('--bound takes a device, and --driver none has none: leave one of them out');
  refuseDriverAlone({ node, driver });
  const path = findModel(resolvePath(checkpoint));
  const trained = new Uint8Array(readFileSync(path));
  const name = showPath(path);
  const model = decodeTrained(trained, name);
  const target = resolvePath(out);
  if (isOfText(model.options)) {
    checkCompressor(model);
    refuseForText(options, ['images', 'bound', 'headed']);
    if (where === undefined) throw new OptionError('--data is missing: name the file of text to compress');
    return compressTextFile({
      trained: model,
      data: where,
      target,
      split,
      block: options.block,
      withModel,
      compare,
      json,
    });
  }
  if (block > MOST_IN_BLOCK) throw new OptionError(`--block must be at most ${MOST_IN_BLOCK} images; got ${block}`);
  let others: Size[] | undefined;
  let coded: Uint8Array | undefined;
  const end = (await runWork({
    job: { kind: 'compress', trained: name, split, images, block, withModel, bound, compare },
    ...{ trained, archive: undefined, data: where === undefined ? undefined : await findData(resolveData(where)) },
    ...{ server, headed, node, driver, json },
    save(name, bytes) {
      if (name === 'images') {
        coded = bytes;
        return;
      }
      replaceFile(target, bytes);
    },
  })) as CompressEnd;
  if (coded) {
    const [height = 0, width = 0, channels = 0] = end.size;
    others = compareCoders({ images: coded, count: end.count, height, width, channels });
  }
  if (json) printJson({ event: 'done', ...end, ...(others && { others }) });
  else {
    const numbers = end.size.reduce((a, b) => a * b, end.count);
    const rows = showTable(end.bytes - end.modelBytes, others ?? [], numbers, 'bits/dim');
    for (const line of [...describe(end, showPath(target)), ...rows]) console.log(line);
  }
  return 0;
}

function describe(end: CompressEnd, out: string): string[] {
  const { count, bytes, modelBytes, bitsPerDimension, bound } = end;
  const model = modelBytes ? `, ${modelBytes.toLocaleString('en')} of them the model` : '';
  const percent = (of: number) => 100 * (bitsPerDimension / of - 1);
  const beside = (of: number) => `${Math.abs(percent(of)).toFixed(2)} % ${percent(of) < 0 ? 'below' : 'above'}`;
  return [
    `archive     ${out}: ${bytes.toLocaleString('en')} bytes${model}`,
    `rate        ${bitsPerDimension.toFixed(4)} bits per dimension${count ? `, ${((bytes - modelBytes) / count).toFixed(1)} bytes an image` : ''}`,
    ...(bound
      ? [`bound       ${bound.toFixed(4)} bits per dimension by the model's ELBO; the archive is ${beside(bound)} it`]
      : []),
    `time        ${showTime(end)}, ${Math.round(count / end.seconds)} images a second`,
  ];
}

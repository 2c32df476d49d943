// The options of `npm run evaluate`.
import type { Command } from 'commander';
import { ACCEPTED } from '../../data/formats.ts';
import { TEXT_ACCEPTED } from '../../data/text.ts';
import {
  createCommand,
  parse,
  refuseDriverAlone,
  refuseEmpty,
  resolveData,
  resolvePath,
  wholeOf,
} from '../arguments.ts';
import { DRIVER_HELP } from '../dawn/dawn.ts';

export interface Arguments {
  /** A checkpoint, weights, or a run folder. */
  readonly checkpoint: string;
  /** A folder, a file of text or an address; the built-in digits or sentences without. */
  readonly data: string | undefined;
  /** Numbers of samples, ascending, each once. */
  readonly nll: readonly number[];
  /** Only the first so many test images. */
  readonly images: number | undefined;
  readonly batch: number;
  readonly seed: number;
  /** Keeps what is done, and is gone on from where it is there. */
  readonly state: string | undefined;
  readonly node: boolean;
  readonly driver: string | undefined;
  readonly headed: boolean;
  readonly json: boolean;
}

const COMMAND = 'npm run evaluate --';

const MAX_SAMPLES = 1_000_000;

const NOTES = `
Prints, in nats per image or sentence: the ELBO as a loss, its two terms, and -log p(x) from K importance samples, that is
-log of the mean of p(x, z) / q(z | x) over z from q(z | x) (Burda, Grosse and Salakhutdinov, 2015, equation 8).

± is the standard error of the mean over the images. All rows are of the same images, so their differences are
much surer: "below the ELBO" has an error of its own. An estimate lies above -log p(x) in expectation, and falls
towards it as K grows. A smaller K is averaged over as many groups as the samples of the largest give. Of sentences
(text-vae) there is the perplexity too, by the largest K: e to the power of nats a token.

Examples:
  ${COMMAND} --checkpoint runs/vae-2026-01-31-120000 --data ../mnist
  ${COMMAND} --checkpoint runs/plane --nll 1,10,100,500 --images 1000
  ${COMMAND} --checkpoint runs/burda --data ../mnist --nll 5000 --state burda.json   can be stopped, and goes on`;

/** @returns undefined if help was asked for, and printed. @throws OptionError */
export function parseArguments(args: readonly string[]): Arguments | undefined {
  const command = describeCommand();
  if (!parse(command, args)) return undefined;
  const { checkpoint, data, nll = [100], images, batch, seed, state, headed = false, json = false } = command.opts();
  const { node = false, driver } = command.opts();
  refuseEmpty({ checkpoint, data, state, driver });
  refuseDriverAlone({ node, driver });
  return {
    checkpoint: resolvePath(checkpoint),
    data: data && resolveData(data),
    state: state && resolvePath(state),
    ...{ nll, images, batch, seed, node, driver, headed, json },
  };
}

function describeCommand(): Command {
  return createCommand(COMMAND)
    .usage('--checkpoint <file> [options]')
    .description('Estimates how likely test images or sentences are under a VAE that was trained, in headless Chrome.')
    .requiredOption('--checkpoint <file>', 'checkpoint.safetensors or model.safetensors of a run, or its folder')
    .option('--nll <K>', 'samples of z an image (default: 100); several, as 1,10,100, give a row each', listOf('nll'))
    .option(
      '--data <where>',
      `folder or http(s) address of images (default: the built-in digits, if these were trained on): ${ACCEPTED}; of a ` +
        `text-vae, ${TEXT_ACCEPTED}`,
    )
    .option(
      '--images <n>',
      'only the first n test images or sentences, for a quick look',
      wholeOf('images', 1, 2 ** 31),
    )
    .option('--batch <n>', 'images at once', wholeOf('batch', 1, 65536), 250)
    .option('--seed <n>', 'of the noise; the same gives the same bits', wholeOf('seed', 0, 2 ** 32 - 1), 0)
    .option('--state <file>', 'keep in this file what is done, and go on from it where it is there')
    .option('--node', 'in Node, without a browser; reads IDX and CIFAR files')
    .option('--driver <name>', `with --node: ${DRIVER_HELP}`)
    .option('--headed', 'show the browser')
    .option('--json', 'one JSON line an event on standard output, and nothing else')
    .addHelpText('after', NOTES);
}

function listOf(name: string): (text: string) => number[] {
  const parse = wholeOf(name, 1, MAX_SAMPLES);
  return (text) => [...new Set(text.split(',').map(parse))].sort((a, b) => a - b);
}

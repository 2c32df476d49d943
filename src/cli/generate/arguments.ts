// The options of `npm run generate`.
import { SENTENCES } from '../../train/sentences.ts';
import { createCommand, numberOf, parse, refuseEmpty, resolvePath, wholeOf } from '../arguments.ts';
import { type Given, NEAR } from './asked.ts';

export interface Arguments {
  /** A checkpoint, weights, or a run folder. */
  readonly checkpoint: string;
  readonly headed: boolean;
  readonly given: Given;
}

const COMMAND = 'npm run generate --';

const NOTES = `
The text goes to standard output as it is made, and how fast to standard error. The same seed gives the same text.

Examples:
  ${COMMAND} --checkpoint runs/gpt-2026-01-31-120000 --prompt 'ROMEO:'
  ${COMMAND} --checkpoint runs/shakespeare --tokens 1000 --temperature 0.8 --top-k 40 --seed 1
  ${COMMAND} --checkpoint runs/text-vae --sentences 20 --temperature 0.7
  ${COMMAND} --checkpoint runs/text-vae --from 'the old fox sleeps.'
  ${COMMAND} --checkpoint runs/text-vae --from 'the old fox sleeps.' --to 'all kings rest by the sea.'`;

/** @returns undefined if help was asked for, and printed. @throws OptionError */
export function parseArguments(args: readonly string[]): Arguments | undefined {
  const command = createCommand(COMMAND)
    .usage('--checkpoint <file> [options]')
    .description('Writes text with a gpt, or sentences with a text-vae, that was trained, in headless Chrome.')
    .requiredOption('--checkpoint <file>', 'checkpoint.safetensors or model.safetensors of a run, or its folder')
    .option('--prompt <text>', 'gpt: what the text begins with', '\n')
    .option('--tokens <n>', 'gpt: how many are written', wholeOf('tokens', 1, 1e9), 500)
    .option(
      '--from <sentence>',
      "text-vae: its code's KL and its bound, and what the model writes from that code; with --to, where a walk begins",
    )
    .option('--to <sentence>', 'text-vae: where a walk from --from ends')
    .option(
      '--sentences <n>',
      `text-vae: how many (default: ${SENTENCES}; ${NEAR} that are drawn near the code of --from)`,
      wholeOf('sentences', 1, 1e6),
    )
    .option(
      '--temperature <n>',
      'of tokens of a gpt and codes of a text-vae: above 1 more varied, below 1 more likely; 0 takes the likeliest',
      numberOf('temperature', 0, 100),
      1,
    )
    .option(
      '--word-temperature <n>',
      'text-vae: the same of the words of a code (default: 0, the likeliest)',
      numberOf('word-temperature', 0, 100),
    )
    .option('--top-k <n>', 'draw from the n likeliest tokens alone (0: all)', wholeOf('top-k', 0, 2 ** 31), 0)
    .option(
      '--top-p <n>',
      'draw from the fewest tokens that have this probability together',
      numberOf('top-p', 0, 1),
      1,
    )
    .option('--seed <n>', 'the same gives the same text', wholeOf('seed', 0, 2 ** 32 - 1), 0)
    .option('--no-cache', 'gpt: compute all before each token again, for comparison')
    .option('--headed', 'show the browser')
    .addHelpText('after', NOTES);
  if (!parse(command, args)) return undefined;
  const { headed = false, checkpoint, ...rest } = command.opts();
  refuseEmpty({ checkpoint, prompt: rest.prompt, from: rest.from, to: rest.to });
  const typed = new Set(Object.keys(rest).filter((name) => command.getOptionValueSource(name) === 'cli'));
  return { checkpoint: resolvePath(checkpoint), headed, given: { ...(rest as Omit<Given, 'typed'>), typed } };
}

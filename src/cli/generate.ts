// `npm run generate`: writes text with a model that was trained, in headless Chrome, as it is made.
import { readFileSync } from 'node:fs';
import { decodeTrained } from '../train/checkpoint.ts';
import { UNSEEN_WORDS } from '../train/sentences.ts';
import { showPath } from './arguments.ts';
import { parseArguments } from './generate/arguments.ts';
import { askedOf } from './generate/asked.ts';
import type * as generatePage from './generate/page.ts';
import { type Job, type Outcome, TELL } from './generate/protocol.ts';
import { modelOf } from './generate/work.ts';
import { findModel } from './model_file.ts';
import { callOf, errorOf, inPage } from './page.ts';
import type { PageServer } from './page_server.ts';
import { serveFiles } from './train/serve.ts';

export async function main(args: string[], { server }: { server: PageServer }): Promise<number> {
  const parsed = parseArguments(args);
  if (!parsed) return 0;
  const { checkpoint, headed, given } = parsed;
  const path = findModel(checkpoint);
  const bytes = readFileSync(path);
  const name = showPath(path);
  // What can be told now is told before there is a browser.
  const trained = await modelOf(decodeTrained(bytes, name));
  const what = askedOf(trained, given);
  const job: Job = { trained: name, what };
  const base = serveFiles(server, {
    files: { 'job.json': JSON.stringify(job), trained: bytes },
    data: undefined,
    save() {
      throw new Error('nothing is to be written');
    },
  });
  if (what.kind === 'prompt') process.stdout.write(what.prompt);
  else if (Number(trained.options.wordDropout) === 1) console.error(`glia: ${UNSEEN_WORDS}`);
  const outcome = await inPage<Outcome>({
    ...{ server, headed, name: 'generate', during: 'the model was writing' },
    call: callOf<typeof generatePage>('run', base),
    functions: { [TELL]: (text: string) => void process.stdout.write(text) },
  });
  if (what.kind === 'prompt') process.stdout.write('\n');
  if (outcome.event === 'error') throw errorOf(outcome);
  const { adapter, count, unit, seconds } = outcome;
  const pace = seconds > 0 ? `, ${Math.round(count / seconds)} a second` : '';
  console.error(`glia: ${count} ${unit} in ${seconds.toFixed(1)} s${unit === 'tokens' ? pace : ''}, on ${adapter}`);
  return 0;
}

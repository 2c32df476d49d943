// `npm run generate`: writes text with a gpt that was trained, in headless Chrome, as it is made.
import { readFileSync } from 'node:fs';
import type { ViteDevServer } from 'vite';
import { decodeTrained } from '../train/checkpoint.ts';
import { trainedGpt } from '../train/trained_text.ts';
import { showPath } from './arguments.ts';
import { findModel } from './evaluate/model.ts';
import { parseArguments } from './generate/arguments.ts';
import type * as generatePage from './generate/page.ts';
import { type Job, type Outcome, TELL } from './generate/protocol.ts';
import { callOf, errorOf, inPage } from './page.ts';
import { serveFiles } from './train/serve.ts';

export async function main(args: string[], { server }: { server: ViteDevServer }): Promise<number> {
  const parsed = parseArguments(args);
  if (!parsed) return 0;
  const { checkpoint, headed, ...how } = parsed;
  const path = findModel(checkpoint);
  const trained = readFileSync(path);
  const job: Job = { ...how, trained: showPath(path) };
  // What can be told now is told before there is a browser.
  trainedGpt(decodeTrained(trained, job.trained)).vocabulary.encode(job.prompt);
  const base = serveFiles(server, {
    files: { 'job.json': JSON.stringify(job), trained },
    data: undefined,
    save() {
      throw new Error('nothing is to be written');
    },
  });
  process.stdout.write(job.prompt);
  const outcome = await inPage<Outcome>({
    ...{ server, headed, name: 'generate', during: 'the model was writing' },
    call: callOf<typeof generatePage>('run', base),
    functions: { [TELL]: (text: string) => void process.stdout.write(text) },
  });
  process.stdout.write('\n');
  if (outcome.event === 'error') throw errorOf(outcome);
  const { adapter, tokens, seconds } = outcome;
  console.error(
    `glia: ${tokens} tokens in ${seconds.toFixed(1)} s, ${Math.round(tokens / seconds)} a second, on ${adapter}`,
  );
  return 0;
}

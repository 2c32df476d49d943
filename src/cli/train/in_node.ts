// `npm run train -- --node`: the same work as the page's, in this process, on a Vulkan driver. It makes no pictures, which take a canvas.
import { likeAPage } from '../node_page.ts';
import { errorOf } from '../page.ts';
import { type Outcome, TELL } from './protocol.ts';
import { type PageRun, serveFiles } from './serve.ts';

/** @throws what the training throws */
export async function trainInNode(run: PageRun & { readonly driver: string | undefined }) {
  const { server, job, data, checkpoint, init, tokenizer, save, tell, stop, driver } = run;
  const files = { 'job.json': JSON.stringify(job), checkpoint, init, 'tokenizer.json': tokenizer };
  const path = serveFiles(server, { files, data, save });
  const base = await likeAPage(server, path, driver, { [TELL]: tell });
  const page = await import('./page.ts');
  const outcome: Outcome = await page.run(base, stop);
  if (outcome.event === 'error') throw errorOf(outcome);
  return outcome;
}

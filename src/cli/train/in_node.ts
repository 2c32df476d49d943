// `npm run train -- --node`: the same work as the page's, in this process, on a Vulkan driver. It makes no pictures, which take a canvas.
import { startDawn } from '../dawn/dawn.ts';
import { errorOf } from '../page.ts';
import { type Outcome, TELL, type Tell } from './protocol.ts';
import { type PageRun, serveFiles } from './serve.ts';

/** @throws what the training throws */
export async function trainInNode(run: PageRun & { readonly driver: string | undefined }) {
  const { server, job, data, checkpoint, save, tell, stop, driver } = run;
  if (!server.httpServer?.listening) await server.listen();
  await startDawn(driver);
  const path = serveFiles(server, { files: { 'job.json': JSON.stringify(job), checkpoint }, data, save });
  Object.assign(globalThis, { [TELL]: async (...args: Parameters<Tell>) => tell(...args) });
  const page = await import('./page.ts');
  const base = new URL(path.slice(1), server.resolvedUrls!.local[0]).href;
  const outcome: Outcome = await page.run(base, stop);
  if (outcome.event === 'error') throw errorOf(outcome);
  return outcome;
}

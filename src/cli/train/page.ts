// The page that trains: serves it what it needs, takes what it makes, and watches over its browser.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ViteDevServer } from 'vite';
import type { Files } from '../../data/files.ts';
import * as errors from '../../errors.ts';
import { launchBrowser } from '../browser.ts';
import { DATA, type DataList, type Job, type Outcome, STOP, TELL, type Tell } from './protocol.ts';

export interface PageRun {
  readonly server: ViteDevServer;
  readonly job: Job;
  /** What --data means; the built-in digits without. */
  readonly data: Files | undefined;
  readonly checkpoint: Uint8Array | undefined;
  readonly headed: boolean;
  readonly tell: (...args: Parameters<Tell>) => void;
  readonly save: (name: string, bytes: Uint8Array) => void;
  /** Asks the page to stop, with a checkpoint. */
  readonly stop: AbortSignal;
}

/** @throws the page's errors, as what they were; DeviceLostError if the tab or the browser is gone */
export async function trainInPage(run: PageRun): Promise<Exclude<Outcome, { event: 'error' }>> {
  const { server, headed, tell, stop } = run;
  // Whoever else is on this machine does not know the path.
  const base = `/${randomBytes(16).toString('hex')}`;
  const find = served(run);
  // Behind Vite's own handlers comes only its 404.
  server.middlewares.stack.unshift({
    route: base,
    handle: (request: IncomingMessage, response: ServerResponse) => respond(request, response, find, run.save),
  });
  await server.listen();
  const browser = await launchBrowser({ headed }).catch((error: Error) => {
    if (error instanceof errors.GliaError) throw error;
    throw new errors.UnsupportedError(`the browser does not start: ${error.message.split('\n')[0]}`, { cause: error });
  });
  try {
    const page = await browser.newPage();
    const gone = new Promise<never>((_, reject) => {
      const fail = (what: string) => reject(new errors.DeviceLostError(`${what} while the model was training`));
      page.once('error', () => fail('the browser tab crashed'));
      page.once('close', () => fail('the browser tab was closed'));
      browser.once('disconnected', () => fail('the browser was closed or crashed'));
    });
    gone.catch(() => {});
    await page.exposeFunction(TELL, tell);
    await page.goto(new URL('demos/train/headless.html', server.resolvedUrls?.local[0]).href);
    const ask = () => page.evaluate(`dispatchEvent(new Event('${STOP}'))`).catch(() => {});
    stop.addEventListener('abort', ask);
    const outcome = page.evaluate(`import('/demos/train/headless.ts').then(({ run }) => run('${base}'))`);
    const result = (await Promise.race([outcome, gone])) as Outcome;
    if (result.event === 'error') throw errorOf(result);
    return result;
  } finally {
    await browser.close().catch(() => {});
  }
}

type Content = string | Uint8Array | undefined;

/** What the page may ask for, by its path. */
function served({ job, data, checkpoint }: PageRun): (path: string) => Content | Promise<Content> {
  const list: DataList | undefined = data && { name: data.name, paths: data.paths };
  const paths = new Set(data?.paths);
  const files = new Map<string, Content>([
    ['job.json', JSON.stringify(job)],
    [`${DATA}.json`, JSON.stringify(list ?? null)],
    ['checkpoint', checkpoint],
  ]);
  return async (path) => {
    const inner = path.slice(DATA.length + 1);
    if (!path.startsWith(`${DATA}/`) || !paths.has(inner)) return files.get(path);
    return new Uint8Array(await (await data!.read(inner)).arrayBuffer());
  };
}

/** GET gives a file of the job, POST takes one that the page has made. */
async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  find: ReturnType<typeof served>,
  save: PageRun['save'],
): Promise<void> {
  const name = decodeURIComponent((request.url ?? '').replace(/^\//, ''));
  const answer = (status: number, content?: string | Uint8Array) => response.writeHead(status).end(content);
  try {
    if (request.method === 'POST') {
      const parts: Uint8Array[] = [];
      for await (const part of request) parts.push(part);
      save(name, Buffer.concat(parts));
      answer(204);
    } else {
      const content = await find(name);
      if (content === undefined) answer(404);
      else answer(200, content);
    }
  } catch (error) {
    answer(500, (error as Error).message);
  }
}

/** The page's error as the type that it was there. */
export function errorOf({ name, message }: { name: string; message: string }): Error {
  const known = Object.entries(errors).find(([key]) => key === name)?.[1];
  return known ? new known(message) : new errors.GliaError(`the page failed: ${name}: ${message}`);
}

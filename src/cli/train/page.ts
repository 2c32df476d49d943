// The page that trains: serves it what it needs, takes what it makes, and watches over its browser.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ViteDevServer } from 'vite';
import type { Dataset } from '../../data/images.ts';
import { errorOf, inPage } from '../page.ts';
import { type Job, type Outcome, STOP, TELL, type Tell } from './protocol.ts';

export interface PageRun {
  readonly server: ViteDevServer;
  readonly job: Omit<Job, 'dataset'>;
  readonly dataset: Dataset;
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
  const base = serveFiles(server, filesOf(run), run.save);
  const result = await inPage<Outcome>({
    ...{ server, headed, path: 'demos/train/headless', call: `run('${base}')`, during: 'the model was training' },
    functions: { [TELL]: tell },
    opened: (page) => {
      const ask = () => page.evaluate(`dispatchEvent(new Event('${STOP}'))`).catch(() => {});
      stop.addEventListener('abort', ask);
    },
  });
  if (result.event === 'error') throw errorOf(result);
  return result;
}

/** Lets the page fetch files, and post those that it makes. @returns the path that they are under */
export function serveFiles(
  server: ViteDevServer,
  files: ReadonlyMap<string, string | Uint8Array>,
  save: PageRun['save'],
): string {
  // Whoever else is on this machine does not know the path.
  const base = `/${randomBytes(16).toString('hex')}`;
  // Behind Vite's own handlers comes only its 404.
  server.middlewares.stack.unshift({
    route: base,
    handle: (request: IncomingMessage, response: ServerResponse) => respond(request, response, files, save),
  });
  return base;
}

function filesOf({ job, dataset, checkpoint }: PageRun): ReadonlyMap<string, string | Uint8Array> {
  const files = new Map<string, string | Uint8Array>();
  const outline = (split: 'train' | 'test') => {
    const { images, labels, ...rest } = dataset[split];
    files.set(`${split}.images`, images);
    if (labels) files.set(`${split}.labels`, labels);
    return rest;
  };
  const described: Job = { ...job, dataset: { name: dataset.name, train: outline('train'), test: outline('test') } };
  files.set('job.json', JSON.stringify(described));
  if (checkpoint) files.set('checkpoint', checkpoint);
  return files;
}

/** GET gives a file of the job, POST takes one that the page has made. */
async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  files: ReadonlyMap<string, string | Uint8Array>,
  save: PageRun['save'],
): Promise<void> {
  const name = (request.url ?? '').replace(/^\//, '');
  const answer = (status: number, content?: string | Uint8Array) => response.writeHead(status).end(content);
  try {
    if (request.method === 'POST') {
      const parts: Uint8Array[] = [];
      for await (const part of request) parts.push(part);
      save(name, Buffer.concat(parts));
      answer(204);
    } else {
      const content = files.get(name);
      if (content === undefined) answer(404);
      else answer(200, content);
    }
  } catch (error) {
    answer(500, (error as Error).message);
  }
}

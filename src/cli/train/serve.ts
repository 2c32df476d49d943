// The page that trains: serves it what it needs, takes what it makes, and watches over its browser.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Page } from 'puppeteer-core';
import type { Files } from '../../data/files.ts';
import { DeviceLostError } from '../../errors.ts';
import { callOf, errorOf, inPage } from '../page.ts';
import type { PageServer } from '../page_server.ts';
import type * as trainPage from './page.ts';
import { DATA, type DataList, type Job, type Outcome, STOP, TELL, type Tell } from './protocol.ts';

export interface PageRun {
  readonly server: PageServer;
  readonly job: Job;
  /** What --data means; the built-in digits without. */
  readonly data: Files | undefined;
  readonly checkpoint: Uint8Array | undefined;
  /** Weights that a new run begins with. */
  readonly init?: Uint8Array | undefined;
  /** A tokenizer.json. */
  readonly tokenizer?: string | undefined;
  readonly headed: boolean;
  /** How long the page may say nothing: seconds. */
  readonly patience: number;
  readonly tell: (...args: Parameters<Tell>) => void;
  readonly save: (name: string, bytes: Uint8Array) => void;
  /** Asks the page to stop, with a checkpoint. */
  readonly stop: AbortSignal;
}

/** @throws the page's errors, as what they were; DeviceLostError if the tab or the browser is gone, or does not answer */
export async function trainInPage(run: PageRun): Promise<Exclude<Outcome, { event: 'error' }>> {
  const { server, headed, patience, tell, stop, job, data, checkpoint, init, tokenizer, save } = run;
  const files = { 'job.json': JSON.stringify(job), checkpoint, init, 'tokenizer.json': tokenizer };
  /** What the command itself could not do with what it was told. */
  let failure: Error | undefined;
  let watch: Watch | undefined;
  const base = serveFiles(server, { files, data, save });
  try {
    const result = await inPage<Outcome>({
      ...{
        server,
        headed,
        name: 'train',
        call: callOf<typeof trainPage>('run', base),
        during: 'the model was training',
      },
      functions: {
        [TELL](...args: Parameters<Tell>) {
          try {
            tell(...args);
          } catch (error) {
            failure = error as Error;
            throw error;
          }
        },
      },
      opened: (page) => {
        watch = new Watch(page, patience);
        const ask = () => page.evaluate(`dispatchEvent(new Event('${STOP}'))`).catch(() => {});
        stop.addEventListener('abort', ask);
      },
    });
    if (result.event === 'error') throw errorOf(result);
    return result;
  } catch (error) {
    throw failure ?? watch?.silence ?? error;
  } finally {
    watch?.end();
  }
}

/** Asks a page now and then whether it is there, and ends a browser whose page has not answered for too long. */
class Watch {
  /** What is wrong, once it is. */
  silence: DeviceLostError | undefined;
  private readonly timer: NodeJS.Timeout;
  private heard = performance.now();
  private asking = false;

  /** @param patience seconds */
  constructor(page: Page, patience: number) {
    const look = async () => {
      if (performance.now() - this.heard > 1000 * patience) {
        this.silence = new DeviceLostError(`the page did not answer for ${patience} s while the model was training`);
        this.end();
        page.browser().process()?.kill('SIGKILL');
      }
      if (this.asking) return;
      this.asking = true;
      // A page that is gone is noticed elsewhere.
      const answered = await page.evaluate('true').catch(() => false);
      if (answered) this.heard = performance.now();
      this.asking = false;
    };
    this.timer = setInterval(look, (1000 * patience) / 10);
  }

  end(): void {
    clearInterval(this.timer);
  }
}

type Content = string | Uint8Array | undefined;

export interface Served {
  /** By name. */
  readonly files: Readonly<Record<string, Content>>;
  /** What --data means; the built-in digits without. */
  readonly data: Files | undefined;
  /** Takes what the page posts. */
  readonly save: PageRun['save'];
}

/** Lets the page fetch files and data, and post what it makes. @returns the path that they are under */
export function serveFiles(server: PageServer, served: Served): string {
  // Whoever else is on this machine does not know the path.
  const base = `/${randomBytes(16).toString('hex')}`;
  const find = finder(served);
  server.addFolder(base, (request, response) => respond(request, response, find, served.save));
  return base;
}

/** What the page may ask for, by its path. */
function finder({ files, data }: Served): (path: string) => Content | Promise<Content> {
  const list: DataList | undefined = data && { name: data.name, paths: data.paths };
  const paths = new Set(data?.paths);
  const known = new Map(Object.entries({ ...files, [`${DATA}.json`]: JSON.stringify(list ?? null) }));
  return async (path) => {
    const inner = path.slice(DATA.length + 1);
    if (!path.startsWith(`${DATA}/`) || !paths.has(inner)) return known.get(path);
    return new Uint8Array(await (await data!.read(inner)).arrayBuffer());
  };
}

/** GET gives a file of the job, POST takes one that the page has made. */
async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  find: ReturnType<typeof finder>,
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

// What a command's page is loaded from: an empty page, the bundled modules of the pages, and what the command adds.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import sirv from 'sirv';

const PAGE = '/page.html';
/** Where `bundle.mjs` puts them. */
const BUNDLED = 'node_modules/.commands';

/** Its requests' addresses begin where the folder ends that it answers for. */
type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

const missing = (response: ServerResponse) => void response.writeHead(404).end();

export class PageServer {
  private readonly folders = new Map<string, Handler>();
  private readonly server = createServer((request, response) => this.answer(request, response));
  private listening: Promise<string> | undefined;

  constructor() {
    this.addFolder(PAGE, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end(readFileSync('src/cli/page.html'));
    });
    const bundled = sirv(BUNDLED, { dev: true });
    this.addFolder(`/${BUNDLED}`, (request, response) => bundled(request, response, () => missing(response)));
  }

  /** Lets a handler answer for all that begins with `folder`. */
  addFolder(folder: string, handle: Handler): void {
    this.folders.set(folder, handle);
  }

  /** Listens, from the first call on. @returns the address of the server's root */
  start(): Promise<string> {
    this.listening ??= new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(0, '127.0.0.1', () => {
        resolve(`http://127.0.0.1:${(this.server.address() as AddressInfo).port}`);
      });
    });
    return this.listening;
  }

  /** @returns the address of a page with nothing in it; WebGPU wants one from a local or secure address */
  async page(): Promise<string> {
    return (await this.start()) + PAGE;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const { url = '/' } = request;
    for (const [folder, handle] of this.folders) {
      if (!url.startsWith(folder)) continue;
      request.url = url.slice(folder.length);
      handle(request, response);
      return;
    }
    missing(response);
  }
}

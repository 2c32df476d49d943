// A web server as plain as can be: files of a folder, below a path.
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

export interface StaticServer {
  readonly address: string;
  stop(): Promise<void>;
}

export async function serveFolder(folder: string, below: string): Promise<StaticServer> {
  const server: Server = createServer(({ url = '/' }, response) => {
    const path = decodeURIComponent(url.split('?')[0]!);
    const file = path.startsWith(below) ? path.slice(below.length) : undefined;
    try {
      const name = file === undefined || file.endsWith('/') || file === '' ? `${file ?? 'none'}index.html` : file;
      const bytes = readFileSync(join(folder, normalize(name)));
      response.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream' }).end(bytes);
    } catch {
      response.writeHead(404).end('not found');
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}${below}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

// A command on a bare machine, from the folder that holds node_modules as `npm run measure -- --pack` packed it: node command.mjs NAME OPTIONS…
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [name, ...args] = process.argv.slice(2);
const bundles = resolve('node_modules/.commands');
const load = (file) => import(pathToFileURL(join(bundles, readdirSync(bundles)[0], `${file}.mjs`)).href);
const { PageServer } = await load('page_server');
const server = new PageServer();
try {
  const { main } = await load(name);
  process.exitCode = await main(args, { server });
} catch (error) {
  const { GliaError } = await load('errors');
  console.error(error instanceof GliaError ? `glia: ${error.message}` : error);
  process.exitCode = 1;
}
server.close();
process.exit();

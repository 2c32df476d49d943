// One of the commands that `bundle.mjs` made: for `npm run`, and for a bare machine (`measure/command.mjs`).
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** @returns the exit code; undefined if nothing is bundled under that name, or no command */
export async function runBundled(folder, command, args) {
  if (!existsSync(join(folder, `${command}.mjs`))) return undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A command with a handler of its own ends by itself. Without one, leave through process.exit, not by the
      // signal's default, so that 'exit' handlers run and Puppeteer takes its browser along.
      if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
    });
  }
  const load = (name) => import(pathToFileURL(join(folder, `${name}.mjs`)).href);
  // Errors tell the lines of what was bundled.
  process.setSourceMapsEnabled(true);
  const { PageServer } = await load('page_server');
  const server = new PageServer();
  try {
    const { main } = await load(command);
    return typeof main === 'function' ? await main(args, { server }) : undefined;
  } catch (error) {
    const { GliaError } = await load('errors');
    console.error(error instanceof GliaError ? `glia: ${error.message}` : error);
    return 1;
  } finally {
    server.close();
  }
}

// A page's work in this process, for pages that need no more of a browser than `fetch` and WebGPU.
import type { ViteDevServer } from 'vite';
import { startDawn } from './dawn/dawn.ts';

/** Starts Dawn, and puts in place what such a page finds in a browser. @returns the address of what is served at `path` */
export async function likeAPage(
  server: ViteDevServer,
  path: string,
  driver: string | undefined,
  functions: Readonly<Record<string, (...args: never[]) => unknown>>,
): Promise<string> {
  if (!server.httpServer?.listening) await server.listen();
  await startDawn(driver);
  const awaited = Object.entries(functions).map(([name, told]) => [name, async (...args: never[]) => told(...args)]);
  Object.assign(globalThis, Object.fromEntries(awaited));
  return new URL(path.slice(1), server.resolvedUrls!.local[0]).href;
}

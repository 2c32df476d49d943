// A page's work in this process, for pages that need no more of a browser than `fetch` and WebGPU.
import { startDawn } from './dawn/dawn.ts';
import type { PageServer } from './page_server.ts';

/** Starts Dawn, and puts in place what such a page finds in a browser. @returns the address of what is served at `path` */
export async function likeAPage(
  server: PageServer,
  path: string,
  driver: string | undefined,
  functions: Readonly<Record<string, (...args: never[]) => unknown>>,
): Promise<string> {
  await startDawn(driver);
  const awaited = Object.entries(functions).map(([name, told]) => [name, async (...args: never[]) => told(...args)]);
  Object.assign(globalThis, Object.fromEntries(awaited));
  return (await server.start()) + path;
}

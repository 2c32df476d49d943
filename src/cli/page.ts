// A command's work in a page: opens it, calls a function of its module, and watches over the browser meanwhile.
import type { Page } from 'puppeteer';
import * as errors from '../errors.ts';
import { launchBrowser } from './browser.ts';
import type { PageServer } from './page_server.ts';

export interface PageWork {
  readonly server: PageServer;
  /** The command: `src/cli/NAME/page.ts` is its module. */
  readonly name: string;
  /** The call of one of the module's exports; see `callOf`. */
  readonly call: string;
  readonly headed: boolean;
  /** What fails if the browser goes: `while …`. */
  readonly during: string;
  /** What the page may call, by name. */
  readonly functions?: Readonly<Record<string, (...args: never[]) => unknown>>;
  readonly opened?: (page: Page) => void;
}

/** A call of a function of a page, checked against its module: `callOf<typeof page>('run', base)`. */
export function callOf<Module extends object, Name extends keyof Module & string = keyof Module & string>(
  name: Name,
  ...args: Module[Name] extends (...args: infer Args) => unknown ? Args : never
): string {
  return `${name}(${args.map((arg) => JSON.stringify(arg)).join(', ')})`;
}

/** Prints what a page warns of: kernels that its driver gets wrong. */
export function printWarnings(page: Page): void {
  page.on('console', (message) => {
    if (message.text().startsWith('glia: ')) console.error(message.text());
  });
}

/**
 * @returns what the call returned
 * @throws DeviceLostError if the tab or the browser is gone, UnsupportedError if no browser starts
 */
export async function inPage<T>(work: PageWork): Promise<T> {
  const { server, name, call, headed, during, functions = {}, opened } = work;
  const address = await server.page();
  const browser = await launchBrowser({ headed }).catch((error: Error) => {
    if (error instanceof errors.GliaError) throw error;
    throw new errors.UnsupportedError(`the browser does not start: ${error.message.split('\n')[0]}`, { cause: error });
  });
  try {
    const page = await browser.newPage();
    printWarnings(page);
    const gone = new Promise<never>((_, reject) => {
      const fail = (what: string) => reject(new errors.DeviceLostError(`${what} while ${during}`));
      page.once('error', () => fail('the browser tab crashed'));
      page.once('close', () => fail('the browser tab was closed'));
      browser.once('disconnected', () => fail('the browser was closed or crashed'));
    });
    gone.catch(() => {});
    for (const [name, told] of Object.entries(functions)) await page.exposeFunction(name, told);
    await page.goto(address);
    await page.evaluate(`document.title = 'Glia: ${name}'`);
    opened?.(page);
    return (await Promise.race([
      page.evaluate(`import('${PAGES}/${name}.js').then((page) => page.${call})`),
      gone,
    ])) as T;
  } finally {
    await browser.close().catch(() => {});
  }
}

/** The page's error as the type that it was there. */
export function errorOf({ name, message }: { name: string; message: string }): Error {
  const known = Object.entries(errors).find(([key]) => key === name)?.[1];
  return known ? new known(message) : new errors.GliaError(`the page failed: ${name}: ${message}`);
}

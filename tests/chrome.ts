// A Vitest browser provider over Puppeteer: test files run inside headless Chrome, where WebGPU is.
import type { defineBrowserProvider } from '@vitest/browser';
import type { Browser, Page } from 'puppeteer';
import { findBrowser, launchBrowser } from '../src/cli/browser.ts';

/** Vitest's global setup: installs a browser, if need be, before Vitest starts to count seconds. */
export async function setup(): Promise<void> {
  await findBrowser();
}

/** For `browser.provider` in the Vitest configuration. */
export function chrome(): ReturnType<typeof defineBrowserProvider> {
  return {
    name: 'puppeteer',
    supportedBrowser: ['chrome'],
    options: {},
    providerFactory: createProvider,
    // Loaded by tests alone: every command reads Vite's configuration, too.
    serverFactory: async (options) => (await import('@vitest/browser')).createBrowserServer(options),
  };
}

function createProvider() {
  let browser: Promise<Browser> | undefined;
  const pages = new Map<string, Page>();
  return {
    name: 'puppeteer',
    // One page at a time: a software adapter uses every core already, and timings would disturb one another.
    supportsParallelism: false,
    async openPage(session: string, url: string) {
      browser ??= launchBrowser();
      const page = await (await browser).newPage();
      pages.set(session, page);
      await page.goto(url);
    },
    getCommandsContext: (session: string) => ({ page: pages.get(session) }),
    async getCDPSession(session: string) {
      const page = pages.get(session);
      if (!page) throw new Error(`the test session ${session} has no page`);
      const client = await page.createCDPSession();
      // Vitest's session type knows every method by name; Puppeteer's is the same thing with types of its own.
      // biome-ignore lint/suspicious/noExplicitAny: two declarations of one protocol
      return client as any;
    },
    async close() {
      const running = await browser?.catch(() => undefined);
      browser = undefined;
      pages.clear();
      await running?.close();
    },
  };
}

// The built site in a browser: where it is measured, and where the GPU process is killed under it.
import type { Page } from 'puppeteer';
import { preview } from 'vite';
import { launchBrowser } from '../browser.ts';

/** @param work is given a page, and the address of the studio */
export async function inSite<T>(folder: string, work: (page: Page, address: string) => Promise<T>): Promise<T> {
  const server = await preview({
    configFile: false,
    logLevel: 'warn',
    build: { outDir: folder },
    preview: { port: 0 },
  });
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(300_000);
    return await work(page, server.resolvedUrls!.local[0]!);
  } finally {
    await browser.close().catch(() => {});
    await server.close();
  }
}

/** The step that the studio shows; NaN before there is a run. */
export const shownStep = (page: Page): Promise<number> =>
  page.evaluate(() => Number.parseInt(document.querySelector('#numbers dd')?.textContent ?? '', 10));

/** Sets options of the form, and empties all others, which are the model's defaults then. */
export async function fillOptions(page: Page, options: Readonly<Record<string, unknown>>): Promise<void> {
  const set = (name: string, value: string) =>
    page.$eval(
      `#prepare [name=${name}]`,
      (field, to) => {
        (field as HTMLInputElement).value = to;
        field.dispatchEvent(new Event('input', { bubbles: true }));
        field.dispatchEvent(new Event('change', { bubbles: true }));
      },
      value,
    );
  // Of another model, there are other fields.
  await set('model', String(options.model ?? 'vae'));
  const names = await page.$$eval('#prepare .fields [name]', (fields) =>
    fields.map((field) => field.getAttribute('name')!),
  );
  for (const name of names) if (name !== 'model') await set(name, String(options[name] ?? ''));
}

// The page that trains, as a person uses it: start, pause, bring data, and what it says when something is wrong.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from '../src/cli/browser.ts';

const TIMEOUT = 180_000;

let server: ViteDevServer;
let browser: Browser;
const scratch = mkdtempSync(join(tmpdir(), 'glia-page-'));
/** What the browser complained about. */
const complaints: string[] = [];

beforeAll(async () => {
  server = await createServer({ logLevel: 'warn', server: { host: '127.0.0.1', port: 0, watch: null } });
  await server.listen();
  browser = await launchBrowser();
}, TIMEOUT);

afterAll(async () => {
  await browser?.close();
  await server?.close();
  rmSync(scratch, { recursive: true, force: true });
});

async function open(prepare: (page: Page) => Promise<unknown> = async () => {}): Promise<Page> {
  const page = await browser.newPage();
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await prepare(page);
  await page.goto(new URL('demos/train/', server.resolvedUrls?.local[0]).href);
  return page;
}

const text = (page: Page, id: string) => page.$eval(`#${id}`, (element) => element.textContent ?? '');

/** Waits until the main button can be pressed and says this. */
async function offers(page: Page, label: string): Promise<void> {
  await page.waitForFunction(
    (wanted) => {
      const button = document.getElementById('play') as HTMLButtonElement | null;
      return button?.textContent === wanted && !button.disabled;
    },
    { timeout: TIMEOUT },
    label,
  );
}

async function step(page: Page): Promise<number> {
  return Number.parseInt(await page.$eval('#numbers dd', (element) => element.textContent ?? ''), 10);
}

async function fill(page: Page, values: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    await page.$eval(`[name=${name}]`, (field, to) => ((field as HTMLInputElement).value = to), value);
  }
}

test('trains, pauses, goes on and begins anew', { timeout: TIMEOUT }, async () => {
  const page = await open();
  await offers(page, 'Start');
  expect(await text(page, 'adapter')).toMatch(/\S/);
  await fill(page, { hidden: '32', latent: '2', batch: '16' });
  await page.click('#play');
  await offers(page, 'Pause');
  await page.waitForFunction(() => Number.parseInt(document.querySelector('#numbers dd')?.textContent ?? '', 10) > 20);
  await page.click('#play');
  await offers(page, 'Resume');
  const paused = await step(page);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await step(page)).toBe(paused);
  // Each picture shows something: not one colour all over.
  const colors = await page.$$eval('#pictures canvas', (canvases) =>
    canvases.map((canvas) => {
      const { width, height } = canvas;
      const { data } = canvas.getContext('2d')!.getImageData(0, 0, width, height);
      return new Set(data).size;
    }),
  );
  expect(colors).toHaveLength(3);
  for (const count of colors) expect(count).toBeGreaterThan(10);
  await page.click('#play');
  await offers(page, 'Pause');
  await page.waitForFunction(
    (before) => Number.parseInt(document.querySelector('#numbers dd')?.textContent ?? '', 10) > before,
    {},
    paused,
  );
  await page.click('#reset');
  await offers(page, 'Start');
  expect(complaints).toEqual([]);
  await page.close();
});

test('tells what is wrong with a file, and goes on without it', { timeout: TIMEOUT }, async () => {
  const page = await open();
  await offers(page, 'Start');
  const bad = join(scratch, 'train-images-idx3-ubyte');
  writeFileSync(bad, Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 8, 1, 2, 3));
  const input = await page.$('input[type=file]');
  await (input as unknown as { uploadFile(path: string): Promise<void> }).uploadFile(bad);
  await page.waitForSelector('#error:not([hidden])');
  expect(await text(page, 'error')).toMatch(/train-images-idx3-ubyte is cut short/);
  await offers(page, 'Start');
  expect(complaints).toEqual([]);
  await page.close();
});

test('trains on colour images that were dropped, read again in another size', { timeout: TIMEOUT }, async () => {
  const page = await open();
  await offers(page, 'Start');
  // A browser's own encoder makes them, and the page sees them dropped.
  await page.evaluate(async () => {
    const transfer = new DataTransfer();
    for (let i = 0; i < 40; i++) {
      const canvas = new OffscreenCanvas(48, 40);
      const context = canvas.getContext('2d')!;
      context.fillStyle = `hsl(${9 * i} 90% 50%)`;
      context.fillRect(4 + (i % 8), 6, 30, 24);
      const blob = await canvas.convertToBlob({ type: i % 2 ? 'image/png' : 'image/jpeg' });
      transfer.items.add(new File([blob], `${i}.${i % 2 ? 'png' : 'jpg'}`));
    }
    dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, cancelable: true }));
  });
  const says = (what: string) =>
    page.waitForFunction((text) => document.getElementById('data-name')?.textContent?.includes(text), {}, what);
  await says('35 training and 5 test images of 40×40, in colour');
  await fill(page, { hidden: '16', latent: '2', batch: '8' });
  await page.$eval('[name=size]', (field) => {
    (field as HTMLInputElement).value = '16';
    field.dispatchEvent(new Event('change', { bubbles: true }));
  });
  await says('35 training and 5 test images of 16×16, in colour');
  await offers(page, 'Start');
  await page.click('#play');
  await page.waitForFunction(() => Number.parseInt(document.querySelector('#numbers dd')?.textContent ?? '', 10) > 4);
  const coloured = await page.$$eval('#preview, #pictures canvas', (canvases) =>
    canvases.map((canvas) => {
      const { width, height } = canvas as HTMLCanvasElement;
      const { data } = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height);
      return data.some((value, i) => i % 4 === 0 && Math.abs(value - data[i + 1]!) > 20);
    }),
  );
  expect(coloured.slice(0, 2)).toEqual([true, true]);
  expect(complaints).toEqual([]);
  await page.close();
});

test('says what to do where there is no WebGPU', { timeout: TIMEOUT }, async () => {
  const page = await open((blank) =>
    blank.evaluateOnNewDocument(() => Object.defineProperty(navigator, 'gpu', { value: undefined })),
  );
  await page.waitForSelector('#unsupported:not([hidden])');
  expect(await text(page, 'unsupported')).toMatch(/no WebGPU here: use a browser with WebGPU/);
  expect(await page.$eval('#play', (button) => (button as HTMLButtonElement).disabled)).toBe(true);
  expect(complaints).toEqual([]);
  await page.close();
});

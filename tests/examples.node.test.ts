// Every program of demos/examples/ on its page in Chrome: it runs, and does what it is an example of.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'puppeteer';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from '../src/cli/browser.ts';
import { sampled } from './sampled.ts';

const FOLDER = 'demos/examples';
const PAGE = ['main.ts', 'stage.ts'];
const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.ts') && !PAGE.includes(file))
  .map((file) => file.replace('.ts', ''));

let server: ViteDevServer;
let browser: Browser;

beforeAll(async () => {
  server = await createServer({ logLevel: 'warn', server: { host: '127.0.0.1', port: 0, watch: null } });
  await server.listen();
  browser = await launchBrowser({ canvases: true });
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** Opens the page of an example. @returns what its `run` returned */
async function show(name: string): Promise<unknown> {
  const page = await browser.newPage();
  const mistakes: string[] = [];
  page.on('pageerror', (error) => mistakes.push(String(error)));
  await page.goto(new URL(`${FOLDER}/?name=${name}`, server.resolvedUrls?.local[0]).href);
  const result = await page.evaluate('shown');
  expect(mistakes).toEqual([]);
  await page.close();
  return result;
}

/** What each shows when it has done what it is an example of. */
const shows: Record<string, (result: never) => void> = {
  perceptron: ({ error }: { error: number }) => expect(error).toBeLessThan(1e-3),
  custom_loss({ below }: { below: number[] }) {
    for (const [i, share] of [0.1, 0.5, 0.9].entries()) expect(Math.abs(below[i]! - share)).toBeLessThan(0.06);
  },
  custom_op: ({ error }: { error: number }) => expect(error).toBeLessThan(1e-3),
  learning_rate({ smooth }: { smooth: number[] }) {
    for (const [i, loss] of smooth.entries()) if (i > 0) expect(loss, `rate ${i}`).toBeLessThan(smooth[i - 1]!);
  },
  trainer({ accuracy, steps }: { accuracy: number; steps: number }) {
    expect(steps).toBe(240);
    expect(accuracy).toBeGreaterThan(0.97);
  },
  // A picture of one colour packs to next to nothing.
  three: ({ bitmap }: { bitmap: string }) => expect(bitmap.length).toBeGreaterThan(20_000),
};

// All of them open in a page of their own: `npm test` takes four, others each time.
test.each(sampled(names, 4))('%s', async (name) => {
  expect(shows[name], `what ${name} shows`).toBeDefined();
  shows[name]!((await show(name)) as never);
});

test('each is below 60 lines, which fit a screen', () => {
  for (const name of names) {
    const lines = readFileSync(join(FOLDER, `${name}.ts`), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines.length, name).toBeLessThan(60);
    expect(Math.max(...lines.map((line) => line.length)), name).toBeLessThanOrEqual(120);
  }
});

// The studio as a person uses it, in a real Chrome: built, served from a path of a plain file server.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, gzipSync } from 'node:zlib';
import type { Browser, ElementHandle, Page } from 'puppeteer';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { launchBrowser } from '../src/cli/browser.ts';
import { buildSite } from '../src/cli/site.ts';
import { TextVAE } from '../src/models/text_vae.ts';
import { randomFrom } from './numbers.ts';
import { idx, images, labels } from './small_data.ts';
import { encodeTextModel } from './small_models.ts';
import { type StaticServer, serveFolder } from './static_server.ts';

const TIMEOUT = 240_000;
/** For one state to come. */
const PATIENCE = 90_000;
/** These take their time, and what they show the others show in part: by `npm test -- --all`. */
const long = test.runIf(ALL_TESTS);
const scratch = mkdtempSync(join(tmpdir(), 'glia-studio-'));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server: StaticServer;
let browser: Browser;
let page: Page;
/** What the browser complained about. */
const complaints: string[] = [];

beforeAll(async () => {
  const { size } = await buildSite(join(scratch, 'site'));
  expect(size).toBeLessThan(200_000);
  server = await serveFolder(join(scratch, 'site'), '/some/where/');
  browser = await launchBrowser();
  page = await open();
}, TIMEOUT);

/** Whatever the test before left: nothing trains, and nothing has been said. */
beforeEach(async ({ onTestFailed }) => {
  // What a person would have read, since a time that is over says nothing.
  onTestFailed(async () => console.error('The page:', await page.evaluate('document.body.innerText'), complaints));
  await page.evaluate(() => (location.hash = '#/train'));
  await page.reload();
  complaints.length = 0;
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

async function open(prepare: (page: Page) => Promise<unknown> = async () => {}): Promise<Page> {
  const opened = await browser.newPage();
  opened.setDefaultTimeout(PATIENCE);
  opened.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) complaints.push(message.text());
  });
  opened.on('pageerror', (error) => complaints.push(String(error)));
  await prepare(opened);
  await opened.goto(server.address);
  return opened;
}

const text = (selector: string) => page.$eval(selector, (element) => element.textContent ?? '');
const says = (selector: string, what: string, of = page) =>
  of.waitForFunction((at, wanted) => document.querySelector(at)?.textContent?.includes(wanted), {}, selector, what);
const enabled = (selector: string, of = page) => of.waitForSelector(`${selector}:not([disabled])`);
/** Clicks as soon as there is something, and it is not dead: at once, since what trains may be done in the next moment. */
const press = (selector: string, of = page) =>
  of.waitForFunction(
    (wanted) => {
      const found = document.querySelector<HTMLElement>(wanted);
      found?.click();
      return found !== null;
    },
    {},
    `${selector}:not([disabled])`,
  );
const go = async (name: string, of = page) => {
  await of.evaluate((hash) => (location.hash = hash), `#/${name}`);
};
const step = (of = page) => of.$eval('#numbers dd', (element) => Number.parseInt(element.textContent ?? '', 10));
const reaches = (wanted: number, of = page) =>
  of.waitForFunction(
    (least) => Number.parseInt(document.querySelector('#numbers dd')?.textContent ?? '', 10) >= least,
    {},
    wanted,
  );

async function fill(values: Record<string, string>, of = page): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    await of.$eval(
      `[name=${name}]`,
      (field, to) => {
        (field as HTMLInputElement).value = to;
        field.dispatchEvent(new Event('input', { bubbles: true }));
        field.dispatchEvent(new Event('change', { bubbles: true }));
      },
      value,
    );
  }
}

async function crashGpu(): Promise<void> {
  const session = await browser.target().createCDPSession();
  // What would answer is gone.
  void session.send('Browser.crashGpuProcess').catch(() => {});
}

/** Drops files on the page. */
function drop(files: Readonly<Record<string, Uint8Array>>, of = page): Promise<void> {
  const encoded = Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')] as const);
  return of.evaluate((all) => {
    const transfer = new DataTransfer();
    for (const [name, base64] of all) {
      transfer.items.add(new File([Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))], name));
    }
    dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, cancelable: true }));
  }, encoded);
}

/** Records of the runs in the browser, the newest first, with a digest of the newest snapshot of each. */
function kept(): Promise<{ id: string; name: string; step: number; options: { model: string }; digest: string }[]> {
  return page.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('runs');
    const found = [];
    for await (const folder of root.values()) {
      const read = async (name: string) => (await (folder as FileSystemDirectoryHandle).getFileHandle(name)).getFile();
      const record = JSON.parse(await (await read('run.json')).text());
      const bytes = await (await read(record.snapshot)).arrayBuffer();
      const digest = String(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
      found.push({ ...record, digest });
    }
    return found.sort((a, b) => b.created - a.created);
  });
}

/** Whether a canvas shows something: not one colour all over. */
const colors = (selector: string) =>
  page.$$eval(selector, (canvases) =>
    canvases.map((canvas) => {
      const { width, height } = canvas as HTMLCanvasElement;
      return new Set((canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height).data).size;
    }),
  );

/** The image that the model is given of what is drawn. */
const seen = () =>
  page.$eval('[aria-label="What the model sees"]', (canvas) => (canvas as HTMLCanvasElement).toDataURL());

/** axe's violations of the page as it is, in both schemes by default. */
async function violations(of = page, schemes = ['light', 'dark']): Promise<string[]> {
  const found: string[] = [];
  for (const scheme of schemes) {
    await of.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    if (!(await of.evaluate(() => 'axe' in globalThis))) await of.evaluate(axe);
    const all = (await of.evaluate('axe.run(document, { resultTypes: ["violations"] })')) as {
      violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
    };
    found.push(
      ...all.violations.map(({ id, nodes }) => `${scheme} ${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`),
    );
  }
  return found;
}

const data = { 'train-images-idx3-ubyte': images, 'train-labels-idx1-ubyte.gz': gzipSync(labels) };
const TINY = { hidden: '16', latent: '3', batch: '16', epochs: '6' };

test('a first visit: what this is, what it runs on, and where to go, by keyboard too', {
  timeout: TIMEOUT,
}, async () => {
  await go('');
  await page.waitForSelector('.choice');
  await page.waitForFunction(() => !document.getElementById('adapter')?.textContent?.includes('Looking'));
  expect(await text('#adapter')).toMatch(/\S/);
  expect(await violations()).toEqual([]);
  await page.focus('.choice');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#start');
  expect(await violations()).toEqual([]);
});

test('trains on images that were dropped, pauses, loses the GPU, is reloaded, and goes on to the same bits', {
  timeout: TIMEOUT,
}, async () => {
  await drop(data);
  await says('#data-name', '172 training and 28 test images of 8×8, of 10 classes');
  await press('[name=keep]');
  await fill({ ...TINY, epochs: '60' });
  await press('#start');
  await reaches(3);
  await press('#pause');
  await page.waitForSelector('#go-on');
  const paused = await step();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await step()).toBe(paused);
  const shown = await colors('#pictures canvas');
  expect(shown).toHaveLength(3);
  for (const count of shown) expect(count).toBeGreaterThan(10);
  expect(await violations()).toEqual([]);
  await press('#go-on');
  await reaches(paused + 1);
  await crashGpu();
  await says('#recovery', 'The result is the same to the bit');
  await reaches((await step()) + 1);
  expect(await violations()).toEqual([]);
  // As if the tab had crashed: nothing is told to the run that is going on.
  await page.reload();
  await go('train');
  await press('[data-go-on]');
  await says('#status', 'Done after 60 epochs');
  const resumed = (await kept())[0]!;
  expect(resumed).toMatchObject({ step: 645, state: 'done' });
  await press('#stop');
  // The same again, undisturbed.
  await page.waitForSelector('#start');
  await drop(data);
  await says('#data-name', '172 training');
  await fill({ ...TINY, epochs: '60' });
  await press('#start');
  await says('#status', 'Done after 60 epochs');
  const undisturbed = (await kept())[0]!;
  expect(undisturbed.id).not.toBe(resumed.id);
  expect(undisturbed.digest).toBe(resumed.digest);
  await press('#stop');
  expect(complaints).toEqual([]);
});

test('a fork goes on beside its parent, with another learning rate', { timeout: TIMEOUT }, async () => {
  await drop(data);
  await says('#data-name', '172 training');
  await fill({ ...TINY, epochs: '2000', hidden: '24' });
  await press('#start');
  await reaches(5);
  await press('#fork');
  await says('#run-name', 'fork at');
  // The state that it begins with may come after its name.
  await reaches(5);
  await reaches((await step()) + 3);
  await page.$eval('details.card', (details) => ((details as HTMLDetailsElement).open = true));
  await fill({ rate: '0.0005' });
  await press('details.card button');
  await reaches((await step()) + 3);
  await press('#stop');
  await page.waitForSelector('#start');
  const [fork, parent] = await kept();
  expect(fork).toMatchObject({ state: 'paused', parent: { name: parent!.name } });
  expect(fork!.step).toBeGreaterThan(parent!.step);
  expect(complaints).toEqual([]);
});

long(
  'a run goes on in a hidden tab, and where there is no room to save it, which is told',
  {
    timeout: TIMEOUT,
  },
  async () => {
    await drop(data);
    await says('#data-name', '172 training');
    await fill({ ...TINY, epochs: '5000' });
    await press('#start');
    await reaches(5);
    const front = await browser.newPage();
    await front.bringToFront();
    expect(await page.evaluate(() => document.visibilityState)).toBe('hidden');
    const before = await step();
    await expect.poll(step, { timeout: PATIENCE }).toBeGreaterThan(before + 50);
    await front.close();
    await page.bringToFront();
    const session = await page.createCDPSession();
    const { origin } = new URL(server.address);
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1 });
    await says('#trouble', 'Training goes on');
    expect(await text('#trouble')).toMatch(/no room .* delete runs .*Choose what to delete/);
    expect(await violations()).toEqual([]);
    await reaches((await step()) + 3);
    await session.send('Storage.overrideQuotaForOrigin', { origin });
    await page.waitForFunction(() => !document.getElementById('trouble'));
    await press('#stop');
    await page.waitForSelector('#start');
    const [run] = await kept();
    await go('runs');
    await press(`[data-run="${run!.id}"] [data-do=delete]`);
    await press(`[data-run="${run!.id}"] [data-do=really]`);
    await page.waitForFunction((id) => !document.querySelector(`[data-run="${id}"]`), {}, run!.id);
    await go('train');
    expect(complaints).toEqual([]);
  },
);

test('runs: compared, renamed, exported, deleted, imported', { timeout: TIMEOUT }, async () => {
  await go('runs');
  await page.waitForFunction(() => document.querySelectorAll('[data-run]').length === 4);
  const all = await kept();
  for (const box of await page.$$('[data-run] input[type=checkbox]:checked')) await box.click();
  for (const { id } of [all[1]!, all[2]!]) await press(`[data-run="${id}"] input[type=checkbox]`);
  await page.waitForSelector('#differences');
  expect(await text('#differences')).toMatch(/epochs.*hidden units/);
  expect(await text('#differences')).not.toMatch(/latent/);
  await page.waitForSelector('.compare canvas');
  expect(await violations()).toEqual([]);
  const first = `[data-run="${all[3]!.id}"]`;
  await press(`${first} [data-do=rename]`);
  await page.waitForSelector(`${first} input.name`);
  await page.keyboard.down('Control');
  await page.keyboard.press('a');
  await page.keyboard.up('Control');
  await page.keyboard.type('Mine alone');
  await page.keyboard.press('Enter');
  await says(`${first} h2`, 'Mine alone');
  // What would be saved as a file.
  await page.evaluate(() => {
    const create = URL.createObjectURL;
    URL.createObjectURL = (blob) => {
      Object.assign(globalThis, { saved: blob });
      return create(blob);
    };
    HTMLAnchorElement.prototype.click = () => {};
  });
  await press(`${first} [data-do=export]`);
  await page.waitForFunction(() => 'saved' in globalThis);
  const file = (await page.evaluate(`(async () => {
    const bytes = new Uint8Array(await saved.arrayBuffer());
    return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ''));
  })()`)) as string;
  await press(`${first} [data-do=delete]`);
  await press(`${first} [data-do=really]`);
  await page.waitForFunction(() => document.querySelectorAll('[data-run]').length === 3);
  await drop({ 'mine.glia.zip': Buffer.from(file, 'base64') });
  await page.waitForFunction(() => document.querySelectorAll('[data-run]').length === 4);
  await says('#note', 'Mine alone is among your runs now');
  const [imported] = await kept();
  expect(imported).toMatchObject({ name: 'Mine alone', digest: all[3]!.digest, step: 645 });
  await page.reload();
  expect(complaints).toEqual([]);
});

test('plays: drags over the map, draws, turns sliders, morphs, samples', { timeout: TIMEOUT }, async () => {
  const run = (await kept()).find(({ name }) => name === 'Mine alone')!;
  await go(`play/${run.id}`);
  await says('#play-status', 'shown with');
  await page.waitForFunction(() => !document.getElementById('play-status')?.textContent?.includes('Loading'));
  const map = (await (await page.$('#map'))!.boundingBox())!;
  const at = (x: number, y: number) => [map.x + x * map.width, map.y + y * map.height] as const;
  await page.mouse.move(...at(0.3, 0.4));
  await page.mouse.down();
  await page.mouse.move(...at(0.7, 0.5), { steps: 8 });
  await page.mouse.up();
  await page.waitForFunction(() => performance.getEntriesByName('pointer to image').length > 0);
  await page.waitForFunction(() => !document.querySelector('.walk [aria-label=Empty]'));
  expect((await colors('.walk canvas')).every((count) => count > 3)).toBe(true);
  expect(await text('#map-place')).toMatch(/at \(-?\d.*near a \d/);
  await page.focus('#map');
  const before = await text('#map-place');
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction((was) => document.getElementById('map-place')?.textContent !== was, {}, before);
  expect(await violations()).toEqual([]);

  await press('[data-tab=draw]');
  await press('#clear-pad');
  const pad = (await (await page.$('#pad'))!.boundingBox())!;
  await page.mouse.move(pad.x + 0.4 * pad.width, pad.y + 0.2 * pad.height);
  await page.mouse.down();
  await page.mouse.move(pad.x + 0.5 * pad.width, pad.y + 0.8 * pad.height, { steps: 6 });
  await page.mouse.up();
  await page.waitForFunction(() => /−ELBO \d/.test(document.getElementById('bound')?.textContent ?? ''));
  const drawn = await seen();
  expect(await page.$$('#neighbours canvas')).toHaveLength(8);
  // By keyboard as well. Of so small a model the bound may come out the same to a tenth; what it sees does not.
  await page.focus('#pad');
  for (const key of ['Space', 'ArrowLeft', 'ArrowLeft', 'ArrowLeft', 'Space'] as const) await page.keyboard.press(key);
  await vi.waitFor(async () => expect(await seen()).not.toBe(drawn), PATIENCE);
  expect(await violations()).toEqual([]);

  await page.focus('[data-tab=draw]');
  await page.keyboard.press('ArrowRight');
  await page.waitForSelector('.sliders input');
  expect(await page.$eval('[role=tab][aria-selected=true]', (tab) => tab.textContent)).toBe('Sliders');
  await press('#random-code');
  await page.waitForFunction(() => (document.querySelector('.sliders output')?.textContent ?? '0.00') !== '0.00');
  expect(await violations()).toEqual([]);

  await press('[data-tab=morph]');
  await enabled('#save-gif');
  await page.evaluate(() => {
    URL.createObjectURL = (blob) => {
      Object.assign(globalThis, { gif: blob });
      return '#';
    };
  });
  await press('#save-gif');
  await page.waitForFunction(() => 'gif' in globalThis);
  expect(await page.evaluate('gif.slice(0, 6).text()')).toBe('GIF89a');
  expect(await violations()).toEqual([]);

  // A GPU that is lost is no loss to a model at play.
  await crashGpu();
  await press('[data-tab=samples]');
  await page.waitForSelector('#samples canvas');
  await fill({ temperature: '0.5' });
  expect(await violations()).toEqual([]);
  await page.reload();
  expect(complaints).toEqual([]);
});

test('plays with a model of sentences: one of one’s own, from one to another, and samples', {
  timeout: TIMEOUT,
}, async () => {
  const sizes = { width: 4, hidden: 4, latent: 2 };
  const model = new TextVAE({ ...sizes, vocabulary: 4 });
  const random = randomFrom(5);
  const options = { model: 'text-vae', context: 8, ...sizes };
  const bytes = await encodeTextModel(model, options, ' abc', () => 4 * random() - 2);
  await go('play');
  await drop({ 'sentences.safetensors': bytes });
  await page.waitForSelector('[data-tab=sentence]');
  // The built-in sentences are not of its characters, so that there are none to choose from.
  expect(await page.$('#show-sentence')).toBeNull();
  await fill({ sentence: 'ab' });
  await page.waitForFunction(() => document.querySelectorAll('#near-code li').length === 5);
  expect(await text('#sentence-facts')).toMatch(/^KL of its code\d+\.\d\d natsBound, −ELBO\d+\.\d\d nats$/);
  expect(await violations()).toEqual([]);
  await fill({ sentence: 'abz' });
  await says('#sentence-problem', 'the vocabulary of 4 characters has no "z"');
  expect(await violations(page, ['light'])).toEqual([]);
  await page.focus('[data-tab=sentence]');
  await page.keyboard.press('ArrowRight');
  await fill({ from: 'ab', to: 'a b c a b c a b c' });
  await says('#sentence-problem', 'To: the sentence is of 17 tokens, and the model reads up to 8 (context 8)');
  await fill({ to: 'cb a' });
  await page.waitForFunction(() => document.querySelectorAll('#walk-lines li').length === 10);
  await press('[data-tab=sentences]');
  await page.waitForFunction(() => document.querySelectorAll('#sentence-samples li').length === 10);
  const samples = await text('#sentence-samples');
  await fill({ 'word-temperature': '2' });
  await press('#other-samples');
  await page.waitForFunction((was) => document.getElementById('sentence-samples')?.textContent !== was, {}, samples);
  expect(await page.$eval('[name=seed]', (field) => (field as HTMLInputElement).value)).toBe('1');
  expect(await violations(page, ['light'])).toEqual([]);
  expect(complaints).toEqual([]);
});

long('a code grid is edited, and a classifier judges what is drawn', { timeout: TIMEOUT }, async () => {
  await go('train');
  await drop(data);
  await says('#data-name', '172 training');
  await fill({ model: 'vq-vae' });
  await page.waitForSelector('[name=codes]');
  expect(await page.$('[name=hidden]')).toBeNull();
  await fill({ codes: '6', latent: '4', batch: '16', epochs: '1' });
  await press('#start');
  await says('#status', 'Done after 1 epoch,');
  await press('#play-run');
  await page.waitForSelector('#cells button');
  await page.waitForFunction(() => document.querySelectorAll('.entry:not([disabled])').length === 6);
  const chosen = () => page.$eval('#cells [aria-pressed=true]', (cell) => Number(cell.textContent));
  const other = ((await chosen()) + 1) % 6;
  await press(`.entry[aria-label="Entry ${other}"]`);
  await page.waitForFunction(
    (to) => document.querySelector('#cells [aria-pressed=true]')?.textContent === String(to),
    {},
    other,
  );
  expect(await violations()).toEqual([]);
  await go('train');
  await press('#stop');
  await page.waitForSelector('#start');
  await fill({ model: 'classifier' });
  await fill({ hidden: '16', batch: '16', epochs: '1' });
  await press('#start');
  await says('#status', 'Done');
  await press('#play-run');
  await page.waitForSelector('#probabilities .most');
  expect(await violations()).toEqual([]);
  await go('train');
  await press('#stop');
  await page.waitForSelector('#start');
  expect(complaints).toEqual([]);
});

long('compresses the images that a run has not learned from, and gets them back', { timeout: TIMEOUT }, async () => {
  await page.waitForSelector('#start');
  await drop(data);
  await says('#data-name', '172 training');
  await fill({ model: 'vae' });
  await fill({ binarize: 'threshold', hidden: '16', latent: '2', batch: '16', epochs: '1' });
  await press('[name=keep]:not(:checked)');
  await press('#start');
  await says('#status', 'Done after 1 epoch,');
  await press('#stop');
  await page.waitForSelector('#start');
  await go('compress');
  await page.waitForSelector('[name=compressor] option:nth-child(2)');
  const run = await page.$eval(
    '[name=compressor] option:nth-child(2)',
    (option) => (option as HTMLOptionElement).value,
  );
  await page.select('[name=compressor]', run);
  await press('#own-tests');
  await page.waitForSelector('#save-archive');
  expect(await text('#shrunk')).toMatch(/28 images.*gzip.*Glia, without the model/s);
  expect(await violations()).toEqual([]);
  const saved = join(scratch, 'saved');
  const session = await page.createCDPSession();
  await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: saved });
  await press('#save-archive');
  await expect.poll(() => existsSync(join(saved, 'images.glia')), { timeout: PATIENCE }).toBe(true);
  const archive = await page.$('#archive-file');
  await (archive as ElementHandle<HTMLInputElement>).uploadFile(join(saved, 'images.glia'));
  await says('#came-back', '28 of 28 images, byte for byte those above.');
  expect(await violations()).toEqual([]);
  await go('train');
  expect(complaints).toEqual([]);
});

long('learns from text that was dropped, and answers a prompt', { timeout: TIMEOUT }, async () => {
  await page.waitForSelector('#start');
  await drop({ 'poem.txt': Buffer.from('so much depends upon a red wheel barrow\n'.repeat(12)) });
  await says('#data-name', 'poem.txt: 432 tokens to learn from and 48 to judge by, of 17 kinds');
  expect(await page.$eval('[name=model]', (field) => (field as HTMLSelectElement).value)).toBe('gpt');
  expect(await violations()).toEqual([]);
  await fill({ layers: '1', heads: '2', width: '16', context: '8', batch: '4', steps: '10' });
  await press('#start');
  await says('#status', 'Done after 10 steps');
  // The run ends within its first epoch, and is tested all the same.
  expect(await text('#numbers')).toMatch(/test loss\s*\d/);
  expect((await text('#pictures .sample')).length).toBeGreaterThan(100);
  expect(await violations()).toEqual([]);
  await press('#play-run');
  const ask = async (prompt: string) => {
    await page.waitForSelector('[name=prompt]');
    await page.$eval(
      '[name=prompt]',
      (field, to) => {
        (field as HTMLTextAreaElement).value = to;
        field.dispatchEvent(new Event('input', { bubbles: true }));
      },
      prompt,
    );
    await press('#write');
  };
  await ask('red ');
  await says('#writing-speed', '300 tokens in');
  const first = await text('#written');
  expect(first).toMatch(/^red [a-z\s]{300}$/);
  await press('#write');
  await says('#writing-speed', '300 tokens in');
  expect(await text('#written')).toBe(first);
  expect(await violations()).toEqual([]);
  // What its text has none of.
  await ask('Ω');
  await says('#error', 'the vocabulary of 17 characters has no "Ω"');
  expect(complaints).toEqual([]);
});

long('trains on colour images that were dropped, read again in another size', { timeout: TIMEOUT }, async () => {
  // A browser's own encoder makes them.
  const encoded = await page.evaluate(async () => {
    const all: Record<string, string> = {};
    for (let i = 0; i < 40; i++) {
      const canvas = new OffscreenCanvas(48, 40);
      const context = canvas.getContext('2d')!;
      context.fillStyle = `hsl(${9 * i} 90% 50%)`;
      context.fillRect(4 + (i % 8), 6, 30, 24);
      const blob = await canvas.convertToBlob({ type: i % 2 ? 'image/png' : 'image/jpeg' });
      const bytes = new Uint8Array(await blob.arrayBuffer());
      all[`${i}.${i % 2 ? 'png' : 'jpg'}`] = btoa(String.fromCharCode(...bytes));
    }
    return all;
  });
  await fill({ model: 'vae' });
  await drop(
    Object.fromEntries(Object.entries(encoded).map(([name, base64]) => [name, Buffer.from(base64, 'base64')])),
  );
  await says('#data-name', '35 training and 5 test images of 40×40, in colour');
  await fill({ hidden: '16', latent: '2', batch: '8', size: '16' });
  await says('#data-name', '35 training and 5 test images of 16×16, in colour');
  await press('#start');
  await reaches(5);
  const coloured = await page.$$eval('#pictures canvas', (canvases) =>
    canvases.map((canvas) => {
      const { width, height } = canvas as HTMLCanvasElement;
      const { data } = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height);
      return data.some((value, i) => i % 4 === 0 && Math.abs(value - data[i + 1]!) > 20);
    }),
  );
  expect(coloured[0]).toBe(true);
  await press('#stop');
  await page.waitForSelector('#start');
  expect(complaints).toEqual([]);
});

/** A PNG that claims these sizes, and holds next to nothing. */
function png(width: number, height: number): Buffer {
  const chunk = (type: string, body: Buffer) => {
    const whole = Buffer.concat([Buffer.from(type), body]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc32(whole));
    return Buffer.concat([length, whole, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A safetensors file with a header of one's own, and no data. */
function safetensors(header: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json]);
}

long('hostile files: one clear line each, and nothing is lost', { timeout: TIMEOUT }, async () => {
  await go('train');
  const before = (await kept()).length;
  const huge = { w: { dtype: 'F32', shape: [1e6, 1e6], data_offsets: [0, 4e12] } };
  const bomb = gzipSync(Buffer.concat([idx([60000, 28, 28], () => 0).subarray(0, 16), Buffer.alloc(60_000_000)]));
  const cases: readonly (readonly [Readonly<Record<string, Buffer>>, RegExp])[] = [
    [{ 'train-images-idx3-ubyte': Buffer.from([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 8, 1]) }, /is cut short/],
    [{ 'run.glia.zip': Buffer.from('PK not a zip') }, /run\.glia\.zip is no run of Glia's/],
    [{ 'checkpoint.safetensors': safetensors(huge) }, /checkpoint\.safetensors/],
    [{ 'a.png': png(65535, 65535), 'b.png': png(65535, 65535) }, /\.png is no image|\.png has 65535×65535 pixels/],
    [{ 'train-images-idx3-ubyte.gz': bomb }, /train-images-idx3-ubyte\.gz/],
  ];
  for (const [files, message] of cases) {
    await drop(files);
    await page.waitForSelector('#error');
    const line = (await text('#error')).replace(/×$/, '').trim();
    expect(line).toMatch(message);
    expect(line).not.toContain('\n');
    await press('#error button');
    await page.waitForFunction(() => !document.getElementById('error'));
    await enabled('#start');
  }
  expect((await kept()).length).toBe(before);
  expect(await violations()).toEqual([]);
  expect(complaints).toEqual([]);
});

long('on a phone, by touch', { timeout: TIMEOUT }, async () => {
  const phone = await open((blank) =>
    blank.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true, deviceScaleFactor: 1 }),
  );
  for (const name of ['', 'train', 'play', 'runs', 'measure']) {
    await go(name, phone);
    await phone.waitForFunction(() => !document.querySelector('.loading'));
    // Nothing is wider than the screen.
    expect(await phone.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
    // Colours are those of the wide screen.
    expect(await violations(phone, ['light'])).toEqual([]);
  }
  const run = (await kept()).find(({ options }) => options.model === 'vae')!;
  await go(`play/${run.id}`, phone);
  await phone.waitForSelector('#map');
  await phone.waitForFunction(() => document.getElementById('play-status')?.textContent?.includes('shown with'));
  const map = (await (await phone.$('#map'))!.boundingBox())!;
  await phone.touchscreen.touchStart(map.x + 0.3 * map.width, map.y + 0.3 * map.height);
  await phone.touchscreen.touchMove(map.x + 0.6 * map.width, map.y + 0.6 * map.height);
  await phone.touchscreen.touchEnd();
  await phone.waitForFunction(() => !document.querySelector('.walk [aria-label=Empty]'));
  // On a busy machine a finger may rest so long that it is no tap: then one taps again.
  const drawn = () => phone.waitForSelector('#clear-pad', { timeout: 3000 }).catch(() => null);
  do await phone.tap('[data-tab=draw]');
  while (!(await drawn()));
  await phone.tap('#clear-pad');
  const pad = (await (await phone.$('#pad'))!.boundingBox())!;
  await phone.touchscreen.touchStart(pad.x + 0.5 * pad.width, pad.y + 0.2 * pad.height);
  await phone.touchscreen.touchMove(pad.x + 0.5 * pad.width, pad.y + 0.7 * pad.height);
  await phone.touchscreen.touchEnd();
  await phone.waitForFunction(() => /−ELBO \d/.test(document.getElementById('bound')?.textContent ?? ''));
  expect(await phone.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  await phone.close();
  expect(complaints).toEqual([]);
});

test('says what to do where there is no WebGPU', { timeout: TIMEOUT }, async () => {
  const bare = await open((blank) =>
    blank.evaluateOnNewDocument(() => Object.defineProperty(navigator, 'gpu', { value: undefined })),
  );
  await bare.waitForSelector('#unsupported');
  expect(await bare.$eval('#unsupported', (notice) => notice.textContent)).toMatch(
    /no WebGPU.*Chrome, Edge.*Safari.*Firefox/s,
  );
  await go('train', bare);
  await bare.waitForSelector('#start[disabled]');
  expect(await violations(bare)).toEqual([]);
  await bare.close();
  expect(complaints).toEqual([]);
});

test('once visited, it trains without its server', { timeout: TIMEOUT }, async () => {
  const visited = await open();
  await visited.setCacheEnabled(false);
  await visited.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await visited.waitForFunction(() => navigator.serviceWorker.controller !== null);
  await server.stop();
  await visited.reload();
  await go('train', visited);
  await drop(data, visited);
  await says('#data-name', '172 training', visited);
  await fill({ ...TINY, epochs: '1' }, visited);
  await press('#start', visited);
  await says('#status', 'Done after 1 epoch,', visited);
  await press('#play-run', visited);
  await says('#play-status', 'shown with', visited);
  await visited.close();
  expect(complaints).toEqual([]);
});

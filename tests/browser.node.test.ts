// Which browser is taken, in which order, and what is said when there is none.
import { afterEach, expect, test, vi } from 'vitest';
import { type BrowserSources, findBrowser } from '../src/cli/browser.ts';
import { UnsupportedError } from '../src/errors.ts';

afterEach(() => vi.unstubAllEnvs());

/** Sources that note in `asked` that they were asked, and of which only those in `having` have a browser. */
function sourcesWith(having: (keyof BrowserSources)[], asked: string[] = []): BrowserSources {
  const source = (name: keyof BrowserSources) => async () => {
    asked.push(name);
    return having.includes(name) ? `/browsers/${name}` : undefined;
  };
  return {
    cached: source('cached'),
    system: source('system'),
    download: source('download'),
    packaged: source('packaged'),
  };
}

test('an explicit path that exists wins, and nothing else is asked', async () => {
  const asked: string[] = [];
  vi.stubEnv('PUPPETEER_EXECUTABLE_PATH', process.execPath);
  expect(await findBrowser(sourcesWith(['cached'], asked))).toBe(process.execPath);
  expect(asked).toEqual([]);
});

test('an explicit path that does not exist is an error, not a reason to look elsewhere', async () => {
  vi.stubEnv('PUPPETEER_EXECUTABLE_PATH', '/no/such/browser');
  await expect(findBrowser(sourcesWith(['cached']))).rejects.toThrow(/PUPPETEER_EXECUTABLE_PATH.*\/no\/such\/browser/);
});

test.each([
  ['cached', ['cached']],
  ['system', ['cached', 'system']],
  ['download', ['cached', 'system', 'download']],
  ['packaged', ['cached', 'system', 'download', 'packaged']],
] as const)('%s is asked only when all before it have nothing', async (name, order) => {
  const asked: string[] = [];
  vi.stubEnv('PUPPETEER_EXECUTABLE_PATH', '');
  expect(await findBrowser(sourcesWith([name], asked))).toBe(`/browsers/${name}`);
  expect(asked).toEqual(order);
});

test('with no browser at all, one line says what to install', async () => {
  vi.stubEnv('PUPPETEER_EXECUTABLE_PATH', '');
  const error = await findBrowser(sourcesWith([])).catch((reason) => reason);
  expect(error).toBeInstanceOf(UnsupportedError);
  expect(error.message).toMatch(/install .*Chrome or Chromium/);
  expect(error.message).not.toContain('\n');
});

// How it feels to use the built studio: how long the page's thread is held up while a run trains, and how long it takes from the
// pointer on the map to the decoded image.
import { inSite, shownStep } from './open.ts';

/** A run is watched for so long, after its first steps. */
const WATCH_MS = 15_000;
const MOVES = 60;

export interface Feel {
  /** Tasks of more than 50 ms of the page's thread while it trained, in ms. */
  readonly longTasks: readonly number[];
  /** Milliseconds from the pointer's event to the image, sorted. */
  readonly latencies: readonly number[];
  readonly steps: number;
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export function measureSite(folder: string): Promise<Feel> {
  return inSite(folder, async (page, address) => {
    await page.goto(`${address}#/train`);
    await page.waitForSelector('#start:not([disabled])');
    await page.click('#start');
    await page.waitForFunction(() => Number.parseInt(document.querySelector('#numbers dd')?.textContent ?? '', 10) > 5);
    await page.evaluate(`tasks = []; new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) tasks.push(duration);
    }).observe({ type: 'longtask' });`);
    const before = await shownStep(page);
    await later(WATCH_MS);
    const steps = (await shownStep(page)) - before;
    const longTasks = (await page.evaluate('tasks')) as number[];
    await page.click('#pause');
    await page.waitForSelector('#go-on');
    await page.click('#play-run');
    await page.waitForFunction(() => document.getElementById('play-status')?.textContent?.includes('shown with'));
    const box = (await (await page.waitForSelector('#map'))!.boundingBox())!;
    for (let i = 0; i < MOVES; i++) {
      const share = 0.2 + (0.6 * i) / MOVES;
      await page.mouse.move(box.x + share * box.width, box.y + (1 - share) * box.height);
      await later(100);
    }
    const found = await page.evaluate(() =>
      performance.getEntriesByName('pointer to image').map(({ duration }) => duration),
    );
    // The first compile what decodes.
    return { longTasks, steps, latencies: found.slice(5).sort((a, b) => a - b) };
  });
}

// A run in the studio, whose GPU process is killed meanwhile, and what the browser keeps of it in the end.
import { rmSync } from 'node:fs';
import type { Page } from 'puppeteer';
import { fillOptions, inSite, shownStep } from '../site/open.ts';
import { buildSite } from '../site.ts';
import { kill } from './processes.ts';

export interface StudioSoak {
  /** Where the site is built for it. */
  readonly folder: string;
  /** Options of the run. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly kills: number;
  /** Longest time from a new step to the next kill: milliseconds. */
  readonly within: number;
  readonly say: (line: string) => void;
}

/** What the browser keeps of a run: a digest of its checkpoint, and its metrics without times. */
interface Remains {
  readonly step: number;
  readonly digest: string;
  readonly events: readonly { readonly event: string; readonly step?: number }[];
}

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Of the newest run in the browser. */
function remains(page: Page): Promise<Remains> {
  return page.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('runs');
    const runs = [];
    for await (const folder of root.values()) {
      const read = async (name: string) => (await (folder as FileSystemDirectoryHandle).getFileHandle(name)).getFile();
      runs.push({ read, record: JSON.parse(await (await read('run.json')).text()) });
    }
    const { read, record } = runs.sort((a, b) => b.record.created - a.record.created)[0]!;
    const bytes = await (await read(record.snapshot)).arrayBuffer();
    const digest = String(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
    let lines: string[] = [];
    for (let file = 0; lines.length < record.events; file++) {
      const some = (await (await read(`metrics-${file}`)).text()).split('\n');
      lines = [...lines, ...some.slice(0, -1)];
    }
    const events = lines.slice(0, record.events).map((line) => ({ ...JSON.parse(line), msPerStep: 0 }));
    return { step: record.step, digest, events };
  });
}

async function train(page: Page, { options, within, say }: StudioSoak, kills: number) {
  await page.evaluate(() => (location.hash = '#/train'));
  await page.waitForSelector('#start:not([disabled])');
  await fillOptions(page, options);
  await page.click('#start');
  const now = () =>
    page.evaluate(() => ({
      status: document.getElementById('status')?.textContent ?? '',
      error: document.getElementById('error')?.textContent ?? '',
    }));
  let killed = 0;
  let seen = 0;
  let due = Number.POSITIVE_INFINITY;
  for (;;) {
    await later(20);
    const { status, error } = await now();
    if (error) throw new Error(`the studio says: ${error}`);
    if (status.startsWith('Done')) break;
    const step = await shownStep(page);
    if (step > seen && due === Number.POSITIVE_INFINITY) due = performance.now() + Math.random() * within;
    if (performance.now() < due || killed === kills || !kill(process.pid, 'gpu')) continue;
    say(`killed: gpu, after step ${step} or later`);
    killed++;
    // The next one follows when there was a step in between.
    seen = step;
    due = Number.POSITIVE_INFINITY;
  }
  const left = await remains(page);
  await page.click('#stop');
  return { ...left, killed };
}

/** @returns whether the run with kills left what the one without did */
export async function soakStudio(soak: StudioSoak): Promise<boolean> {
  const { folder, kills, say } = soak;
  await buildSite(folder);
  try {
    return await inSite(folder, async (page, address) => {
      await page.goto(address);
      say('in the studio: an undisturbed run …');
      const whole = await train(page, soak, 0);
      const disturbed = await train(page, soak, kills);
      const steps = disturbed.events.flatMap(({ event, step }) => (event === 'step' ? [step] : []));
      const differs =
        whole.digest !== disturbed.digest
          ? 'the checkpoints have other bits'
          : steps.length !== whole.step || steps.some((step, i) => step !== i + 1)
            ? 'the metrics do not have each step once'
            : JSON.stringify(whole.events) !== JSON.stringify(disturbed.events)
              ? 'the metrics differ'
              : undefined;
      say(`${disturbed.killed} kills: ${differs ?? 'checkpoint and metrics are those of the undisturbed run'}`);
      if (disturbed.killed < kills) say(`the run was over before ${kills} kills: give it more --steps`);
      return differs === undefined && disturbed.killed === kills;
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

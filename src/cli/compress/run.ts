// Where `npm run compress` and `npm run decompress` work: in headless Chrome, or in Node on a Vulkan driver.
import { builtInDigits } from '../../data/digits.ts';
import type { Files } from '../../data/files.ts';
import { readDataset } from '../../data/formats.ts';
import { Gpu } from '../../gpu/gpu.ts';
import { decodeTrained } from '../../train/checkpoint.ts';
import { DRIVER_HELP, startDawn } from '../dawn/dawn.ts';
import { callOf, errorOf, inPage } from '../page.ts';
import type { PageServer } from '../page_server.ts';
import { printJson } from '../progress.ts';
import { serveFiles } from '../train/serve.ts';
import type * as page from './page.ts';
import type { Outcome } from './page.ts';
import { CodingProgress } from './progress.ts';
import {
  type CompressEnd,
  type CompressJob,
  compressWork,
  type DecompressEnd,
  type DecompressJob,
  decompressWork,
  type ProgressEvent,
  type StartEvent,
} from './work.ts';

/** What --driver is called where networks are computed without WebGPU. */
const NO_DRIVER = 'none';
export const CODER_DRIVER_HELP = `${DRIVER_HELP}; or ${NO_DRIVER}, without WebGPU`;

export interface Work {
  readonly job: CompressJob | DecompressJob;
  readonly trained: Uint8Array | undefined;
  readonly archive: Uint8Array | undefined;
  readonly data: Files | undefined;
  readonly server: PageServer;
  readonly headed: boolean;
  readonly node: boolean;
  readonly driver: string | undefined;
  readonly json: boolean;
  /** Takes the `archive` and, where they are wanted, the `images` that it is of; or the file of images. */
  readonly save: (name: string, bytes: Uint8Array) => void;
}

/** @returns how it ended, once all is written */
export async function runWork(work: Work): Promise<CompressEnd | DecompressEnd> {
  const report = new Report(work.json, work.job.kind === 'compress' ? 'compressing' : 'decompressing');
  const tell = (event: StartEvent | ProgressEvent) => report.tell(event);
  try {
    return await (work.node ? inNode(work, tell) : inBrowser(work, tell));
  } finally {
    report.close();
  }
}

async function inNode({ job, trained, archive, data, driver, save }: Work, tell: Report['tell']) {
  const gpu = driver === NO_DRIVER ? undefined : await Gpu.request({ gpu: await startDawn(driver) });
  try {
    if (job.kind === 'decompress') {
      const { file, end } = await decompressWork(gpu, job, archive!, trained, tell);
      save(file.name, file.bytes);
      return end;
    }
    const model = decodeTrained(trained!, job.trained);
    const dataset = data ? await readDataset(data, model.options) : builtInDigits(model.options);
    const { bytes, end, images } = await compressWork(gpu, job, model, dataset, tell);
    save('archive', bytes);
    if (job.compare) save('images', images);
    return end;
  } finally {
    gpu?.destroy();
  }
}

async function inBrowser({ job, trained, archive, data, server, headed, save }: Work, tell: Report['tell']) {
  const base = serveFiles(server, { files: { 'job.json': JSON.stringify(job), trained, archive }, data, save });
  const outcome = await inPage<Outcome>({
    ...{ server, headed, name: 'compress', during: 'images were coded' },
    call: callOf<typeof page>('run', base),
    functions: { gliaTell: tell },
  });
  if (outcome.event === 'error') throw errorOf(outcome);
  return outcome.end;
}

const PIXELS: Readonly<Record<string, string>> = {
  none: 'bytes',
  threshold: 'black and white, cut at 128',
  dynamic: 'black and white, drawn once by the seed',
};

class Report {
  private readonly progress: CodingProgress;
  private readonly json: boolean;

  constructor(json: boolean, what: string) {
    this.json = json;
    this.progress = new CodingProgress(!json, what, 'images');
  }

  tell(event: StartEvent | ProgressEvent): void {
    const { progress, json } = this;
    if (event.event !== 'start') {
      progress.tell(event.done, event.total);
      return;
    }
    if (json) printJson(event);
    const { adapter, software, count, size, binarize } = event;
    const shape = size.filter((value, i) => i < 2 || value > 1).join('×');
    progress.print(`adapter     ${adapter}${software ? ': no GPU was found, so this takes longer' : ''}`);
    progress.print(`images      ${count.toLocaleString('en')} of ${shape}, ${PIXELS[binarize] ?? binarize}`);
    progress.start();
  }

  close(): void {
    this.progress.close();
  }
}

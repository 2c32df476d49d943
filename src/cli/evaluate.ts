// `npm run evaluate`: how likely test images or sentences are under a VAE that was trained, estimated in headless Chrome or in Node.
import { readFileSync } from 'node:fs';
import { decodeTrained } from '../train/checkpoint.ts';
import { isTextEntry, modelEntry } from '../train/registry/registry.ts';
import { showPath } from './arguments.ts';
import { type Arguments, parseArguments } from './evaluate/arguments.ts';
import type * as evaluatePage from './evaluate/page.ts';
import { type Job, type Outcome, TELL, type Tell } from './evaluate/protocol.ts';
import { JsonReport, TextReport } from './evaluate/report.ts';
import { StateFile } from './evaluate/state.ts';
import { findModel } from './model_file.ts';
import { likeAPage } from './node_page.ts';
import { callOf, errorOf, inPage } from './page.ts';
import type { PageServer } from './page_server.ts';
import { findData } from './train/data.ts';
import { serveFiles } from './train/serve.ts';

export async function main(args: string[], { server }: { server: PageServer }): Promise<number> {
  const parsed = parseArguments(args);
  if (!parsed) return 0;
  const { trained, job, data, state } = await prepare(parsed);
  const report = parsed.json ? new JsonReport() : new TextReport();
  const began = performance.now();
  const tell = (event: Parameters<Tell>[0]) => (event.event === 'start' ? report.start(event) : report.progress(event));
  const path = serveFiles(server, {
    files: { 'job.json': JSON.stringify(job), trained },
    data,
    save: (_, bytes) => state?.save(bytes),
  });
  try {
    const { node, driver, headed } = parsed;
    const outcome = node
      ? await inNode(await likeAPage(server, path, driver, { [TELL]: tell }))
      : await inPage<Outcome>({
          ...{ server, headed, name: 'evaluate', during: 'the model was evaluated' },
          call: callOf<typeof evaluatePage>('run', path),
          functions: { [TELL]: tell },
        });
    if (outcome.event === 'error') throw errorOf(outcome);
    report.close();
    report.end({ ...outcome, seconds: (performance.now() - began) / 1000 });
    return 0;
  } finally {
    report.close();
  }
}

async function inNode(base: string): Promise<Outcome> {
  const page = await import('./evaluate/page.ts');
  return page.run(base);
}

/** Reads and checks what can be, before there is a browser; the data are decoded there. */
async function prepare({ checkpoint, data: where, nll, images, batch, seed, state: file }: Arguments) {
  const path = findModel(checkpoint);
  const trained = readFileSync(path);
  const name = showPath(path);
  const { options } = decodeTrained(trained, name);
  const kind = isTextEntry(modelEntry(options.model)) ? 'text' : 'images';
  const how = { samples: nll, batch, seed };
  const state = file === undefined ? undefined : new StateFile(file, { trained, where, images, how });
  const job: Job = { trained: name, where, images, how: { ...how, resume: state?.before }, keep: state !== undefined };
  return { trained, job, data: where === undefined ? undefined : await findData(where, kind), state };
}

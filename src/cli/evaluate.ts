// `npm run evaluate`: how likely test images are under a VAE that was trained, estimated in headless Chrome.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ViteDevServer } from 'vite';
import type { Dataset, ImageSet } from '../data/images.ts';
import { CheckpointError, OptionError } from '../errors.ts';
import { decodeTrained, type Trained } from '../train/checkpoint.ts';
import { trainedVae } from '../train/trained.ts';
import { type Arguments, parseArguments } from './evaluate/arguments.ts';
import { type Job, type Outcome, TELL, type Tell } from './evaluate/protocol.ts';
import { JsonReport, type RunStart, TextReport } from './evaluate/report.ts';
import { errorOf, inPage } from './page.ts';
import { showPath } from './train/arguments.ts';
import { loadData } from './train/data.ts';
import { serveFiles } from './train/page.ts';

export async function main(args: string[], { server }: { server: ViteDevServer }): Promise<number> {
  const parsed = parseArguments(args);
  if (!parsed) return 0;
  const run = await prepare(parsed);
  const report = parsed.json ? new JsonReport() : new TextReport();
  const began = performance.now();
  const tell = (event: Parameters<Tell>[0]) =>
    event.event === 'start' ? report.start({ ...run.described, ...event }) : report.progress(event);
  const base = serveFiles(server, filesOf(run, parsed), () => {
    throw new Error('nothing is to be written');
  });
  try {
    const outcome = await inPage<Outcome>({
      ...{ server, headed: parsed.headed, path: 'demos/evaluate/headless', during: 'the model was evaluated' },
      call: `run('${base}')`,
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

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** Reads and checks everything, before there is a browser. */
async function prepare(parsed: Arguments) {
  const path = findModel(parsed.checkpoint);
  const bytes = readFileSync(path);
  const trained = decodeTrained(bytes, showPath(path));
  const dataset = await loadData(parsed.data, trained.options.seed);
  if (parsed.data === undefined) checkBuiltIn(trained, dataset);
  const { vae, parameters } = trainedVae(trained, dataset);
  const { test } = dataset;
  const images = Math.min(parsed.images ?? test.count, test.count);
  const described: Omit<RunStart, 'event' | 'adapter' | 'software'> = {
    checkpoint: trained.name,
    model: trained.options.model,
    weights: parameters.count,
    trained: {
      ...(trained.step !== undefined && { steps: trained.step }),
      ...(trained.data && { data: `${trained.data.images} images of ${trained.data.name}` }),
      ...{ beta: vae.beta, particles: vae.particles },
    },
    data: {
      ...{ name: parsed.data ?? dataset.name, builtIn: parsed.data === undefined, test: test.count, images },
      size: [test.height, test.width, ...(test.channels > 1 ? [test.channels] : [])].join('×'),
    },
  };
  return { bytes, trained, dataset, test: firstOf(test, images), described };
}

/** @throws CheckpointError if there is none */
function findModel(place: string): string {
  const found = statSync(place, { throwIfNoEntry: false });
  if (!found) throw new CheckpointError(`--checkpoint: there is no ${showPath(place)}`);
  const path = found.isDirectory() ? join(place, 'checkpoint.safetensors') : place;
  if (!existsSync(path)) throw new CheckpointError(`--checkpoint: there is no checkpoint in ${showPath(place)}`);
  return path;
}

function checkBuiltIn({ name, data }: Trained, { name: builtIn }: Dataset): void {
  if (data?.name === builtIn) return;
  const what = data ? `was trained on ${data.name}, not on the built-in digits` : 'does not say what it was trained on';
  const cure = data ? '' : ', or give the checkpoint beside it';
  throw new OptionError(`${name} ${what}: say with --data where its images are${cure}`);
}

function firstOf(set: ImageSet, count: number): ImageSet {
  const pixels = set.height * set.width * set.channels;
  const { labels } = set;
  return {
    ...set,
    count,
    images: set.images.subarray(0, count * pixels),
    ...(labels && { labels: labels.subarray(0, count) }),
  };
}

function filesOf({ bytes, trained, dataset, test }: Prepared, { nll, batch, seed }: Arguments) {
  const outline = ({ images: _, labels: __, ...rest }: ImageSet) => rest;
  const job: Job = {
    trained: trained.name,
    dataset: { name: dataset.name, train: outline(dataset.train), test: outline(test) },
    how: { samples: nll, batch, seed },
  };
  return new Map<string, string | Uint8Array>([
    ['job.json', JSON.stringify(job)],
    ['trained', bytes],
    ['test.images', test.images],
    ...(test.labels ? [['test.labels', test.labels] as const] : []),
  ]);
}

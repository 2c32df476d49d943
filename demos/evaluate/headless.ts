// The page behind `npm run evaluate`: estimates, and tells the command how far it is.
import { type Job, type Outcome, type Result, type Summary, TELL, type Tell } from '../../src/cli/evaluate/protocol.ts';
import type { ImageSet } from '../../src/data/images.ts';
import { Gpu } from '../../src/gpu/gpu.ts';
import { decodeTrained } from '../../src/train/checkpoint.ts';
import type { Estimate } from '../../src/train/estimates.ts';
import { evaluate, type Progress } from '../../src/train/evaluate.ts';
import { restoreVae, trainedVae } from '../../src/train/trained.ts';

/** The command need not know of every step: milliseconds. */
const TELL_INTERVAL = 200;

/** @param base where the command has the job's files */
export async function run(base: string): Promise<Outcome> {
  try {
    return { event: 'done', ...(await work(base)) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { event: 'error', name, message };
  }
}

async function work(base: string): Promise<Result> {
  const job = JSON.parse(new TextDecoder().decode(await get(`${base}/job.json`))) as Job;
  const { name, train, test: outline } = job.dataset;
  const test: ImageSet = {
    ...outline,
    images: await get(`${base}/test.images`),
    ...(outline.classes > 0 && { labels: await get(`${base}/test.labels`) }),
  };
  // Of the training images, a model needs to know only what they are like.
  const dataset = { name, train: { ...train, images: new Uint8Array() }, test };
  const model = trainedVae(decodeTrained(await get(`${base}/trained`), job.trained), dataset);
  const gpu = await Gpu.request();
  const lost = gpu.lost.then((error) => {
    throw error;
  });
  restoreVae(gpu, model);
  const tell = (globalThis as unknown as Record<typeof TELL, Tell>)[TELL];
  await tell({ event: 'start', adapter: gpu.name, software: gpu.adapter.software });
  let told = performance.now();
  const onProgress = (progress: Progress) => {
    if (performance.now() - told < TELL_INTERVAL) return;
    told = performance.now();
    void tell({ event: 'progress', ...progress });
  };
  const evaluation = evaluate(gpu, model.vae, test, { ...job.how, onProgress });
  const { images, loss, reconstruction, kl, nll } = await Promise.race([evaluation, lost]);
  return {
    ...{ images, loss: summary(loss), reconstruction: summary(reconstruction), kl: summary(kl) },
    nll: nll.map(({ samples, below, ...bound }) => ({ ...summary(bound), samples, below: summary(below) })),
  };
}

/** Without the values of single images. */
function summary({ mean, standardError }: Estimate): Summary {
  return { mean, standardError };
}

async function get(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} is not there (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}

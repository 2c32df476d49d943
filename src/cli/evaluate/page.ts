// The page behind `npm run evaluate`: estimates, and tells the command how far it is.

import { binarized } from '../../data/binarize.ts';
import type { Dataset, ImageSet } from '../../data/images.ts';
import { OptionError } from '../../errors.ts';
import { Gpu } from '../../gpu/gpu.ts';
import { decodeTrained, type Trained } from '../../train/checkpoint.ts';
import type { Estimate } from '../../train/estimates.ts';
import { type EvaluationProgress, type EvaluationState, estimateLikelihood } from '../../train/evaluate.ts';
import { restoreVae, trainedVae } from '../../train/trained.ts';
import { get, loadData } from '../train/fetch.ts';
import { type Job, type Outcome, type Result, STATE, type Summary, TELL, type Tell } from './protocol.ts';

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
  const job = JSON.parse(await (await get(base, 'job.json')).text()) as Job;
  const trained = decodeTrained(new Uint8Array(await (await get(base, 'trained')).arrayBuffer()), job.trained);
  const { binarize, seed } = trained.options;
  const dataset = binarized(await loadData(base, trained.options), binarize, seed);
  if (job.where === undefined) checkBuiltIn(trained, dataset);
  const model = trainedVae(trained, dataset);
  const test = firstOf(dataset.test, Math.min(job.images ?? dataset.test.count, dataset.test.count));
  const gpu = await Gpu.request();
  const lost = gpu.lost.then((error) => {
    throw error;
  });
  restoreVae(gpu, model);
  const tell = (globalThis as unknown as Record<typeof TELL, Tell>)[TELL];
  const { vae, parameters } = model;
  const { height, width, channels } = test;
  await tell({
    ...{ event: 'start', adapter: gpu.name, software: gpu.adapter.software },
    ...{ checkpoint: trained.name, model: trained.options.model, weights: parameters.count },
    trained: {
      ...(trained.step !== undefined && { steps: trained.step }),
      ...(trained.data && { data: `${trained.data.count} images of ${trained.data.name}` }),
      ...{ beta: vae.beta, particles: vae.particles },
    },
    data: {
      ...{ name: job.where ?? dataset.name, builtIn: job.where === undefined },
      ...{ test: dataset.test.count, images: test.count, binarize, seed },
      size: [height, width, ...(channels > 1 ? [channels] : [])].join('×'),
    },
  });
  let told = performance.now();
  const onProgress = (progress: EvaluationProgress) => {
    if (performance.now() - told < TELL_INTERVAL) return;
    told = performance.now();
    void tell({ event: 'progress', ...progress });
  };
  const onBatch = async (state: EvaluationState) => {
    const response = await fetch(`${base}/${STATE}`, { method: 'POST', body: JSON.stringify(state) });
    if (!response.ok) throw new Error(`what is done could not be kept: ${await response.text()}`);
  };
  const how = { ...job.how, onProgress, ...(job.keep && { onBatch }) };
  const evaluation = estimateLikelihood(gpu, model.vae, test, how);
  const { images, loss, reconstruction, kl, layers, nll } = await Promise.race([evaluation, lost]);
  return {
    ...{ images, loss: summary(loss), reconstruction: summary(reconstruction), kl: summary(kl), layers },
    nll: nll.map(({ samples, below, ...bound }) => ({ ...summary(bound), samples, below: summary(below) })),
  };
}

/** Without the values of single images. */
function summary({ mean, standardError }: Estimate): Summary {
  return { mean, standardError };
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

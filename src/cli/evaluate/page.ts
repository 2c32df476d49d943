// The page behind `npm run evaluate`: estimates, and tells the command how far it is.

import { binarized } from '../../data/binarize.ts';
import type { ImageSet } from '../../data/images.ts';
import { sentenceTensors } from '../../data/sentences.ts';
import { OptionError } from '../../errors.ts';
import { Gpu } from '../../gpu/gpu.ts';
import { TextVAE } from '../../models/text_vae.ts';
import { BUILT_IN_TEXT } from '../../train/built_in.ts';
import { decodeTrained, type Trained } from '../../train/checkpoint.ts';
import type { Estimate } from '../../train/estimates.ts';
import {
  type EvaluateOptions,
  type Evaluation,
  type EvaluationProgress,
  type EvaluationState,
  estimateLikelihood,
  estimateSentences,
} from '../../train/evaluate.ts';
import { isTextEntry, modelEntry } from '../../train/registry/registry.ts';
import { restoreVae, trainedVae } from '../../train/trained.ts';
import { restoreText, trainedText } from '../../train/trained_text.ts';
import { get, loadData, loadText } from '../train/fetch.ts';
import {
  type Job,
  type Outcome,
  type Result,
  STATE,
  type StartEvent,
  type Summary,
  TELL,
  type Tell,
} from './protocol.ts';

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
  const ofText = isTextEntry(modelEntry(trained.options.model));
  const prepared = await (ofText ? sentencesOf : imagesOf)(base, trained, job);
  const gpu = await Gpu.request();
  const lost = gpu.lost.then((error) => {
    throw error;
  });
  const tell = (globalThis as unknown as Record<typeof TELL, Tell>)[TELL];
  await tell({
    ...{ event: 'start', adapter: gpu.name, software: gpu.adapter.software },
    ...{ checkpoint: trained.name, model: trained.options.model, weights: prepared.weights },
    trained: { ...(trained.step !== undefined && { steps: trained.step }), ...prepared.trained },
    data: { ...prepared.data, builtIn: job.where === undefined, seed: trained.options.seed },
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
  const evaluation = prepared.estimate(gpu, how);
  const { images, tokens, loss, reconstruction, kl, layers, nll } = await Promise.race([evaluation, lost]);
  return {
    ...{ images, loss: summary(loss), reconstruction: summary(reconstruction), kl: summary(kl), layers },
    nll: nll.map(({ samples, below, ...bound }) => ({ ...summary(bound), samples, below: summary(below) })),
    ...(tokens !== undefined && { tokens }),
  };
}

/** What is to be evaluated, read and checked. */
interface Prepared {
  readonly weights: number;
  readonly trained: Omit<StartEvent['trained'], 'steps'>;
  readonly data: Omit<StartEvent['data'], 'builtIn' | 'seed'>;
  estimate(gpu: Gpu, how: EvaluateOptions): Promise<Evaluation & { readonly tokens?: number }>;
}

async function imagesOf(base: string, trained: Trained, job: Job): Promise<Prepared> {
  const { binarize, seed } = trained.options;
  const dataset = binarized(await loadData(base, trained.options), binarize, seed);
  if (job.where === undefined) checkBuiltIn(trained, dataset.name, 'digits', 'its images are');
  const model = trainedVae(trained, dataset);
  const { vae, parameters } = model;
  const test = firstOf(dataset.test, Math.min(job.images ?? dataset.test.count, dataset.test.count));
  const { height, width, channels } = test;
  return {
    weights: parameters.count,
    trained: {
      ...(trained.data && { data: `${trained.data.count} images of ${trained.data.name}` }),
      ...{ beta: vae.beta, particles: vae.particles },
    },
    data: {
      ...{ kind: 'image', name: job.where ?? dataset.name, test: dataset.test.count, images: test.count, binarize },
      size: [height, width, ...(channels > 1 ? [channels] : [])].join('×'),
    },
    estimate(gpu, how) {
      restoreVae(gpu, model);
      return estimateLikelihood(gpu, vae, test, how);
    },
  };
}

async function sentencesOf(base: string, trained: Trained, job: Job): Promise<Prepared> {
  const restored = await trainedText(trained);
  const { model, vocabulary, context, parameters } = restored;
  const { name } = trained;
  if (!(model instanceof TextVAE) || model.latent === 0) {
    const what = model instanceof TextVAE ? 'decoder alone, without a latent' : trained.options.model;
    throw new OptionError(`${name} holds a ${what}: its test loss, which training told last, is the likelihood itself`);
  }
  if (job.where === undefined) checkBuiltIn(trained, BUILT_IN_TEXT, 'sentences', 'its text is');
  const text = await loadText(base, trained.options, vocabulary);
  const { test } = sentenceTensors(text, context);
  const images = Math.min(job.images ?? test!.count, test!.count);
  return {
    weights: parameters.count,
    trained: {
      ...(trained.data && { data: `${trained.data.count} sentences of ${trained.data.name}` }),
      ...{ beta: 1, particles: 1 },
    },
    data: {
      ...{ kind: 'sentence', name: job.where ?? text.name, test: test!.count, images, binarize: 'none' },
      size: `up to ${context} tokens`,
    },
    estimate(gpu, how) {
      restoreText(gpu, restored);
      return estimateSentences(gpu, model, test!, { ...how, images });
    },
  };
}

/** Without the values of single images. */
function summary({ mean, standardError }: Estimate): Summary {
  return { mean, standardError };
}

/** @param where `its images are` */
function checkBuiltIn({ name, data }: Trained, builtIn: string, what: string, where: string): void {
  if (data?.name === builtIn) return;
  const problem = data
    ? `was trained on ${data.name}, not on the built-in ${what}`
    : 'does not say what it was trained on';
  const cure = data ? '' : ', or give the checkpoint beside it';
  throw new OptionError(`${name} ${problem}: say with --data where ${where}${cure}`);
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

/// <reference lib="esnext.disposable" preserve="true" />
// How likely images or sentences are under a VAE: −log p(x) by importance sampling, beside the ELBO and its two terms.
import { checkImageSet, type ImageSet } from '../data/images.ts';
import type { Examples } from '../data/tensors.ts';
import { NotFiniteError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { LatentLayer, LatentModel } from '../models/latent_model.ts';
import type { TextVAE } from '../models/text_vae.ts';
import { difference, type Estimate, estimate, ImportanceBound } from './estimates.ts';
import { type Evaluated, evaluatedImages, evaluatedSentences } from './evaluated.ts';
import { MAX_SAMPLES, Sampler } from './sampler.ts';

export interface EvaluateOptions {
  /** Numbers of samples of z an image, each of which gives an estimate; all from the same samples. */
  readonly samples: readonly number[];
  /** Only the first so many images; all by default. */
  readonly images?: number;
  /** Images at once, 250 by default. The noise depends on it. */
  readonly batch?: number;
  /** Of the noise; 0 by default. */
  readonly seed?: number;
  /** Samples an image in one submit, from 1 to 32; as many as take about 100 ms by default. Changes no bit. */
  readonly samplesPerSubmit?: number;
  readonly onProgress?: (progress: EvaluationProgress) => void;
  /** What an evaluation with the same options had done before it was stopped: it goes on from there, to the same numbers. */
  readonly resume?: EvaluationState | undefined;
  /** Told after each batch of images. */
  readonly onBatch?: (state: EvaluationState) => void | Promise<void>;
  /** Stops: the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Samples of z, of all images together. */
export interface EvaluationProgress {
  readonly done: number;
  readonly total: number;
}

/** What has been done of an evaluation, as JSON can hold it. */
export interface EvaluationState {
  /** Of each image so far. */
  readonly reconstruction: readonly number[];
  readonly kl: readonly number[];
  /** A list for each number of samples. */
  readonly nll: readonly (readonly number[])[];
  /** KL of each number of the code, summed over the images so far. */
  readonly klOfEach: readonly number[];
}

/** A layer of the code. */
export interface LayerUse {
  readonly name: string;
  readonly size: number;
  /** Nats an image. */
  readonly kl: number;
  /** Which of its numbers have a KL term of at least `IN_USE`, averaged over the images. */
  readonly used: readonly number[];
}

/** Nats from which on a number of the code counts as in use. */
export const IN_USE = 0.01;

/** Of −log p(x) from k samples, from above: its expectation falls towards −log p(x) as k grows. */
export interface NllEstimate extends Estimate {
  readonly samples: number;
  /** How far it lies below the ELBO's loss: much surer than either, since the images are the same. */
  readonly below: Estimate;
}

/** Nats per image. */
export interface Evaluation {
  readonly images: number;
  /** reconstruction + kl, whatever weight of the KL term the model was trained with. */
  readonly loss: Estimate;
  /** −log p(x | z), the mean over all samples. */
  readonly reconstruction: Estimate;
  /** KL(q(z | x) ‖ p(z)): exact, or of a code of several layers the mean over all samples. */
  readonly kl: Estimate;
  /** From the one that is nearest to the images on; of several, by one sample an image. */
  readonly layers: readonly LayerUse[];
  /** In the order of the options. */
  readonly nll: readonly NllEstimate[];
}

function checkOptions({ samples, images = 1, batch = 1, seed = 0, samplesPerSubmit = 1 }: EvaluateOptions): void {
  const check = (name: string, value: number, min: number, max: number) => {
    if (Number.isInteger(value) && value >= min && value <= max) return;
    throw new OptionError(`likelihood: ${name} must be a whole number from ${min} to ${max}, got ${value}`);
  };
  if (samples.length === 0)
    throw new OptionError('likelihood: samples is empty; give a number of samples, such as 100');
  for (const count of samples) check('samples', count, 1, 2 ** 31);
  check('images', images, 1, 2 ** 31);
  check('batch', batch, 1, 65536);
  check('seed', seed, 0, 2 ** 32 - 1);
  check('samplesPerSubmit', samplesPerSubmit, 1, MAX_SAMPLES);
}

/**
 * Estimates −log p(x) of each image as −log of the mean of K importance weights p(x, z) / q(z | x), z drawn from
 * q(z | x) (Burda, Grosse and Salakhutdinov, Importance Weighted Autoencoders, 2015, equation 8). The expectation lies
 * above −log p(x), and falls towards it as K grows; K = 1 is the ELBO, negated. Memory does not depend on K.
 *
 * @param images their labels too, for a model that is told labels
 * @throws OptionError if options do not fit, NotFiniteError if a weight is not finite
 */
export async function estimateLikelihood(
  gpu: Gpu,
  vae: LatentModel,
  images: ImageSet,
  options: EvaluateOptions,
): Promise<Evaluation> {
  checkOptions(options);
  checkImageSet(images, 'the images to evaluate');
  if (vae.classes > 0 && !images.labels) throw new OptionError('the model is told labels, and these images have none');
  if (vae.classes > 0 && images.classes > vae.classes) {
    throw new OptionError(`the model is told ${vae.classes} classes, and these images have ${images.classes}`);
  }
  return estimateOf(gpu, evaluatedImages(vae, images), options);
}

/** Nats per sentence. */
export interface SentenceEvaluation extends Evaluation {
  /** Of all sentences together, an end of each included: what a perplexity is a mean over. */
  readonly tokens: number;
}

/**
 * As `estimateLikelihood`, of sentences under a VAE of text.
 *
 * @param sentences as `sentenceTensors` makes them; `images` and `batch` of the options count these
 * @throws OptionError if options do not fit or the model has no latent, NotFiniteError if a weight is not finite
 */
export async function estimateSentences(
  gpu: Gpu,
  model: TextVAE,
  sentences: Examples<'tokens'>,
  options: EvaluateOptions,
): Promise<SentenceEvaluation> {
  checkOptions(options);
  if (model.latent === 0) throw new OptionError('without a latent, the test loss is −log p(x) itself');
  const found = await estimateOf(gpu, evaluatedSentences(model, sentences), options);
  const { shape, data } = sentences.tensors.tokens;
  let tokens = found.images;
  for (let i = 0; i < found.images * shape[0]!; i++) if (data[i] !== model.end) tokens++;
  return { ...found, tokens };
}

async function estimateOf(gpu: Gpu, evaluated: Evaluated, options: EvaluateOptions): Promise<Evaluation> {
  const { samples, seed = 0, resume, onBatch, onProgress, signal } = options;
  const { kind, layers, latent } = evaluated;
  const count = Math.min(options.images ?? evaluated.count, evaluated.count);
  const sampler = new Sampler(gpu, evaluated, Math.min(options.batch ?? 250, count), options.samplesPerSubmit);
  const isLayered = layers.length > 1;
  try {
    await sampler.compile();
    const most = Math.max(...samples);
    const [reconstruction, kl] = [new Float64Array(count), new Float64Array(count)];
    const nll = samples.map(() => new Float64Array(count));
    const klOfEach = new Float64Array(latent);
    let first = 0;
    if (resume) {
      first = checkState(resume, { samples: samples.length, latent, count, batch: sampler.batch });
      reconstruction.set(resume.reconstruction);
      kl.set(resume.kl);
      resume.nll.forEach((values, i) => {
        nll[i]!.set(values);
      });
      klOfEach.set(resume.klOfEach);
    }
    for (; first < count; first += sampler.batch) {
      const size = Math.min(sampler.batch, count - first);
      const bounds = samples.map((k) => new ImportanceBound(k, size));
      const started = await sampler.start(first, size, seed);
      if (!isLayered) kl.set(started.kl.subarray(0, size), first);
      for (let j = 0; j < klOfEach.length; j++) klOfEach[j]! += started.klOfEach[j]!;
      let done = 0;
      for await (const { reconstructions, logWeights } of sampler.draw(most)) {
        signal?.throwIfAborted();
        for (let i = 0; i < size; i++) {
          if (!Number.isFinite(logWeights[i])) {
            throw new NotFiniteError(`${kind} ${first + i}: the log of an importance weight is ${logWeights[i]}`);
          }
          reconstruction[first + i]! += reconstructions[i]! / most;
          if (isLayered) kl[first + i]! -= (logWeights[i]! + reconstructions[i]!) / most;
        }
        for (const bound of bounds) bound.add(logWeights);
        onProgress?.({ done: first * most + ++done * size, total: count * most });
      }
      for (const [i, bound] of bounds.entries()) nll[i]!.set(bound.values(), first);
      const until = first + size;
      await onBatch?.({
        reconstruction: [...reconstruction.subarray(0, until)],
        kl: [...kl.subarray(0, until)],
        nll: nll.map((values) => [...values.subarray(0, until)]),
        klOfEach: [...klOfEach],
      });
    }
    const loss = estimate(reconstruction.map((value, i) => value + kl[i]!));
    const bounds = nll.map(estimate);
    return {
      images: count,
      loss,
      reconstruction: estimate(reconstruction),
      kl: estimate(kl),
      layers: usesOf(layers, klOfEach, count),
      nll: bounds.map((bound, i) => ({ ...bound, samples: samples[i]!, below: difference(loss, bound) })),
    };
  } finally {
    sampler.destroy();
  }
}

/** @returns how many images it is of. @throws OptionError if it is of another evaluation */
function checkState(
  { reconstruction, kl, nll, klOfEach }: EvaluationState,
  { samples, latent, count, batch }: { samples: number; latent: number; count: number; batch: number },
): number {
  const { length } = reconstruction;
  const whole = length === count || (length < count && length % batch === 0);
  const same = nll.length === samples && [kl, ...nll].every((values) => values.length === length);
  if (!whole || !same || klOfEach.length !== latent) {
    throw new OptionError('likelihood: what is to be gone on with is of another evaluation');
  }
  return length;
}

function usesOf(layers: readonly LatentLayer[], klOfEach: Float64Array, count: number): LayerUse[] {
  let at = 0;
  return layers.map(({ name, size }) => {
    const each = klOfEach.subarray(at, at + size).map((total) => total / count);
    at += size;
    const used = [...each.keys()].filter((i) => each[i]! >= IN_USE);
    return { name, size, kl: each.reduce((a, b) => a + b, 0), used };
  });
}

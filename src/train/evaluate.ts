/// <reference lib="esnext.disposable" preserve="true" />
// How likely images are under a VAE: −log p(x) by importance sampling, beside the ELBO and its two terms.
import { checkImageSet, type ImageSet } from '../data/images.ts';
import { NotFiniteError, OptionError } from '../errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { VAE } from '../models/vae.ts';
import { inEvaluation } from '../nn/training.ts';
import { gaussianKl } from '../ops/composite.ts';
import { add, equal, modulo, neg, where } from '../ops/elementwise.ts';
import { normal } from '../ops/random.ts';
import { sum } from '../ops/reduce.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import { concat, reshape } from '../ops/view.ts';
import { compile } from '../runtime/compile.ts';
import type { Program } from '../runtime/program.ts';
import { Readback } from '../runtime/readback.ts';
import { freeVariables, rangeOf, writeVariable } from '../runtime/variables.ts';
import { difference, type Estimate, estimate, ImportanceBound } from './estimates.ts';

/** Most samples an image in one submit; also the rows that a readback takes along. */
const MAX_SAMPLES = 32;
/** A submit should take about this long, so that a page stays alive: milliseconds. */
const SUBMIT_MS = 100;
/** Submits under way, so that the GPU need not wait for the sums. */
const AHEAD = 2;
/** Of the random numbers, apart from the trainer's. */
const STREAM = 4;

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
  /** Stops: the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Samples of z, of all images together. */
export interface EvaluationProgress {
  readonly done: number;
  readonly total: number;
}

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
  /** KL(q(z | x) ‖ p(z)), exact. */
  readonly kl: Estimate;
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
  vae: VAE,
  images: ImageSet,
  options: EvaluateOptions,
): Promise<Evaluation> {
  checkOptions(options);
  checkImageSet(images, 'the images to evaluate');
  if (vae.classes > 0 && !images.labels) throw new OptionError('the model is told labels, and these images have none');
  if (vae.classes > 0 && images.classes > vae.classes) {
    throw new OptionError(`the model is told ${vae.classes} classes, and these images have ${images.classes}`);
  }
  const { samples, seed = 0, onProgress, signal } = options;
  const count = Math.min(options.images ?? images.count, images.count);
  const sampler = new Sampler(gpu, vae, images, Math.min(options.batch ?? 250, count), options);
  try {
    await sampler.compile(vae);
    const most = Math.max(...samples);
    const [reconstruction, kl] = [new Float64Array(count), new Float64Array(count)];
    const nll = samples.map(() => new Float64Array(count));
    for (let first = 0; first < count; first += sampler.batch) {
      const size = Math.min(sampler.batch, count - first);
      const bounds = samples.map((k) => new ImportanceBound(k, size));
      kl.set((await sampler.start(first, seed)).subarray(0, size), first);
      let done = 0;
      for await (const { reconstructions, logWeights } of sampler.draw(most)) {
        signal?.throwIfAborted();
        for (let i = 0; i < size; i++) {
          if (!Number.isFinite(logWeights[i])) {
            throw new NotFiniteError(`image ${first + i}: the log of an importance weight is ${logWeights[i]}`);
          }
          reconstruction[first + i]! += reconstructions[i]! / most;
        }
        for (const bound of bounds) bound.add(logWeights);
        onProgress?.({ done: first * most + ++done * size, total: count * most });
      }
      for (const [i, bound] of bounds.entries()) nll[i]!.set(bound.values(), first);
    }
    const loss = estimate(reconstruction.map((value, i) => value + kl[i]!));
    const bounds = nll.map(estimate);
    return {
      images: count,
      loss,
      reconstruction: estimate(reconstruction),
      kl: estimate(kl),
      nll: bounds.map((bound, i) => ({ ...bound, samples: samples[i]!, below: difference(loss, bound) })),
    };
  } finally {
    sampler.destroy();
  }
}

/** What one sample of z an image gave, one number an image. */
interface Draw {
  readonly reconstructions: Float32Array;
  readonly logWeights: Float32Array;
}

/** Draws from q(z | x) of a batch of images, one sample an image a step, and weighs what it drew. */
class Sampler {
  readonly batch: number;
  private readonly gpu: Gpu;
  private readonly set: ImageSet;
  private readonly perSubmit: number | undefined;
  private readonly images: Variable;
  private readonly labels: Variable | undefined;
  /** The encoder runs once; the posterior stays for all samples. */
  private readonly mean: Variable;
  private readonly logvar: Variable;
  private readonly key = new Variable('key', [2], { dtype: 'u32' });
  /** Samples drawn an image, which the noise is counted by: how many share a submit changes no bit. */
  private readonly drawn = new Variable('samples drawn', [], { dtype: 'u32' });
  /** A row a sample: the reconstructions, then the log weights. */
  private readonly history: Variable;
  private readonly readback: Readback;
  private readonly programs: Program[] = [];
  private msPerSample = 0;

  constructor(gpu: Gpu, vae: VAE, set: ImageSet, batch: number, { samplesPerSubmit }: EvaluateOptions) {
    this.gpu = gpu;
    this.set = set;
    this.batch = batch;
    this.perSubmit = samplesPerSubmit;
    this.images = new Variable('images', [batch, set.height * set.width * set.channels]);
    if (vae.classes > 0) this.labels = new Variable('labels', [batch], { dtype: 'u32' });
    this.mean = new Variable('posterior mean', [batch, vae.latent]);
    this.logvar = new Variable('posterior logvar', [batch, vae.latent]);
    this.history = new Variable('history', [MAX_SAMPLES, 2 * batch]);
    this.readback = new Readback(gpu, () => rangeOf(gpu, this.history), 'f32', AHEAD + 1);
  }

  async compile(vae: VAE): Promise<void> {
    for (const description of [this.encoding(vae), this.sampling(vae)]) {
      this.programs.push(await compile(this.gpu, description));
    }
  }

  private encoding(vae: VAE) {
    const { mean, logvar } = inEvaluation(() => vae.encode(this.images.tensor, this.labels?.tensor));
    return {
      outputs: { kl: sum(gaussianKl(mean, logvar), { axis: 1 }) },
      updates: [
        { variable: this.mean, value: mean },
        { variable: this.logvar, value: logvar },
      ],
    };
  }

  private sampling(vae: VAE) {
    const { batch } = this;
    const counter = this.drawn.tensor;
    const noise = normal([1, batch, vae.latent], { key: this.key.tensor, counter, stream: STREAM });
    const posterior = { mean: this.mean.tensor, logvar: this.logvar.tensor };
    const terms = inEvaluation(() => vae.importance(this.images.tensor, posterior, noise, this.labels?.tensor));
    const row = concat([terms.reconstruction, neg(add(terms.reconstruction, terms.divergence))], 1);
    const isCurrent = equal(iota([MAX_SAMPLES, 1], 0, 'u32'), modulo(counter, constant(MAX_SAMPLES, 'u32')));
    return {
      updates: [
        { variable: this.history, value: where(isCurrent, reshape(row, [1, 2 * batch]), this.history.tensor) },
        { variable: this.drawn, value: add(counter, constant(1, 'u32')) },
      ],
    };
  }

  /** Takes the images from `first` on; past the last one come black ones. @returns their KL terms */
  async start(first: number, seed: number): Promise<Float32Array> {
    const { gpu, batch, set } = this;
    const pixels = this.images.size / batch;
    const images = new Float32Array(this.images.size);
    images.set(Float32Array.from(set.images.subarray(first * pixels, (first + batch) * pixels), (byte) => byte / 255));
    writeVariable(gpu, this.images, images);
    if (this.labels && set.labels) {
      const labels = new Uint32Array(batch);
      labels.set(set.labels.subarray(first, first + batch));
      writeVariable(gpu, this.labels, labels);
    }
    writeVariable(gpu, this.key, Uint32Array.of(seed, first / batch));
    writeVariable(gpu, this.drawn, new Uint32Array(1));
    const encoder = this.programs[0]!;
    encoder.run();
    return (await encoder.read('kl')) as Float32Array;
  }

  /** So many samples an image. */
  async *draw(samples: number): AsyncGenerator<Draw> {
    const program = this.programs[1]!;
    const { batch, readback } = this;
    const underway: { readonly first: number; readonly count: number; readonly values: Promise<Float32Array> }[] = [];
    let submitted = 0;
    let since = performance.now();
    try {
      while (submitted < samples || underway.length > 0) {
        while (submitted < samples && underway.length < AHEAD) {
          const count = Math.min(this.samplesPerSubmit(), samples - submitted);
          program.run({}, { steps: count }, (encoder) => readback.record(encoder));
          const values = readback.fetch() as Promise<Float32Array>;
          // It is awaited later; until then, its failure is nobody's.
          values.catch(() => {});
          underway.push({ first: submitted, count, values });
          submitted += count;
        }
        const { first, count, values } = underway[0]!;
        const history = await values;
        underway.shift();
        const now = performance.now();
        this.msPerSample = (now - since) / count;
        since = now;
        for (let sample = first; sample < first + count; sample++) {
          const start = (sample % MAX_SAMPLES) * 2 * batch;
          const row = history.subarray(start, start + 2 * batch);
          yield { reconstructions: row.subarray(0, batch), logWeights: row.subarray(batch) };
        }
      }
    } finally {
      // Whoever leaves early leaves nothing under way.
      await Promise.allSettled(underway.map(({ values }) => values));
    }
  }

  private samplesPerSubmit(): number {
    if (this.perSubmit) return this.perSubmit;
    if (!this.msPerSample) return 1;
    return Math.max(1, Math.min(MAX_SAMPLES, Math.round(SUBMIT_MS / this.msPerSample)));
  }

  /** The model's own variables stay. */
  destroy(): void {
    for (const program of this.programs) program.destroy();
    this.readback.destroy();
    const { images, labels, mean, logvar, key, drawn, history } = this;
    freeVariables(this.gpu, [images, ...(labels ? [labels] : []), mean, logvar, key, drawn, history]);
  }
}

// Samples of the codes of images, and the importance weights of these: what an estimate of likelihood is made of.
import type { ImageSet } from '../data/images.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { LatentModel, Prepared } from '../models/latent_model.ts';
import { inEvaluation } from '../nn/training.ts';
import { add, equal, modulo, mul, neg, where } from '../ops/elementwise.ts';
import { normal } from '../ops/random.ts';
import { sum } from '../ops/reduce.ts';
import { constant, iota, Variable } from '../ops/source.ts';
import type { Tensor } from '../ops/tensor.ts';
import { concat, reshape } from '../ops/view.ts';
import { compile } from '../runtime/compile.ts';
import type { Program } from '../runtime/program.ts';
import { Readback } from '../runtime/readback.ts';
import { freeVariables, rangeOf, writeVariable } from '../runtime/variables.ts';

/** Most samples an image in one submit; also the rows that a readback takes along. */
export const MAX_SAMPLES = 32;
/** A submit should take about this long, so that a page stays alive: milliseconds. */
const SUBMIT_MS = 100;
/** Submits under way, so that the GPU need not wait for the sums. */
const AHEAD = 2;
/** Of the random numbers, apart from the trainer's. */
const STREAM = 4;

/** What one sample of z an image gave, one number an image. */
interface Draw {
  readonly reconstructions: Float32Array;
  readonly logWeights: Float32Array;
}

/** Draws from q(z | x) of a batch of images, one sample an image a step, and weighs what it drew. */
export class Sampler {
  readonly batch: number;
  private readonly gpu: Gpu;
  private readonly set: ImageSet;
  private readonly perSubmit: number | undefined;
  private readonly images: Variable;
  private readonly labels: Variable | undefined;
  /** What of the images is the same for all samples is computed once, and stays. */
  private readonly prepared = new Map<string, Variable>();
  /** 1 for each image, 0 for what fills the batch. */
  private readonly counted: Variable;
  private readonly key = new Variable('key', [2], { dtype: 'u32' });
  /** Samples drawn an image, which the noise is counted by: how many share a submit changes no bit. */
  private readonly drawn = new Variable('samples drawn', [], { dtype: 'u32' });
  /** A row a sample: the reconstructions, then the log weights. */
  private readonly history: Variable;
  private readonly readback: Readback;
  private readonly programs: Program[] = [];
  private msPerSample = 0;

  constructor(gpu: Gpu, vae: LatentModel, set: ImageSet, batch: number, samplesPerSubmit: number | undefined) {
    this.gpu = gpu;
    this.set = set;
    this.batch = batch;
    this.perSubmit = samplesPerSubmit;
    this.images = new Variable('images', [batch, set.height * set.width * set.channels]);
    if (vae.classes > 0) this.labels = new Variable('labels', [batch], { dtype: 'u32' });
    this.counted = new Variable('counted', [batch, 1]);
    this.history = new Variable('history', [MAX_SAMPLES, 2 * batch]);
    this.readback = new Readback(gpu, () => rangeOf(gpu, this.history), 'f32', AHEAD + 1);
  }

  async compile(vae: LatentModel): Promise<void> {
    for (const description of [this.encoding(vae), this.sampling(vae)]) {
      this.programs.push(await compile(this.gpu, description));
    }
  }

  private noise(shape: readonly number[], stream: number): Tensor {
    return normal(shape, { key: this.key.tensor, counter: this.drawn.tensor, stream });
  }

  private encoding(vae: LatentModel) {
    const { batch, prepared, counted } = this;
    const made = inEvaluation(() => vae.prepare(this.images.tensor, this.labels?.tensor));
    const each = inEvaluation(() => vae.klOfEach(made, this.noise([batch, vae.latent], STREAM + 1)));
    return {
      outputs: { kl: sum(each, { axis: 1 }), klOfEach: sum(mul(each, counted.tensor), { axis: 0 }) },
      updates: Object.entries(made).map(([name, value]) => {
        const variable = new Variable(`prepared ${name}`, value.shape);
        prepared.set(name, variable);
        return { variable, value };
      }),
    };
  }

  private sampling(vae: LatentModel) {
    const { batch } = this;
    const counter = this.drawn.tensor;
    const noise = this.noise([1, batch, vae.latent], STREAM);
    const prepared: Prepared = Object.fromEntries([...this.prepared].map(([name, { tensor }]) => [name, tensor]));
    const terms = inEvaluation(() => vae.importance(this.images.tensor, prepared, noise, this.labels?.tensor));
    const row = concat([terms.reconstruction, neg(add(terms.reconstruction, terms.divergence))], 1);
    const isCurrent = equal(iota([MAX_SAMPLES, 1], 0, 'u32'), modulo(counter, constant(MAX_SAMPLES, 'u32')));
    return {
      updates: [
        { variable: this.history, value: where(isCurrent, reshape(row, [1, 2 * batch]), this.history.tensor) },
        { variable: this.drawn, value: add(counter, constant(1, 'u32')) },
      ],
    };
  }

  /** Takes `size` images from `first` on; what fills the batch is black. @returns KL of each image, and of each number, summed */
  async start(first: number, size: number, seed: number) {
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
    writeVariable(gpu, this.counted, new Float32Array(batch).fill(1, 0, size));
    writeVariable(gpu, this.key, Uint32Array.of(seed, first / batch));
    writeVariable(gpu, this.drawn, new Uint32Array(1));
    const encoder = this.programs[0]!;
    encoder.run();
    const [kl, klOfEach] = [await encoder.read('kl'), await encoder.read('klOfEach')] as [Float32Array, Float32Array];
    return { kl, klOfEach };
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
    const { images, labels, prepared, counted, key, drawn, history } = this;
    freeVariables(this.gpu, [images, ...(labels ? [labels] : []), ...prepared.values(), counted, key, drawn, history]);
  }
}

// Samples of the codes of examples, and the importance weights of these: what an estimate of likelihood is made of.
import type { Gpu } from '../gpu/gpu.ts';
import type { Prepared } from '../models/latent_model.ts';
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
import type { Evaluated, EvaluatedBatch } from './evaluated.ts';

/** Most samples an example in one submit; also the rows that a readback takes along. */
export const MAX_SAMPLES = 32;
/** A submit should take about this long, so that a page stays alive: milliseconds. */
const SUBMIT_MS = 100;
/** Submits under way, so that the GPU need not wait for the sums. */
const AHEAD = 2;
/** Of the random numbers, apart from the trainer's. */
const STREAM = 4;

/** What one sample of z an example gave, one number an example. */
interface Draw {
  readonly reconstructions: Float32Array;
  readonly logWeights: Float32Array;
}

/** Draws from q(z | x) of a batch of examples, one sample an example a step, and weighs what it drew. */
export class Sampler {
  readonly batch: number;
  private readonly gpu: Gpu;
  private readonly evaluated: EvaluatedBatch;
  private readonly latent: number;
  private readonly perSubmit: number | undefined;
  /** What of the examples is the same for all samples is computed once, and stays. */
  private readonly prepared = new Map<string, Variable>();
  /** 1 for each example, 0 for what fills the batch. */
  private readonly counted: Variable;
  private readonly key = new Variable('key', [2], { dtype: 'u32' });
  /** Samples drawn an example, which the noise is counted by: how many share a submit changes no bit. */
  private readonly drawn = new Variable('samples drawn', [], { dtype: 'u32' });
  /** A row a sample: the reconstructions, then the log weights. */
  private readonly history: Variable;
  private readonly readback: Readback;
  private readonly programs: Program[] = [];
  private msPerSample = 0;

  constructor(gpu: Gpu, evaluated: Evaluated, batch: number, samplesPerSubmit: number | undefined) {
    this.gpu = gpu;
    this.evaluated = evaluated.batch(batch);
    this.latent = evaluated.latent;
    this.batch = batch;
    this.perSubmit = samplesPerSubmit;
    this.counted = new Variable('counted', [batch, 1]);
    this.history = new Variable('history', [MAX_SAMPLES, 2 * batch]);
    this.readback = new Readback(gpu, () => rangeOf(gpu, this.history), 'f32', AHEAD + 1);
  }

  async compile(): Promise<void> {
    for (const description of [this.encoding(), this.sampling()]) {
      this.programs.push(await compile(this.gpu, description));
    }
  }

  private noise(shape: readonly number[], stream: number): Tensor {
    return normal(shape, { key: this.key.tensor, counter: this.drawn.tensor, stream });
  }

  private encoding() {
    const { batch, latent, evaluated, prepared, counted } = this;
    const made = inEvaluation(() => evaluated.prepare());
    const each = inEvaluation(() => evaluated.klOfEach(made, this.noise([batch, latent], STREAM + 1)));
    return {
      outputs: { kl: sum(each, { axis: 1 }), klOfEach: sum(mul(each, counted.tensor), { axis: 0 }) },
      updates: Object.entries(made).map(([name, value]) => {
        const variable = new Variable(`prepared ${name}`, value.shape);
        prepared.set(name, variable);
        return { variable, value };
      }),
    };
  }

  private sampling() {
    const { batch, latent, evaluated } = this;
    const counter = this.drawn.tensor;
    const noise = this.noise([1, batch, latent], STREAM);
    const prepared: Prepared = Object.fromEntries([...this.prepared].map(([name, { tensor }]) => [name, tensor]));
    const terms = inEvaluation(() => evaluated.importance(prepared, noise));
    const row = concat([terms.reconstruction, neg(add(terms.reconstruction, terms.divergence))], 1);
    const isCurrent = equal(iota([MAX_SAMPLES, 1], 0, 'u32'), modulo(counter, constant(MAX_SAMPLES, 'u32')));
    return {
      updates: [
        { variable: this.history, value: where(isCurrent, reshape(row, [1, 2 * batch]), this.history.tensor) },
        { variable: this.drawn, value: add(counter, constant(1, 'u32')) },
      ],
    };
  }

  /** Takes `size` examples from `first` on. @returns KL of each example, and of each number, summed */
  async start(first: number, size: number, seed: number) {
    const { gpu, batch } = this;
    this.evaluated.load(gpu, first);
    writeVariable(gpu, this.counted, new Float32Array(batch).fill(1, 0, size));
    writeVariable(gpu, this.key, Uint32Array.of(seed, first / batch));
    writeVariable(gpu, this.drawn, new Uint32Array(1));
    const encoder = this.programs[0]!;
    encoder.run();
    const [kl, klOfEach] = [await encoder.read('kl'), await encoder.read('klOfEach')] as [Float32Array, Float32Array];
    return { kl, klOfEach };
  }

  /** So many samples an example. */
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
    const { evaluated, prepared, counted, key, drawn, history } = this;
    freeVariables(this.gpu, [...evaluated.variables, ...prepared.values(), counted, key, drawn, history]);
  }
}

// What a run computes, as graphs: the training step, the test, the pictures. No device is known here.
import type { Batch, TensorDataset } from '../data/tensors.ts';
import { OptionError, ShapeError } from '../errors.ts';
import type { Update } from '../graph/graph.ts';
import { type ImageBatch, Model } from '../models/model.ts';
import type { Module, ModuleBuffer } from '../nn/module.ts';
import type { Optimizer, Step } from '../nn/optimizers.ts';
import { inEvaluation, inTraining } from '../nn/training.ts';
import { add, equal, modulo, mul, where } from '../ops/elementwise.ts';
import type { RandomKey } from '../ops/random.ts';
import { mean, sum } from '../ops/reduce.ts';
import { type Block, constant, iota, Variable } from '../ops/source.ts';
import { show, Tensor } from '../ops/tensor.ts';
import { concat, reshape } from '../ops/view.ts';
import { type GpuDataset, MAX_STEPS } from './dataset.ts';
import type { LossContext } from './loss.ts';
import type { Picture } from './pictures.ts';
import { blocksOf } from './snapshots.ts';

/** Streams of random numbers, one for each use. */
const STREAMS = { train: 1, test: 2, samples: 3 } as const;

/**
 * What is minimised: a scalar, or terms of the examples, f32 [batch] each. The first of several is the loss, and told as
 * `loss`; the others are shown beside it.
 */
export type Loss<Name extends string = string> = (
  batch: Batch<Name>,
  context: LossContext,
) => Tensor | Readonly<Record<string, Tensor>>;

export interface GraphOptions {
  readonly model: Module;
  readonly loss: Loss | undefined;
  readonly optimizer: Optimizer;
  readonly data: TensorDataset;
  readonly examples: GpuDataset;
  readonly batch: number;
  /** Two u32, with their first values, for noise and shuffle. */
  readonly key: Variable;
}

export class RunGraphs {
  /** Names of the terms; the first is `loss`. */
  readonly terms: readonly string[];
  readonly loss: Tensor;
  /** Of a step. */
  readonly updates: readonly Update[];
  /** Whether every term has a number for each example; a scalar is tested on whole batches. */
  readonly perExample: boolean;
  /** A row a step, f32 [MAX_STEPS, terms + 1]: the terms, then whether the step was made. */
  readonly history: Variable;
  readonly testIndex = new Variable('test index', [], { dtype: 'u32' });
  readonly testSums: Variable;
  /** Where the weights are while their average stands in their place. */
  readonly trained: Variable;
  /** What the model keeps beside its parameters: running statistics. */
  readonly buffers: ReadonlyMap<string, ModuleBuffer>;
  readonly options: GraphOptions;

  constructor(options: GraphOptions) {
    this.options = options;
    this.buffers = options.model.namedBuffers();
    const counter = options.optimizer.step.tensor;
    const batch = options.examples.trainBatch(counter);
    const key = this.randomKey(counter, 'train');
    const { value, updates } = inTraining(key, () => this.termsOf(batch, { key, step: counter }));
    const terms = Object.fromEntries(Object.entries(value).map(([name, values]) => [name, mean(values)]));
    this.perExample = Object.values(value).every(({ shape }) => shape.length > 0);
    this.terms = Object.keys(terms);
    this.loss = terms.loss!;
    const step = options.optimizer.minimize(this.loss, updates);
    this.history = new Variable('history', [MAX_STEPS, this.terms.length + 1]);
    this.trained = new Variable('trained weights', options.optimizer.parameters.flat.shape);
    this.testSums = new Variable('test sums', [this.terms.length]);
    this.updates = [...step.updates, { variable: this.history, value: this.historyAfter(Object.values(terms), step) }];
  }

  private randomKey(counter: Tensor, stream: keyof typeof STREAMS): RandomKey {
    return { key: this.options.key.tensor, counter, stream: STREAMS[stream] };
  }

  /** The terms of a batch, by name, as the loss gives them. */
  private termsOf(examples: Batch, context: LossContext): Record<string, Tensor> {
    const { loss, model, batch } = this.options;
    if (!loss && !(model instanceof Model)) {
      throw new OptionError(
        `Trainer: ${model.constructor.name} says no loss: give loss: (batch) => …, which returns f32 [${batch}]`,
      );
    }
    const given = loss
      ? loss(examples, context)
      : (model as Model).terms(examples as unknown as ImageBatch, context.key, context.step);
    const all = given instanceof Tensor ? { loss: given } : given;
    const [[, first] = [], ...others] = Object.entries(all ?? {});
    const terms: Record<string, Tensor> = { loss: first!, ...Object.fromEntries(others) };
    for (const [name, term] of Object.entries(terms)) {
      if (term instanceof Tensor && term.dtype === 'f32' && ['', String(batch)].includes(String(term.shape))) continue;
      const got = term instanceof Tensor ? `${term.dtype} ${show(term.shape)}` : String(term);
      throw new ShapeError(
        `the loss gave ${got} for ${name}: terms are f32 [${batch}], a number for each example, or one scalar`,
      );
    }
    return terms;
  }

  private historyAfter(terms: readonly Tensor[], { finite }: Step): Tensor {
    const row = concat(
      [...terms, finite].map((value) => reshape(value, [1, 1])),
      1,
    );
    const current = modulo(this.options.optimizer.step.tensor, constant(MAX_STEPS, 'u32'));
    const isCurrent = equal(iota([MAX_STEPS, 1], 0, 'u32'), current);
    return where(isCurrent, row, this.history.tensor);
  }

  /** Adds one batch of the test to the sums, and goes on to the next. */
  test(): { updates: Update[] } {
    const index = this.testIndex.tensor;
    const { mask, batch } = this.options.examples.testBatch(index);
    const key = this.randomKey(index, 'test');
    const terms = inEvaluation(() => this.termsOf(batch, { key, step: undefined }));
    const one = (values: Tensor) => (this.perExample ? sum(mul(values, mask)) : mean(values));
    const sums = concat(Object.values(terms).map((values) => reshape(one(values), [1])));
    return {
      updates: [
        { variable: this.testSums, value: add(this.testSums.tensor, sums) },
        { variable: this.testIndex, value: add(index, 1) },
      ],
    };
  }

  /** @param build from the first test examples, so many */
  pictures(count: number, build: (examples: Batch, key: RandomKey) => Record<string, Picture>) {
    const key = this.randomKey(constant(0, 'u32'), 'samples');
    return inEvaluation(() => build(this.options.examples.examples(count), key));
  }

  /** Where all lies that steps change, or that somebody may have set: what a run goes on from on another device. */
  get state(): Block[] {
    const { optimizer, examples } = this.options;
    const own = [optimizer.parameters.flat, ...optimizer.variables, ...this.buffers.values()];
    const roots = this.updates.map(({ value }) => value);
    return blocksOf(roots, own, [...examples.variables, this.history]);
  }

  /** Its own variables, which go with it. */
  get variables(): Variable[] {
    const { optimizer, key, examples } = this.options;
    return [
      ...optimizer.variables,
      key,
      this.history,
      this.testIndex,
      this.testSums,
      this.trained,
      ...examples.variables,
    ];
  }
}

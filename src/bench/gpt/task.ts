// A transformer that learns and that writes: sizes, first weights and tokens, the same for all engines. Knows no engine.
import { type NdArray, randomFrom, sizeOf, uniform } from '../arrays.ts';
import type { Work } from '../results.ts';

export interface GptSizes {
  readonly vocabulary: number;
  readonly context: number;
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
}

/** AdamW with β₁ 0.9, without decay of biases and norms. */
export interface AdamWOptions {
  readonly lr: number;
  readonly beta2: number;
  readonly weightDecay: number;
  /** A longer gradient is scaled down to this norm. */
  readonly maxNorm: number;
}

/** A training step on windows of a text. */
export interface GptTask {
  readonly kind: 'gpt';
  readonly sizes: GptSizes;
  readonly batch: number;
  readonly optimizer: AdamWOptions;
  /** First weights under GPT-2's names. */
  readonly weights: ReadonlyMap<string, NdArray>;
  /** Two batches of windows, [batch, context + 1], which come in turns. */
  readonly batches: readonly [Int32Array, Int32Array];
}

/** Tokens that follow a prompt, the most likely each time; prompt and tokens fit the context. */
export interface WriteTask {
  readonly kind: 'write';
  readonly sizes: GptSizes;
  readonly weights: ReadonlyMap<string, NdArray>;
  readonly prompt: readonly number[];
  readonly count: number;
  /** Whether an engine that can keeps keys and values of what it has read. */
  readonly cache: boolean;
}

/** nanoGPT's for a CPU, and its optimizer; the rate does not change. */
const CPU_RECIPE = {
  sizes: { vocabulary: 65, context: 64, layers: 4, heads: 4, width: 128 },
  batch: 12,
  optimizer: { lr: 1e-3, beta2: 0.99, weightDecay: 0.1, maxNorm: 1 },
} as const;

/** Of weights under GPT-2's names, those of matrices being [in, out]. */
export function weightShapes({ vocabulary, context, layers, width }: GptSizes): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  const layer = (name: string, weight: readonly number[]) => {
    shapes.set(`${name}.weight`, weight);
    shapes.set(`${name}.bias`, weight.slice(-1));
  };
  shapes.set('transformer.wte.weight', [vocabulary, width]);
  shapes.set('transformer.wpe.weight', [context, width]);
  for (let i = 0; i < layers; i++) {
    const block = `transformer.h.${i}`;
    layer(`${block}.ln_1`, [width]);
    layer(`${block}.attn.c_attn`, [width, 3 * width]);
    layer(`${block}.attn.c_proj`, [width, width]);
    layer(`${block}.ln_2`, [width]);
    layer(`${block}.mlp.c_fc`, [width, 4 * width]);
    layer(`${block}.mlp.c_proj`, [4 * width, width]);
  }
  layer('transformer.ln_f', [width]);
  return shapes;
}

/** Larger than a training would begin with, so that every part of the model shows in the loss and in what is written. */
function weightsOf(sizes: GptSizes, random: () => number): Map<string, NdArray> {
  return new Map(
    [...weightShapes(sizes)].map(([name, shape]) => {
      if (/ln_\w\.weight$/.test(name)) {
        const near = uniform(shape, 0.2, random);
        return [name, { shape, data: near.data.map((value) => 1 + value) }];
      }
      const bound = name.endsWith('bias') || /wte|wpe/.test(name) ? 0.2 : Math.sqrt(3 / shape[0]!);
      return [name, uniform(shape, bound, random)];
    }),
  );
}

export function gptTask(
  { sizes, batch, optimizer }: Pick<GptTask, 'sizes' | 'batch' | 'optimizer'> = CPU_RECIPE,
  random = randomFrom(6),
): GptTask {
  const weights = weightsOf(sizes, random);
  const size = batch * (sizes.context + 1);
  const tokens = () => Int32Array.from({ length: size }, () => Math.floor(random() * sizes.vocabulary));
  return { kind: 'gpt', sizes, batch, optimizer, weights, batches: [tokens(), tokens()] };
}

/** How much is written: a prompt of a few tokens, and what follows it. */
const WRITTEN = { prompt: 8, count: 16 };

export function writeTask(cache: boolean, sizes: GptSizes = CPU_RECIPE.sizes, written = WRITTEN): WriteTask {
  const random = randomFrom(8);
  const weights = weightsOf(sizes, random);
  const prompt = Array.from({ length: written.prompt }, () => Math.floor(random() * sizes.vocabulary));
  return { kind: 'write', sizes, weights, prompt, count: written.count, cache };
}

/** Multiply-adds of the matmuls at one token; the last is by the embedding's own weight. */
function matmulsOf({ vocabulary, layers, width }: GptSizes): number {
  return layers * 12 * width ** 2 + vocabulary * width;
}

function parametersOf(sizes: GptSizes): number {
  return [...weightShapes(sizes).values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
}

export function gptWork(): Work {
  const { sizes, batch } = CPU_RECIPE;
  const { context, layers, width } = sizes;
  return {
    // Of a matmul both gradients are wanted; of attention's, two forward and five backward, causality asks for half.
    flops: batch * context * (6 * matmulsOf(sizes) + layers * 7 * width * context),
    // Weights and both moments, in and out.
    bytes: 4 * 6 * parametersOf(sizes),
  };
}

/** With a cache each token is computed once, without one the whole window for each that is written. */
export function writeWork(cache: boolean): Work {
  const { sizes } = CPU_RECIPE;
  const { context, layers, width } = sizes;
  const { prompt, count } = WRITTEN;
  const read = prompt + count - 1;
  const whole = context * (2 * matmulsOf(sizes) + layers * 2 * width * context);
  return {
    flops: cache ? read * (2 * matmulsOf(sizes) + layers * 2 * width * read) : count * whole,
    // Each run of the model reads all weights.
    bytes: 4 * parametersOf(sizes) * (cache ? read : count),
    tokens: count,
  };
}

// The training steps of the models that are trained by name: loss, gradients, optimizer, running statistics.
import type { Dataset } from '../../src/data/images.ts';
import { textFromString } from '../../src/data/text.ts';
import { type Graph, rootsOf, topological } from '../../src/graph/graph.ts';
import type { Model } from '../../src/models/model.ts';
import { inTraining } from '../../src/nn/training.ts';
import { randomKey } from '../../src/ops/random.ts';
import { mean } from '../../src/ops/reduce.ts';
import { input, type Variable } from '../../src/ops/source.ts';
import type { Tensor } from '../../src/ops/tensor.ts';
import { runOf } from '../../src/train/named.ts';
import { completeOptions, type GivenOptions, optionsOf } from '../../src/train/options.ts';
import { isTextEntry, MODELS, modelEntry } from '../../src/train/registry/registry.ts';
import type { Case } from './random_graph.ts';

/** Many steps that are alike, of ops that the others have: too long to plan for every adapter. */
const LONG = ['hvae'];

export const modelNames = [...MODELS.keys()].filter((name) => !LONG.includes(name));

const text = await textFromString('text', 'gates\nhow\nwind\nblack\nquiz\njumps\nvex\n'.repeat(60));

/** Grey images, of ten classes. */
function imagesOf(side: number, count: number): Dataset {
  const images = Uint8Array.from({ length: count * side * side }, (_, i) => (37 * i) % 256);
  const labels = Uint8Array.from({ length: count }, (_, i) => (7 * i) % 10);
  const set = { height: side, width: side, channels: 1, classes: 10, count, images, labels };
  return { name: 'images', train: set, test: set };
}

/** A model's step with a batch that is given to it: `images` and `labels`, or `tokens`. */
function stepOf(
  given: GivenOptions,
  side: number,
): { graph: Graph; batch: Record<string, Tensor>; variables: Variable[] } {
  const options = completeOptions(given);
  const isText = isTextEntry(modelEntry(options.model));
  const { model, loss, optimizer } = runOf(isText ? text : imagesOf(side, options.batch), options);
  const step = optimizer!.step.tensor;
  const key = randomKey(1, step);
  const batch: Readonly<Record<string, Tensor>> = isText
    ? { tokens: input('tokens', [options.batch, Number(options.context) + 1], 'u32') }
    : { images: input('images', [options.batch, side * side]), labels: input('labels', [options.batch], 'u32') };
  const { value, updates } = inTraining(key, () =>
    loss ? loss(batch, { key, step }) : (model as Model).terms(batch as never, key, step),
  );
  const mine = mean((value as Readonly<Record<string, Tensor>>).loss!);
  const minimized = optimizer!.minimize(mine, updates);
  const graph = { outputs: { loss: mine, norm: minimized.gradientNorm }, updates: minimized.updates };
  const used = new Set(topological(rootsOf(graph)));
  return {
    graph,
    batch: Object.fromEntries(Object.entries(batch).filter(([, tensor]) => used.has(tensor))),
    variables: minimized.updates.map(({ variable }) => variable),
  };
}

/** With the sizes that a model has by default. */
export function modelSteps(): Record<string, () => Graph> {
  return Object.fromEntries(modelNames.map((name) => [name, () => stepOf({ model: name }, 28).graph]));
}

/** What makes a model narrow, where it has such an option: in float64 a step of the widths by default takes seconds. */
const NARROW = { hidden: 20, latent: 4, codes: 12, particles: 3, layers: 2, width: 24, heads: 3, context: 7 };

/** The step of a narrow model with small images or sentences, and all that a run of it takes. */
export function smallStep(model: string, side: number): Case {
  const own = optionsOf(model);
  const narrow = Object.fromEntries(Object.entries(NARROW).filter(([option]) => option in own));
  const { graph, batch, variables } = stepOf({ model, batch: 6, ...narrow }, side);
  const numbers = Object.fromEntries(
    Object.entries(batch).map(([name, { dtype, size }]) => [
      name,
      dtype === 'u32'
        ? Uint32Array.from({ length: size }, (_, i) => (7 * i) % 10)
        : Float32Array.from({ length: size }, (_, i) => Math.fround(Math.abs(Math.sin(1 + 0.7 * i * i)))),
    ]),
  );
  return { graph, inputs: numbers, numbers, variables, toBuffers: [], runs: 1, stepsInARun: 2 };
}

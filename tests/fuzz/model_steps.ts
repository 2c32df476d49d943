// The training steps of the models that are trained by name: loss, gradients, Adam, running statistics.
import type { Dataset } from '../../src/data/images.ts';
import { type Graph, rootsOf, topological } from '../../src/graph/graph.ts';
import { Parameters } from '../../src/nn/module.ts';
import { Adam } from '../../src/nn/optimizers.ts';
import { inTraining } from '../../src/nn/training.ts';
import { randomKey } from '../../src/ops/random.ts';
import { mean } from '../../src/ops/reduce.ts';
import { input } from '../../src/ops/source.ts';
import { completeOptions, optionsOf } from '../../src/train/options.ts';
import { createModel, isTextEntry, MODELS } from '../../src/train/registry/registry.ts';
import type { Case } from './random_graph.ts';

const BATCH = 128;
const DATA = { name: 'digits', train: { height: 28, width: 28, channels: 1, classes: 10 } } as unknown as Dataset;

function stepOf(name: string): Graph {
  const model = createModel(DATA, completeOptions({ model: name }));
  const optimizer = new Adam(new Parameters(model));
  const counter = optimizer.step.tensor;
  const key = randomKey(1, counter);
  const batch = { images: input('images', [BATCH, 28 * 28]), labels: input('labels', [BATCH], 'u32') };
  const { value: terms, updates } = inTraining(key, () => model.terms(batch, key, counter));
  const loss = mean(terms.loss);
  return { outputs: { loss }, updates: [...optimizer.minimize(loss).updates, ...updates] };
}

/** Many steps that are alike, of ops that the others have: too long to plan for every adapter. */
const LONG = ['hvae'];

export const imageModels = [...MODELS].flatMap(([name, entry]) =>
  isTextEntry(entry) || LONG.includes(name) ? [] : [name],
);

export function modelSteps(): Record<string, () => Graph> {
  return Object.fromEntries(imageModels.map((name) => [name, () => stepOf(name)]));
}

/** What makes a model narrow, where it has such an option: in float64 a step of the widths by default takes seconds. */
const NARROW = { hidden: 20, latent: 4, codes: 12, particles: 3 };

/** The step of a narrow model with small images, and all that a run of it takes. */
export function smallStep(name: string, side: number): Case {
  const batch = 6;
  const pixels = Uint8Array.from({ length: batch * side * side }, (_, i) => (37 * i) % 256);
  const image = { height: side, width: side, channels: 1, classes: 10, count: batch, images: pixels };
  const data = { name: 'small', train: image, test: image } as unknown as Dataset;
  const own = optionsOf(name);
  const narrow = Object.fromEntries(Object.entries(NARROW).filter(([option]) => option in own));
  const model = createModel(data, completeOptions({ model: name, batch, ...narrow }));
  const parameters = new Parameters(model, 5);
  const optimizer = new Adam(parameters);
  const counter = optimizer.step.tensor;
  const key = randomKey(1, counter);
  const images = input('images', [batch, side * side]);
  const labels = input('labels', [batch], 'u32');
  const { value: terms, updates } = inTraining(key, () => model.terms({ images, labels }, key, counter));
  const step = optimizer.minimize(mean(terms.loss), updates);
  const graph = { outputs: { loss: mean(terms.loss), norm: step.gradientNorm }, updates: step.updates };
  const numbers = {
    images: Float32Array.from({ length: images.size }, (_, i) => Math.fround(Math.abs(Math.sin(1 + 0.7 * i * i)))),
    labels: Uint32Array.from({ length: batch }, (_, i) => (7 * i) % 10),
  };
  const read = topological(rootsOf(graph)).includes(labels);
  return {
    graph,
    inputs: read ? numbers : { images: numbers.images },
    numbers,
    variables: [
      parameters.flat,
      optimizer.step,
      ...Object.values(optimizer.state),
      ...updates.map(({ variable }) => variable),
    ],
    toBuffers: [],
    runs: 1,
    stepsInARun: 2,
  };
}
